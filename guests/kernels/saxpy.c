// Single-precision y += a * x and a dot product in eight partial sums, over arrays that fit the L2 cache.
#include "kernel.h"

const int kernel_iterations = 100000;
static int n;
static float *x, *y;
static float drift;

KERNEL static void saxpy(int size, float a, const float *in, float *out) {
    for (int i = 0; i < size; i++) {
        out[i] += a * in[i];
    }
}

KERNEL static float dot(int size, const float *left, const float *right) {
    // Eight sums say the order of additions in the source, so that vectors may be used without fast-math.
    float sums[8] = {0};
    for (int i = 0; i + 8 <= size; i += 8) {
        for (int lane = 0; lane < 8; lane++) {
            sums[lane] += left[i + lane] * right[i + lane];
        }
    }
    return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

void kernel_setup(void) {
    n = hidden(16384);
    x = allocate((size_t)n, sizeof *x);
    y = allocate((size_t)n, sizeof *y);
    for (int i = 0; i < n; i++) {
        x[i] = (float)next_unit() - 0.5f;
        y[i] = (float)next_unit() - 0.5f;
    }
}

void kernel_round(void) {
    // Pulling y back along x by its own projection keeps the values bounded for any number of rounds.
    drift = dot(n, x, y);
    saxpy(n, 0.25f - drift * 1e-4f, x, y);
}

uint64_t kernel_checksum(void) {
    return hash_bytes(hash_bytes(HASH_START, y, sizeof *y * (size_t)n), &drift, sizeof drift);
}
