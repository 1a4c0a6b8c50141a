// Nussinov's RNA folding: dynamic programming over a triangle with an inner maximum over split points.
#include "kernel.h"

const int kernel_iterations = 12;
static int n;
static unsigned char *bases;
static int *table;

KERNEL static void fold(int size, const unsigned char *sequence, int *score) {
    for (int i = size - 1; i >= 0; i--) {
        for (int j = i + 1; j < size; j++) {
            int best = score[i * size + j - 1];
            int below = score[(i + 1) * size + j];
            if (below > best) {
                best = below;
            }
            int pair = score[(i + 1) * size + j - 1];
            if (i < j - 1) {
                pair += sequence[i] + sequence[j] == 3;
            }
            if (pair > best) {
                best = pair;
            }
            for (int k = i + 1; k < j; k++) {
                int split = score[i * size + k] + score[(k + 1) * size + j];
                if (split > best) {
                    best = split;
                }
            }
            score[i * size + j] = best;
        }
    }
}

void kernel_setup(void) {
    n = hidden(700);
    bases = allocate((size_t)n, 1);
    // One row more than the triangle needs: the last base looks one row below itself.
    table = allocate((size_t)n * (n + 1), sizeof *table);
    for (int i = 0; i < n; i++) {
        bases[i] = (unsigned char)(next_random() % 4);
    }
}

void kernel_round(void) {
    memset(table, 0, sizeof *table * (size_t)n * (n + 1));
    fold(n, bases, table);
    bases[table[n - 1] % n] ^= 1;
}

uint64_t kernel_checksum(void) { return hash_bytes(HASH_START, table, sizeof *table * (size_t)n * n); }
