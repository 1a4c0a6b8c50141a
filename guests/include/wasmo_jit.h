/* wasmo_jit.h: for guests that generate code.
 *
 * A guest writes a WebAssembly module into its memory and has it linked into the instance that runs. Imports of the
 * module from "env" are exports of the guest: its memory ("memory"), its table of functions
 * ("__indirect_function_table"), functions, globals. Imports from "late.N" are exports of an earlier module, N its handle.
 * The start function is the patch function: it puts new functions into the table, and their places there where the
 * guest looks for them. In C such a place is a function pointer.
 *
 * Link with -Wl,--export-table, and with -Wl,--growable-table for modules that grow the table.
 */
#ifndef WASMO_JIT_H
#define WASMO_JIT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WASMO_JIT_IMPORT(name) __attribute__((import_module("wasmo_jit"), import_name(name)))

/* What the functions answer when they fail; wasmo_jit_last_error has the whole story. */
enum wasmo_jit_error {
    WASMO_JIT_DISABLED = -1,    /* late linking is not available */
    WASMO_JIT_BAD_POINTER = -2, /* the bytes do not lie in the exported memory */
    WASMO_JIT_INVALID = -3,     /* the bytes are not a valid module */
    WASMO_JIT_IMPORT_ERROR = -4, /* imports are missing or of the wrong type */
    WASMO_JIT_TRAP = -5,        /* the start function trapped */
    WASMO_JIT_LIMIT = -6,       /* a limit is reached */
    WASMO_JIT_BAD_HANDLE = -7,  /* there is no module with this handle */
    WASMO_JIT_RUNNING = -8,     /* the module's code is running */
    WASMO_JIT_IMPORTED = -9,    /* another module imports from it */
    WASMO_JIT_INTERNAL = -10    /* a bug of wasmo's */
};

/* Compiles and links the module of length bytes. Its start function has run when this returns a handle, 0 or more. */
WASMO_JIT_IMPORT("add_module") int32_t wasmo_jit_add_module(const void *bytes, size_t length);

/* Starts to compile a module in the background, and returns its handle. The bytes are copied before this returns. */
WASMO_JIT_IMPORT("add_module_async") int32_t wasmo_jit_add_module_async(const void *bytes, size_t length);

/* 0 while the module is being compiled; 1 when it is linked, which the first call does that finds it compiled; less when it failed. */
WASMO_JIT_IMPORT("poll") int32_t wasmo_jit_poll(int32_t handle);

/* Removes a module, or gives up one that is being compiled: 0. Its places in the table are null then. */
WASMO_JIT_IMPORT("remove_module") int32_t wasmo_jit_remove_module(int32_t handle);

/* Copies as much of the last failure's text as fits; returns its full length. There is no terminating zero. */
WASMO_JIT_IMPORT("last_error") int32_t wasmo_jit_last_error(char *text, size_t capacity);

#ifdef __cplusplus
}
#endif

#endif
