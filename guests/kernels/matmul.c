// Dense matrix product, C += A * B, in i-k-j order: the inner loop runs along rows and vectorises.
#include "kernel.h"

const int kernel_iterations = 80;
static int n;
static double *a, *b, *c;

KERNEL static void matmul(int size, double *out, const double *left, const double *right) {
    for (int i = 0; i < size; i++) {
        for (int k = 0; k < size; k++) {
            double factor = left[i * size + k];
            for (int j = 0; j < size; j++) {
                out[i * size + j] += factor * right[k * size + j];
            }
        }
    }
}

void kernel_setup(void) {
    n = hidden(320);
    a = allocate((size_t)n * n, sizeof *a);
    b = allocate((size_t)n * n, sizeof *b);
    c = allocate((size_t)n * n, sizeof *c);
    for (int i = 0; i < n * n; i++) {
        a[i] = next_unit() - 0.5;
        b[i] = next_unit() - 0.5;
    }
}

void kernel_round(void) { matmul(n, c, a, b); }

uint64_t kernel_checksum(void) { return hash_bytes(HASH_START, c, sizeof *c * (size_t)n * n); }
