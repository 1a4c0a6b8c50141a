// Recursive quicksort with a median-of-three pivot, insertion sort below 16 elements.
#include "kernel.h"

const int kernel_iterations = 4;
static int n;
static int *source, *sorted;

KERNEL static void quicksort(int *values, int low, int high) {
    while (high - low > 16) {
        int middle = low + (high - low) / 2;
        int x = values[low], y = values[middle], z = values[high];
        int pivot = x < y ? (y < z ? y : (x < z ? z : x)) : (x < z ? x : (y < z ? z : y));
        int i = low, j = high;
        while (i <= j) {
            while (values[i] < pivot) {
                i++;
            }
            while (values[j] > pivot) {
                j--;
            }
            if (i <= j) {
                int swap = values[i];
                values[i++] = values[j];
                values[j--] = swap;
            }
        }
        // The shorter part is sorted by the call, which bounds the depth by log2 of the length.
        if (j - low < high - i) {
            quicksort(values, low, j);
            low = i;
        } else {
            quicksort(values, i, high);
            high = j;
        }
    }
    for (int i = low + 1; i <= high; i++) {
        int value = values[i];
        int j = i - 1;
        while (j >= low && values[j] > value) {
            values[j + 1] = values[j];
            j--;
        }
        values[j + 1] = value;
    }
}

void kernel_setup(void) {
    n = hidden(1500000);
    source = allocate((size_t)n, sizeof *source);
    sorted = allocate((size_t)n, sizeof *sorted);
    for (int i = 0; i < n; i++) {
        source[i] = (int)(next_random() >> 33);
    }
}

void kernel_round(void) {
    memcpy(sorted, source, sizeof *sorted * (size_t)n);
    quicksort(sorted, 0, n - 1);
    source[sorted[0] % n] ^= sorted[n / 2];
}

uint64_t kernel_checksum(void) { return hash_bytes(HASH_START, sorted, sizeof *sorted * (size_t)n); }
