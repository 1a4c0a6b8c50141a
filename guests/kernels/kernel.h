// What every kernel shares: its command line, its clock and its two lines of output.
//
// A kernel defines `kernel_iterations` (the default number of rounds), `kernel_setup`, `kernel_round`
// and `kernel_checksum`; the `main` below times the rounds alone. Sizes pass through `hidden`, so no
// compiler knows a trip count, and the worker functions are `KERNEL` (never inlined or specialised),
// so neither side folds a kernel into its set-up. Floating-point work uses +, -, *, / and sqrt only,
// with contraction off: native and wasm must print the same checksum.
#ifndef WASMO_GUESTS_KERNEL_H
#define WASMO_GUESTS_KERNEL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KERNEL __attribute__((noinline))

extern const int kernel_iterations;
void kernel_setup(void);
void kernel_round(void);
uint64_t kernel_checksum(void);
// What else a kernel prints that defines KERNEL_HAS_REPORT before it includes this file.
void kernel_report(long rounds, uint64_t nanoseconds);

// Returns `value` through a volatile slot, which hides it from constant propagation.
static inline int hidden(int value) {
    volatile int slot = value;
    return slot;
}

// Zeroed memory for `count` elements of `size` bytes; ends the program when there is none.
static inline void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) {
        fprintf(stderr, "error: out of memory for %zu elements of %zu bytes\n", count, size);
        exit(1);
    }
    return memory;
}

static uint64_t kernel_seed = 0x9E3779B97F4A7C15u;

// The next number of a xorshift generator: the same sequence on every machine.
static inline uint64_t next_random(void) {
    kernel_seed ^= kernel_seed << 13;
    kernel_seed ^= kernel_seed >> 7;
    kernel_seed ^= kernel_seed << 17;
    return kernel_seed;
}

// A double in [0, 1) made of 53 random bits.
static inline double next_unit(void) {
    return (double)(next_random() >> 11) * 0x1.0p-53;
}

// FNV-1a over the bytes of `memory`; chain calls through `hash`, starting from `HASH_START`.
#define HASH_START 0xCBF29CE484222325u
static inline uint64_t hash_bytes(uint64_t hash, const void *memory, size_t length) {
    const unsigned char *bytes = memory;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ bytes[i]) * 0x100000001B3u;
    }
    return hash;
}

static inline uint64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int main(int argc, char **argv) {
    long rounds = kernel_iterations;
    if (argc > 1) {
        char *end;
        rounds = strtol(argv[1], &end, 10);
        if (*end != '\0' || end == argv[1] || rounds < 1) {
            fprintf(stderr, "error: the argument is a number of rounds, at least 1; got '%s'\n", argv[1]);
            return 2;
        }
    }
    kernel_setup();
    uint64_t start = monotonic_ns();
    for (long i = 0; i < rounds; i++) {
        kernel_round();
    }
    uint64_t elapsed = monotonic_ns() - start;
    printf("checksum %016llx\n", (unsigned long long)kernel_checksum());
    printf("time_ns %llu\n", (unsigned long long)elapsed);
#ifdef KERNEL_HAS_REPORT
    kernel_report(rounds, elapsed);
#endif
    return 0;
}

#endif
