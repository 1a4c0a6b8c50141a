// Bottom-up heap sort of doubles: data-dependent branches over an array larger than the L1 cache.
#include "kernel.h"

const int kernel_iterations = 6;
static int n;
static double *source, *sorted;

KERNEL static void sift(double *values, int root, int end) {
    double value = values[root];
    for (int child = 2 * root + 1; child < end; child = 2 * root + 1) {
        if (child + 1 < end && values[child] < values[child + 1]) {
            child++;
        }
        if (value >= values[child]) {
            break;
        }
        values[root] = values[child];
        root = child;
    }
    values[root] = value;
}

KERNEL static void heapsort_doubles(double *values, int size) {
    for (int i = size / 2 - 1; i >= 0; i--) {
        sift(values, i, size);
    }
    for (int end = size - 1; end > 0; end--) {
        double top = values[0];
        values[0] = values[end];
        values[end] = top;
        sift(values, 0, end);
    }
}

void kernel_setup(void) {
    n = hidden(500000);
    source = allocate((size_t)n, sizeof *source);
    sorted = allocate((size_t)n, sizeof *sorted);
    for (int i = 0; i < n; i++) {
        source[i] = next_unit();
    }
}

void kernel_round(void) {
    memcpy(sorted, source, sizeof *sorted * (size_t)n);
    heapsort_doubles(sorted, n);
    source[(int)(sorted[n / 2] * n) % n] = sorted[n / 3];
}

uint64_t kernel_checksum(void) { return hash_bytes(HASH_START, sorted, sizeof *sorted * (size_t)n); }
