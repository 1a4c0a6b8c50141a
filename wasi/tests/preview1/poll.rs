//! `poll_oneoff`.

use crate::guest::{Guest, Open, ROOT};
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};
use wasmo_wasi::types::{OFlags, Rights};
use wasmo_wasi::{Errno, MemoryInputPipe, preview1 as p1};

const SUBSCRIPTIONS: u32 = 1024;
const EVENTS: u32 = 2048;

/// An event as read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Event {
    userdata: u64,
    error: u16,
    tag: u8,
    bytes: u64,
    flags: u16,
}

fn clock(userdata: u64, id: u32, timeout: u64, flags: u16) -> [u8; 48] {
    let mut record = [0; 48];
    record[..8].copy_from_slice(&userdata.to_le_bytes());
    record[16..20].copy_from_slice(&id.to_le_bytes());
    record[24..32].copy_from_slice(&timeout.to_le_bytes());
    record[40..42].copy_from_slice(&flags.to_le_bytes());
    record
}

fn descriptor(userdata: u64, tag: u8, fd: u32) -> [u8; 48] {
    let mut record = [0; 48];
    record[..8].copy_from_slice(&userdata.to_le_bytes());
    record[8] = tag;
    record[16..20].copy_from_slice(&fd.to_le_bytes());
    record
}

fn poll(guest: &mut Guest, subscriptions: &[[u8; 48]]) -> Result<Vec<Event>, Errno> {
    guest.put(SUBSCRIPTIONS, &subscriptions.concat());
    let count = u32::try_from(subscriptions.len()).unwrap();
    guest.call(|ctx, memory| p1::poll_oneoff(ctx, memory, SUBSCRIPTIONS, EVENTS, count, 0))?;
    Ok((0..guest.u32(0))
        .map(|index| {
            let at = EVENTS + 32 * index;
            let bytes = &guest.memory[at as usize..][..32];
            Event {
                userdata: guest.u64(at),
                error: u16::from_le_bytes([bytes[8], bytes[9]]),
                tag: bytes[10],
                bytes: guest.u64(at + 16),
                flags: u16::from_le_bytes([bytes[24], bytes[25]]),
            }
        })
        .collect())
}

fn event(userdata: u64, tag: u8) -> Event {
    Event { userdata, error: 0, tag, bytes: 0, flags: 0 }
}

fn now(guest: &mut Guest, id: u32) -> u64 {
    guest.call(|ctx, memory| p1::clock_time_get(ctx, memory, id, 0, 0)).unwrap();
    guest.u64(0)
}

#[test]
fn a_guest_can_sleep() {
    let mut guest = Guest::new();
    for id in 0..2 {
        let start = Instant::now();
        assert_eq!(poll(&mut guest, &[clock(7, id, 30_000_000, 0)]), Ok(vec![event(7, 0)]));
        assert!(start.elapsed() >= Duration::from_millis(29), "clock {id}");
        let until = now(&mut guest, id) + 30_000_000;
        assert_eq!(poll(&mut guest, &[clock(8, id, until, 1)]), Ok(vec![event(8, 0)]));
        assert!(now(&mut guest, id) >= until, "clock {id}");
        assert_eq!(poll(&mut guest, &[clock(9, id, 1, 1)]), Ok(vec![event(9, 0)]));
    }
}

#[test]
fn the_first_of_several_clocks_counts() {
    let mut guest = Guest::new();
    let subscriptions = [clock(1, 1, u64::MAX, 0), clock(2, 1, 1_000_000, 0), clock(3, 0, 0, 0)];
    assert_eq!(poll(&mut guest, &subscriptions), Ok(vec![event(3, 0)]));
    assert_eq!(poll(&mut guest, &subscriptions[..2]), Ok(vec![event(2, 0)]));
}

#[test]
fn errors_are_events_and_happen_at_once() {
    let mut guest = Guest::new();
    let subscriptions = [
        clock(1, 1, u64::MAX, 0),
        clock(2, 99, 0, 0),
        clock(3, 2, 0, 0),
        descriptor(4, 1, 77),
        descriptor(5, 2, 0),
        descriptor(6, 1, ROOT),
    ];
    let errors: Vec<(u64, u16)> =
        poll(&mut guest, &subscriptions).unwrap().iter().map(|event| (event.userdata, event.error)).collect();
    let [inval, notsup, badf, notcapable] =
        [Errno::Inval, Errno::Notsup, Errno::Badf, Errno::Notcapable].map(Errno::raw);
    assert_eq!(errors, [(2, inval), (3, notsup), (4, badf), (5, notcapable), (6, notcapable)]);
}

#[test]
fn calls_that_make_no_sense_fail() {
    let mut guest = Guest::new();
    assert_eq!(poll(&mut guest, &[]), Err(Errno::Inval));
    assert_eq!(poll(&mut guest, &[descriptor(1, 3, 0)]), Err(Errno::Inval));
    assert_eq!(poll(&mut guest, &[clock(1, 0, 0, 2)]), Err(Errno::Inval));
    let end = u32::try_from(guest.memory.len()).unwrap();
    for (input, output, count, result) in
        [(end - 47, 0, 1, 0), (0, end - 31, 1, 0), (0, 0, 1, end - 3), (0, 0, 1 << 14, 0)]
    {
        let result = guest.call(|ctx, memory| p1::poll_oneoff(ctx, memory, input, output, count, result));
        assert_eq!(result, Err(Errno::Fault));
    }
    let result = guest.call(|ctx, memory| p1::poll_oneoff(ctx, memory, 0, 0, u32::MAX, 0));
    assert_eq!(result, Err(Errno::Inval));
}

#[test]
fn streams_in_memory_are_always_ready() {
    let mut guest = Guest::with(|builder| {
        builder.stdin(MemoryInputPipe::new("12345"));
    });
    let subscriptions = [clock(1, 1, 200_000_000, 0), descriptor(2, 1, 0), descriptor(3, 2, 1), descriptor(4, 2, 2)];
    let events = poll(&mut guest, &subscriptions).unwrap();
    assert_eq!(events.iter().map(|event| event.userdata).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(events[0].bytes, 5);
}

#[test]
fn files_are_ready_and_tell_what_is_left() {
    let mut guest = Guest::new();
    let how = Open::flags(OFlags::CREAT).rights(Rights::REGULAR_FILE);
    let fd = guest.open(ROOT, "file", how).unwrap();
    guest.write(fd, b"0123456789").unwrap();
    guest.seek(fd, 3, 0).unwrap();
    let events = poll(&mut guest, &[descriptor(1, 1, fd), descriptor(2, 2, fd)]).unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0], Event { bytes: 7, ..event(1, 1) });
}

#[test]
fn a_pipe_is_waited_for() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut guest = Guest::with(|builder| {
        builder.stdin(File::from(std::os::fd::OwnedFd::from(reader)));
    });
    let timeout = clock(1, 1, 20_000_000, 0);
    let input = descriptor(2, 1, 0);
    assert_eq!(poll(&mut guest, &[timeout, input]), Ok(vec![event(1, 0)]));
    let mut writer = writer;
    writer.write_all(b"abc").unwrap();
    assert_eq!(poll(&mut guest, &[timeout, input]), Ok(vec![Event { bytes: 3, ..event(2, 1) }]));
    assert_eq!(guest.read(0, 10).unwrap(), b"abc");
    drop(writer);
    assert_eq!(poll(&mut guest, &[timeout, input]), Ok(vec![Event { flags: 1, ..event(2, 1) }]));
    assert_eq!(guest.read(0, 10).unwrap(), b"");
}
