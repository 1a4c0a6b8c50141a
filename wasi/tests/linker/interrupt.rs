//! A guest that waits in the host can be stopped.

use crate::instantiate;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use wasmo::Trap;
use wasmo_wasi::WasiCtxBuilder;

/// Runs `_start` with `body`, interrupts it after a moment, and checks that it stops at once.
fn stops(body: &str) {
    let (reader, _writer) = std::io::pipe().unwrap();
    let ctx = WasiCtxBuilder::new().stdin(File::from(OwnedFd::from(reader))).build();
    let wat = format!(
        r#"(module
            (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start") (drop {body})))"#
    );
    let (mut store, instance) = instantiate(&wat, ctx).unwrap();
    let handle = store.interrupt_handle();
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").unwrap();
    let before = Instant::now();
    let interrupter = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        handle.interrupt();
    });
    let error = start.call(&mut store, ()).unwrap_err();
    interrupter.join().unwrap();
    assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::Interrupt), "{error:?}");
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
}

#[test]
fn a_sleeping_guest() {
    // A subscription of the monotonic clock, a minute from now.
    stops(
        "(block (result i32)
            (i32.store (i32.const 16) (i32.const 1))
            (i64.store (i32.const 24) (i64.const 60000000000))
            (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))",
    );
}

#[test]
fn a_guest_that_waits_for_input() {
    stops(
        "(block (result i32)
            (i32.store (i32.const 4) (i32.const 10))
            (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 128)))",
    );
}
