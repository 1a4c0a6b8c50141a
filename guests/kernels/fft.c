// Iterative radix-2 FFT of interleaved complex doubles, forward and inverse.
//
// The roots of unity come from half-angle square roots and complex products instead of sin and cos,
// whose last bit differs between C libraries.
#include "kernel.h"

#include <math.h>

const int kernel_iterations = 180;
static int n;
static double *signal, *roots;

KERNEL static void fft(int size, double *data, const double *unit, double direction) {
    for (int i = 1, j = 0; i < size; i++) {
        int bit = size >> 1;
        for (; j & bit; bit >>= 1) {
            j ^= bit;
        }
        j ^= bit;
        if (i < j) {
            double re = data[2 * i], im = data[2 * i + 1];
            data[2 * i] = data[2 * j];
            data[2 * i + 1] = data[2 * j + 1];
            data[2 * j] = re;
            data[2 * j + 1] = im;
        }
    }
    for (int length = 2; length <= size; length *= 2) {
        int half = length / 2, stride = size / length;
        for (int start = 0; start < size; start += length) {
            for (int k = 0; k < half; k++) {
                double wr = unit[2 * k * stride], wi = direction * unit[2 * k * stride + 1];
                double *even = &data[2 * (start + k)], *odd = &data[2 * (start + k + half)];
                double re = odd[0] * wr - odd[1] * wi, im = odd[0] * wi + odd[1] * wr;
                odd[0] = even[0] - re;
                odd[1] = even[1] - im;
                even[0] += re;
                even[1] += im;
            }
        }
    }
}

void kernel_setup(void) {
    n = hidden(1 << 16);
    signal = allocate(2 * (size_t)n, sizeof *signal);
    roots = allocate((size_t)n, sizeof *roots);
    // roots[k] = exp(-2 pi i k / n): each level of half angles fills the odd multiples between those known.
    double cosine = -1.0, sine = 0.0;
    roots[0] = 1.0;
    for (int step = n / 4; step >= 1; step /= 2) {
        sine = sqrt((1.0 - cosine) / 2.0);
        cosine = sqrt((1.0 + cosine) / 2.0);
        for (int k = step; k < n / 2; k += 2 * step) {
            double re = roots[2 * (k - step)], im = roots[2 * (k - step) + 1];
            roots[2 * k] = re * cosine + im * sine;
            roots[2 * k + 1] = im * cosine - re * sine;
        }
    }
    for (int i = 0; i < 2 * n; i++) {
        signal[i] = next_unit() - 0.5;
    }
}

void kernel_round(void) {
    fft(n, signal, roots, 1.0);
    fft(n, signal, roots, -1.0);
    double scale = 1.0 / n;
    for (int i = 0; i < 2 * n; i++) {
        signal[i] *= scale;
    }
}

uint64_t kernel_checksum(void) { return hash_bytes(HASH_START, signal, sizeof *signal * 2 * (size_t)n); }
