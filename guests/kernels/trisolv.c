// LU factorisation without pivoting, then forward and backward triangular solves.
#include "kernel.h"

const int kernel_iterations = 40;
static int n;
static double *source, *lu, *x;

KERNEL static void factorise(int size, double *matrix) {
    for (int i = 0; i < size; i++) {
        for (int j = 0; j < i; j++) {
            double factor = matrix[i * size + j] / matrix[j * size + j];
            matrix[i * size + j] = factor;
            for (int k = j + 1; k < size; k++) {
                matrix[i * size + k] -= factor * matrix[j * size + k];
            }
        }
    }
}

KERNEL static void solve(int size, const double *matrix, double *vector) {
    for (int i = 0; i < size; i++) {
        double sum = vector[i];
        for (int j = 0; j < i; j++) {
            sum -= matrix[i * size + j] * vector[j];
        }
        vector[i] = sum;
    }
    for (int i = size - 1; i >= 0; i--) {
        double sum = vector[i];
        for (int j = i + 1; j < size; j++) {
            sum -= matrix[i * size + j] * vector[j];
        }
        vector[i] = sum / matrix[i * size + i];
    }
}

void kernel_setup(void) {
    n = hidden(500);
    source = allocate((size_t)n * n, sizeof *source);
    lu = allocate((size_t)n * n, sizeof *lu);
    x = allocate((size_t)n, sizeof *x);
    for (int i = 0; i < n * n; i++) {
        source[i] = next_unit();
    }
    // A dominant diagonal keeps the factorisation stable without pivoting.
    for (int i = 0; i < n; i++) {
        source[i * n + i] += n;
        x[i] = next_unit();
    }
}

void kernel_round(void) {
    memcpy(lu, source, sizeof *lu * (size_t)n * n);
    factorise(n, lu);
    solve(n, lu, x);
    // Without this the solution would shrink towards denormals from round to round.
    for (int i = 0; i < n; i++) {
        x[i] = x[i] * n + 1.0;
    }
}

uint64_t kernel_checksum(void) {
    return hash_bytes(hash_bytes(HASH_START, lu, sizeof *lu * (size_t)n * n), x, sizeof *x * (size_t)n);
}
