// Symmetric rank-k update of a lower triangle, C = beta * C + alpha * A * A^T: dot products of two rows.
#include "kernel.h"

const int kernel_iterations = 12;
static int n, m;
static double *a, *c;

KERNEL static void syrk(int rows, int columns, double alpha, double beta, double *out, const double *in) {
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j <= i; j++) {
            double sum = 0.0;
            for (int k = 0; k < columns; k++) {
                sum += in[i * columns + k] * in[j * columns + k];
            }
            out[i * rows + j] = beta * out[i * rows + j] + alpha * sum;
        }
    }
}

void kernel_setup(void) {
    n = hidden(480);
    m = hidden(400);
    a = allocate((size_t)n * m, sizeof *a);
    c = allocate((size_t)n * n, sizeof *c);
    for (int i = 0; i < n * m; i++) {
        a[i] = next_unit() - 0.5;
    }
}

void kernel_round(void) { syrk(n, m, 1.5, 0.5, c, a); }

uint64_t kernel_checksum(void) { return hash_bytes(HASH_START, c, sizeof *c * (size_t)n * n); }
