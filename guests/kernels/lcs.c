// Length of the longest common subsequence of two strings, by dynamic programming over two rows.
#include "kernel.h"

const int kernel_iterations = 16;
static int n;
static unsigned char *left, *right;
static int *row_a, *row_b;
static uint64_t total = HASH_START;

KERNEL static int lcs(int size, const unsigned char *x, const unsigned char *y, int *previous, int *current) {
    memset(previous, 0, sizeof *previous * (size_t)(size + 1));
    current[0] = 0;
    for (int i = 0; i < size; i++) {
        for (int j = 0; j < size; j++) {
            if (x[i] == y[j]) {
                current[j + 1] = previous[j] + 1;
            } else {
                current[j + 1] = previous[j + 1] > current[j] ? previous[j + 1] : current[j];
            }
        }
        int *swap = previous;
        previous = current;
        current = swap;
        current[0] = 0;
    }
    return previous[size];
}

void kernel_setup(void) {
    n = hidden(5000);
    left = allocate((size_t)n, 1);
    right = allocate((size_t)n, 1);
    row_a = allocate((size_t)n + 1, sizeof *row_a);
    row_b = allocate((size_t)n + 1, sizeof *row_b);
    for (int i = 0; i < n; i++) {
        left[i] = (unsigned char)('a' + next_random() % 6);
        right[i] = (unsigned char)('a' + next_random() % 6);
    }
}

void kernel_round(void) {
    int length = lcs(n, left, right, row_a, row_b);
    total = hash_bytes(total, &length, sizeof length);
    left[length % n] = right[(length + 1) % n];
}

uint64_t kernel_checksum(void) { return total; }
