// Sieve of Eratosthenes over one byte a number: strided stores, then a counting reduction.
#include "kernel.h"

const int kernel_iterations = 80;
static int n;
static unsigned char *composite;
static uint64_t total = HASH_START;

KERNEL static int sieve(int limit, unsigned char *marks) {
    memset(marks, 0, (size_t)limit + 1);
    for (int i = 2; i <= limit / i; i++) {
        if (!marks[i]) {
            for (int j = i * i; j <= limit; j += i) {
                marks[j] = 1;
            }
        }
    }
    int primes = 0;
    for (int i = 2; i <= limit; i++) {
        primes += !marks[i];
    }
    return primes;
}

void kernel_setup(void) {
    n = hidden(5000000);
    composite = allocate((size_t)n + 1, 1);
}

void kernel_round(void) {
    int primes = sieve(n, composite);
    total = hash_bytes(total, &primes, sizeof primes);
    n -= primes % 2;
}

uint64_t kernel_checksum(void) { return total; }
