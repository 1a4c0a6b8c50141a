//! Programs of the time before preview 1.

use crate::run;
use std::time::{Duration, Instant};
use wasmo_wasi::{DirPerms, FilePerms, I32Exit, WasiCtxBuilder};

#[test]
fn a_guest_of_snapshot_0_finds_its_numbers_and_records() {
    let host = tempfile::tempdir().unwrap();
    // 0: where results go; 1024: the path; 2048: an iovec; 3072: a subscription; 4096: an event.
    let wat = r#"(module
        (import "wasi_unstable" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_unstable" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_unstable" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
        (import "wasi_unstable" "fd_filestat_get" (func $stat (param i32 i32) (result i32)))
        (import "wasi_unstable" "path_filestat_get" (func $path_stat (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_unstable" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_unstable" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 1024) "file")
        (data (i32.const 2048) "\00\04\00\00\04\00\00\00")
        ;; Ends with this status unless the values are equal.
        (func $check (param $status i32) (param $value i64) (param $expected i64)
            (if (i64.ne (local.get $value) (local.get $expected)) (then (call $exit (local.get $status)))))
        (func $ok (param $status i32) (param $answer i32)
            (if (local.get $answer) (then (call $exit (local.get $status)))))
        (func (export "_start") (local $fd i32)
            (call $ok (i32.const 1) (call $open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4)
                (i32.const 1) (i64.const 0x0fffffff) (i64.const 0) (i32.const 0) (i32.const 0)))
            (local.set $fd (i32.load (i32.const 0)))
            (call $ok (i32.const 2) (call $write (local.get $fd) (i32.const 2048) (i32.const 1) (i32.const 0)))
            (call $ok (i32.const 3) (call $seek (local.get $fd) (i64.const 1) (i32.const 2) (i32.const 0)))
            (call $check (i32.const 4) (i64.load (i32.const 0)) (i64.const 1))
            (call $ok (i32.const 5) (call $seek (local.get $fd) (i64.const 2) (i32.const 0) (i32.const 0)))
            (call $check (i32.const 6) (i64.load (i32.const 0)) (i64.const 3))
            (call $ok (i32.const 7) (call $seek (local.get $fd) (i64.const 0) (i32.const 1) (i32.const 0)))
            (call $check (i32.const 8) (i64.load (i32.const 0)) (i64.const 4))
            (i64.store (i32.const 56) (i64.const -1))
            (call $ok (i32.const 9) (call $stat (local.get $fd) (i32.const 0)))
            (call $check (i32.const 10) (i64.load32_u (i32.const 20)) (i64.const 1))
            (call $check (i32.const 11) (i64.load (i32.const 24)) (i64.const 4))
            (call $check (i32.const 12) (i64.load (i32.const 56)) (i64.const -1))
            (call $ok (i32.const 13) (call $path_stat
                (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 4) (i32.const 0)))
            (call $check (i32.const 14) (i64.load (i32.const 24)) (i64.const 4))
            (call $check (i32.const 15) (i64.load (i32.const 56)) (i64.const -1))
            ;; The monotonic clock, 20 ms from now.
            (i64.store (i32.const 3088) (i64.const 99))
            (i32.store (i32.const 3096) (i32.const 1))
            (i64.store (i32.const 3104) (i64.const 20000000))
            (call $ok (i32.const 16) (call $poll (i32.const 3072) (i32.const 4096) (i32.const 1) (i32.const 0)))
            (call $check (i32.const 17) (i64.load32_u (i32.const 0)) (i64.const 1))
            (call $check (i32.const 18) (i64.load16_u (i32.const 4104)) (i64.const 0))
            (call $exit (i32.const 0))))"#;
    let mut ctx = WasiCtxBuilder::new();
    ctx.preopened_dir(host.path(), "/", DirPerms::all(), FilePerms::all()).unwrap();
    let start = Instant::now();
    let error = run(wat, ctx.build()).unwrap_err();
    assert_eq!(error.downcast_ref::<I32Exit>(), Some(&I32Exit(0)), "{error:?}");
    assert!(start.elapsed() >= Duration::from_millis(20));
}

#[test]
fn a_guest_without_a_memory_is_told_which_function_wants_it() {
    let wat = r#"(module
        (import "wasi_unstable" "sched_yield" (func $yield (result i32)))
        (func (export "_start") (drop (call $yield))))"#;
    let error = run(wat, WasiCtxBuilder::new().build()).unwrap_err();
    assert!(format!("{error:#}").contains("`wasi_unstable.sched_yield`"), "{error:#}");
}
