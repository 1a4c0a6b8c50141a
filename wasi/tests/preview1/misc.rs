//! `random_get`, `sched_yield`, `proc_exit`, `proc_raise`.

use crate::guest::Guest;
use wasmo_wasi::{Errno, I32Exit, preview1 as p1};

#[test]
fn random_bytes_fill_the_place_and_no_more() {
    let mut guest = Guest::new();
    guest.call(|ctx, memory| p1::random_get(ctx, memory, 100, 1000)).unwrap();
    assert!(guest.memory[100..1100].iter().any(|byte| *byte != 0));
    assert!(guest.memory[1068..1100].iter().any(|byte| *byte != 0));
    assert!(guest.memory[..100].iter().chain(&guest.memory[1100..]).all(|byte| *byte == 0));
    let end = u32::try_from(guest.memory.len()).unwrap();
    guest.call(|ctx, memory| p1::random_get(ctx, memory, end, 0)).unwrap();
    guest.call(|ctx, memory| p1::random_get(ctx, memory, 0, end)).unwrap();
    let result = guest.call(|ctx, memory| p1::random_get(ctx, memory, 1, u32::MAX));
    assert_eq!(result, Err(Errno::Fault));
}

#[test]
fn exit_carries_the_status() {
    let mut guest = Guest::new();
    let exit = guest.call(|ctx, memory| p1::proc_exit(ctx, memory, 33)).unwrap_err();
    assert_eq!(exit, I32Exit(33));
    let exit = guest.call(|ctx, memory| p1::proc_exit(ctx, memory, u32::MAX)).unwrap_err();
    assert_eq!((exit, exit.process_exit_code()), (I32Exit(-1), 255));
    let error = anyhow::Error::from(exit).context("calling `_start`");
    assert_eq!(error.downcast_ref(), Some(&I32Exit(-1)));
}

#[test]
fn yielding_works_and_signals_do_not_exist() {
    let mut guest = Guest::new();
    guest.call(p1::sched_yield).unwrap();
    assert_eq!(guest.call(|ctx, memory| p1::proc_raise(ctx, memory, 6)), Err(Errno::Nosys));
}
