//! Guests of these tests, as text: small programs against WASI.

/// What every guest needs: the imports that the body uses are in front of it, and there is a memory.
pub fn program(body: &str) -> String {
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
            (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "path_open"
                (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (memory (export "memory") 1)
            ;; Writes `len` bytes at `at` to the descriptor `fd`; answers WASI's error code.
            (func $write (param $fd i32) (param $at i32) (param $len i32) (result i32)
                (i32.store (i32.const 0) (local.get $at))
                (i32.store (i32.const 4) (local.get $len))
                (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
            (func $print (param $at i32) (param $len i32)
                (drop (call $write (i32.const 1) (local.get $at) (local.get $len))))
            {body})"#
    )
}

/// Prints the arguments, each with a zero byte after it as WASI hands them over.
pub fn arguments() -> String {
    program(
        r#"(func (export "_start")
            (drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
            (drop (call $args_get (i32.const 4096) (i32.const 8192)))
            (call $print (i32.const 8192) (i32.load (i32.const 20))))"#,
    )
}

/// Prints the environment, each variable with a zero byte after it.
pub fn environment() -> String {
    program(
        r#"(func (export "_start")
            (drop (call $environ_sizes_get (i32.const 16) (i32.const 20)))
            (drop (call $environ_get (i32.const 4096) (i32.const 8192)))
            (call $print (i32.const 8192) (i32.load (i32.const 20))))"#,
    )
}

/// Ends with this exit code.
pub fn exit(code: i32) -> String {
    program(&format!(r#"(func (export "_start") (call $proc_exit (i32.const {code})))"#))
}

/// Prints the first 64 bytes of the file `in.txt` in its first directory, and ends with WASI's error code when it cannot be opened.
pub fn read_file() -> String {
    program(
        r#"(data (i32.const 64) "in.txt")
        (func (export "_start") (local $error i32)
            (local.set $error (call $path_open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 6) (i32.const 0)
                (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 32)))
            (if (local.get $error) (then (call $proc_exit (local.get $error))))
            (i32.store (i32.const 0) (i32.const 1024))
            (i32.store (i32.const 4) (i32.const 64))
            (drop (call $fd_read (i32.load (i32.const 32)) (i32.const 0) (i32.const 1) (i32.const 8)))
            (call $print (i32.const 1024) (i32.load (i32.const 8))))"#,
    )
}

/// Copies one read of standard input to standard output.
pub fn echo() -> String {
    program(
        r#"(func (export "_start")
            (i32.store (i32.const 0) (i32.const 1024))
            (i32.store (i32.const 4) (i32.const 1024))
            (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            (call $print (i32.const 1024) (i32.load (i32.const 8))))"#,
    )
}

/// Prints lines without end, and never looks at what becomes of them.
pub fn yes() -> String {
    program(
        r#"(data (i32.const 64) "y\n") (func (export "_start") (loop (call $print (i32.const 64) (i32.const 2)) (br 0)))"#,
    )
}

/// Asks for memory until it is refused, and traps then.
pub fn hungry() -> String {
    program(
        r#"(func $allocate (export "_start")
            (loop $more
                (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))
                unreachable))"#,
    )
}
