//! Small programs.

use crate::{instantiate, run};
use wasmo_wasi::{DirPerms, FilePerms, I32Exit, MemoryInputPipe, MemoryOutputPipe, WasiCtxBuilder};

#[test]
fn hello_world() {
    let output = MemoryOutputPipe::new(100);
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\0e\00\00\00hello, world!\n")
        (data (i32.const 16) "hello, world!\n")
        (func (export "_start")
            (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)) (then unreachable))
            (if (i32.ne (i32.load (i32.const 64)) (i32.const 14)) (then unreachable))))"#;
    run(wat, WasiCtxBuilder::new().stdout(output.clone()).build()).unwrap();
    assert_eq!(output.contents(), b"hello, world!\n");
}

#[test]
fn exit_ends_the_program_from_any_depth() {
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func $deep (param i32)
            (if (i32.eqz (local.get 0)) (then (call $exit (i32.const 42))))
            (call $deep (i32.sub (local.get 0) (i32.const 1)))
            unreachable)
        (func (export "_start") (call $deep (i32.const 100))))"#;
    let error = run(wat, WasiCtxBuilder::new().build()).unwrap_err();
    assert_eq!(error.downcast_ref::<I32Exit>(), Some(&I32Exit(42)), "{error:?}");
}

#[test]
fn input_is_copied_to_output() {
    let output = MemoryOutputPipe::new(100);
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (loop $again
                (i32.store (i32.const 0) (i32.const 1024))
                (i32.store (i32.const 4) (i32.const 3))
                (if (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 4)) (then unreachable))
                (if (i32.eqz (i32.load (i32.const 4))) (then return))
                (if (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then unreachable))
                (br $again))))"#;
    let input = MemoryInputPipe::new("some bytes");
    run(wat, WasiCtxBuilder::new().stdin(input).stdout(output.clone()).build()).unwrap();
    assert_eq!(output.contents(), b"some bytes");
}

#[test]
fn a_file_is_created_below_a_preopened_directory() {
    let host = tempfile::tempdir().unwrap();
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\08\00\00\00")
        (data (i32.const 16) "file.txt../x")
        (func (export "create") (param $length i32) (result i32)
            (call $open (i32.const 3) (i32.const 0) (i32.const 16) (local.get $length) (i32.const 1)
                (i64.const 0x44) (i64.const 0) (i32.const 0) (i32.const 64)))
        (func (export "escape") (result i32)
            (call $open (i32.const 3) (i32.const 0) (i32.const 24) (i32.const 4) (i32.const 1)
                (i64.const 0x40) (i64.const 0) (i32.const 0) (i32.const 64)))
        (func (export "fill") (result i32)
            (if (call $write (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 72)) (then unreachable))
            (if (call $seek (i32.load (i32.const 64)) (i64.const -2) (i32.const 1) (i32.const 80)) (then unreachable))
            (call $write (i32.load (i32.const 64)) (i32.const 0) (i32.const 1) (i32.const 72))))"#;
    let mut builder = WasiCtxBuilder::new();
    builder.preopened_dir(host.path(), "/", DirPerms::all(), FilePerms::all()).unwrap();
    let (mut store, instance) = instantiate(wat, builder.build()).unwrap();
    let create = instance.get_typed_func::<i32, i32>(&mut store, "create").unwrap();
    assert_eq!(create.call(&mut store, 8).unwrap(), 0);
    let fill = instance.get_typed_func::<(), i32>(&mut store, "fill").unwrap();
    assert_eq!(fill.call(&mut store, ()).unwrap(), 0);
    let escape = instance.get_typed_func::<(), i32>(&mut store, "escape").unwrap();
    assert_eq!(escape.call(&mut store, ()).unwrap(), 63);
    assert_eq!(std::fs::read(host.path().join("file.txt")).unwrap(), b"file.tfile.txt");
}

#[test]
fn a_guest_that_prints_without_end_is_told_when_nobody_listens() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\00\00\00\00\08\00\00\00")
        (func (export "_start") (local $error i32)
            (loop $again
                (local.set $error (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))
                (br_if $again (i32.eqz (local.get $error))))
            (call $exit (local.get $error))))"#;
    let writer = std::fs::File::from(std::os::fd::OwnedFd::from(writer));
    let error = run(wat, WasiCtxBuilder::new().stdout(writer).build()).unwrap_err();
    assert_eq!(error.downcast_ref::<I32Exit>(), Some(&I32Exit(64)), "{error:?}");
}

#[test]
fn a_guest_without_a_memory_is_told_what_it_lacks() {
    let wat = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (func (export "_start") (drop (call $random (i32.const 0) (i32.const 8)))))"#;
    let error = run(wat, WasiCtxBuilder::new().build()).unwrap_err();
    assert!(format!("{error:?}").contains("exports no memory"), "{error:?}");
}
