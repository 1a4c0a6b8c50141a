//! `args_*` and `environ_*`.

use crate::guest::Guest;
use wasmo_wasi::{Errno, preview1 as p1};

#[test]
fn arguments_are_listed_with_pointers_and_terminators() {
    let mut guest = Guest::with(|builder| {
        builder.args(["program", "", "ä b"]);
    });
    guest.call(|ctx, memory| p1::args_sizes_get(ctx, memory, 0, 4)).unwrap();
    assert_eq!((guest.u32(0), guest.u32(4)), (3, 8 + 1 + 5));
    guest.call(|ctx, memory| p1::args_get(ctx, memory, 16, 100)).unwrap();
    assert_eq!([16, 20, 24].map(|at| guest.u32(at)), [100, 108, 109]);
    assert_eq!(&guest.memory[100..114], "program\0\0ä b\0".as_bytes());
}

#[test]
fn variables_are_listed_and_the_last_value_counts() {
    let mut guest = Guest::with(|builder| {
        builder.env("A", "1").envs([("B", "x=y"), ("A", "2")]);
    });
    guest.call(|ctx, memory| p1::environ_sizes_get(ctx, memory, 0, 4)).unwrap();
    assert_eq!((guest.u32(0), guest.u32(4)), (2, 10));
    guest.call(|ctx, memory| p1::environ_get(ctx, memory, 16, 100)).unwrap();
    assert_eq!(&guest.memory[100..110], b"B=x=y\0A=2\0");
}

#[test]
fn an_empty_list_needs_no_room() {
    let mut guest = Guest::new();
    let end = u32::try_from(guest.memory.len()).unwrap();
    guest.call(|ctx, memory| p1::args_get(ctx, memory, end, end)).unwrap();
    guest.call(|ctx, memory| p1::args_sizes_get(ctx, memory, 0, 4)).unwrap();
    assert_eq!((guest.u32(0), guest.u32(4)), (0, 0));
}

#[test]
fn lists_do_not_run_over_the_end() {
    let mut guest = Guest::with(|builder| {
        builder.args(["one", "two"]);
    });
    let end = u32::try_from(guest.memory.len()).unwrap();
    for (pointers, buffer) in [(end - 4, 0), (0, end - 7), (u32::MAX - 3, 0)] {
        let result = guest.call(|ctx, memory| p1::args_get(ctx, memory, pointers, buffer));
        assert_eq!(result, Err(Errno::Fault), "{pointers} {buffer}");
    }
}
