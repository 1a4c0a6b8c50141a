// Sparse matrix times vector in compressed-row form: indirect loads, short inner loops.
#include "kernel.h"

const int kernel_iterations = 200;
static int n;
static int *starts, *columns;
static double *values, *x, *y;

KERNEL static void spmv(int rows, const int *start, const int *column, const double *value, const double *in,
                        double *out) {
    for (int i = 0; i < rows; i++) {
        double sum = 0.0;
        for (int k = start[i]; k < start[i + 1]; k++) {
            sum += value[k] * in[column[k]];
        }
        out[i] = sum;
    }
}

void kernel_setup(void) {
    n = hidden(100000);
    int most = 24;
    starts = allocate((size_t)n + 1, sizeof *starts);
    columns = allocate((size_t)n * most, sizeof *columns);
    values = allocate((size_t)n * most, sizeof *values);
    x = allocate((size_t)n, sizeof *x);
    y = allocate((size_t)n, sizeof *y);
    int used = 0;
    for (int i = 0; i < n; i++) {
        starts[i] = used;
        int entries = 8 + (int)(next_random() % (uint64_t)(most - 8));
        for (int k = 0; k < entries; k++) {
            columns[used] = (int)(next_random() % (uint64_t)n);
            // Rows that sum to less than one keep repeated products bounded.
            values[used++] = next_unit() / most;
        }
        x[i] = next_unit();
    }
    starts[n] = used;
}

void kernel_round(void) {
    spmv(n, starts, columns, values, x, y);
    for (int i = 0; i < n; i++) {
        x[i] = y[i] + 0.25;
    }
}

uint64_t kernel_checksum(void) { return hash_bytes(HASH_START, y, sizeof *y * (size_t)n); }
