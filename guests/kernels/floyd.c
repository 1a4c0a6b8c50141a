// Floyd-Warshall: all shortest paths of a dense directed graph with integer weights.
#include "kernel.h"

const int kernel_iterations = 12;
static int n;
static int *weights, *paths;

KERNEL static void floyd(int size, int *distance) {
    for (int k = 0; k < size; k++) {
        for (int i = 0; i < size; i++) {
            int through = distance[i * size + k];
            for (int j = 0; j < size; j++) {
                int candidate = through + distance[k * size + j];
                distance[i * size + j] = candidate < distance[i * size + j] ? candidate : distance[i * size + j];
            }
        }
    }
}

void kernel_setup(void) {
    n = hidden(440);
    weights = allocate((size_t)n * n, sizeof *weights);
    paths = allocate((size_t)n * n, sizeof *paths);
    for (int i = 0; i < n * n; i++) {
        weights[i] = 1 + (int)(next_random() % 10000);
    }
}

void kernel_round(void) {
    memcpy(paths, weights, sizeof *paths * (size_t)n * n);
    floyd(n, paths);
    // The next round starts from another graph, so no round repeats the one before.
    weights[paths[n - 1] % (n * n)] += 1;
}

uint64_t kernel_checksum(void) { return hash_bytes(HASH_START, paths, sizeof *paths * (size_t)n * n); }
