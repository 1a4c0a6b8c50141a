/* A guest that adds a function to itself: multiply A B N generates the function n -> A * n + B, links it, and calls it with 0 to N - 1.
 *
 * The module is a template with holes for three numbers. A number of 32 bits always fits 5 bytes of LEB128, so that no
 * size in the module depends on it. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasmo_jit.h>

#define HOLE 0x80, 0x80, 0x80, 0x80, 0x00

static unsigned char module[] = {
    0, 'a', 's', 'm', 1, 0, 0, 0,
    /* types: 0 is (i32) -> i32, 1 is () -> () */
    1, 9, 2, 0x60, 1, 0x7f, 1, 0x7f, 0x60, 0, 0,
    /* imports: env.memory, env.__indirect_function_table */
    2, 49, 2,
    3, 'e', 'n', 'v', 6, 'm', 'e', 'm', 'o', 'r', 'y', 2, 0, 0,
    3, 'e', 'n', 'v', 25, '_', '_', 'i', 'n', 'd', 'i', 'r', 'e', 'c', 't', '_', 'f', 'u', 'n', 'c', 't', 'i', 'o', 'n', '_',
    't', 'a', 'b', 'l', 'e', 1, 0x70, 0, 0,
    /* two functions; the start function is the second; the first may be referred to */
    3, 3, 2, 0, 1,
    8, 1, 1,
    9, 5, 1, 3, 0, 1, 0,
    10, 39, 2,
    /* local.get 0; i32.const A; i32.mul; i32.const B; i32.add */
    18, 0, 0x20, 0, 0x41, HOLE, 0x6c, 0x41, HOLE, 0x6a, 0x0b,
    /* i32.const &function; ref.func 0; i32.const 1; table.grow; i32.store */
    18, 0, 0x41, HOLE, 0xd2, 0, 0x41, 1, 0xfc, 15, 0, 0x36, 2, 0, 0x0b,
};

/* Where the start function stores the place in the table of the new function: a function pointer, in C. */
static int (*volatile function)(int);

/* Fills the next hole at or after from with the number, and returns what follows it. */
static unsigned char *fill(unsigned char *from, int32_t number) {
    static const unsigned char hole[] = {HOLE};
    while (memcmp(from, hole, sizeof hole) != 0)
        from++;
    for (int i = 0; i < 5; i++, number >>= 7)
        from[i] = (number & 0x7f) | (i < 4 ? 0x80 : 0);
    return from + sizeof hole;
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: multiply A B N\n");
        return 2;
    }
    unsigned char *rest = fill(module, atoi(argv[1]));
    rest = fill(rest, atoi(argv[2]));
    fill(rest, (int32_t)&function);

    int32_t handle = wasmo_jit_add_module(module, sizeof module);
    if (handle < 0) {
        char text[200];
        int32_t length = wasmo_jit_last_error(text, sizeof text);
        fprintf(stderr, "error: %.*s\n", length < (int32_t)sizeof text ? length : (int)sizeof text, text);
        return 1;
    }
    for (int n = 0; n < atoi(argv[3]); n++)
        printf("%d\n", function(n));
    return wasmo_jit_remove_module(handle) == 0 ? 0 : 1;
}
