//! `clock_*`.

use crate::guest::Guest;
use std::time::{Duration, SystemTime};
use wasmo_wasi::{Errno, preview1 as p1};

#[test]
fn every_clock_has_a_resolution_and_does_not_run_backwards() {
    let mut guest = Guest::new();
    for id in 0..4 {
        guest.call(|ctx, memory| p1::clock_res_get(ctx, memory, id, 0)).unwrap();
        let resolution = guest.u64(0);
        assert!((1..1_000_000_000).contains(&resolution), "clock {id}: {resolution}");
        let mut last = 0;
        for _ in 0..100 {
            guest.call(|ctx, memory| p1::clock_time_get(ctx, memory, id, 0, 0)).unwrap();
            assert!(guest.u64(0) >= last, "clock {id}");
            last = guest.u64(0);
        }
        assert!(last > 0, "clock {id}");
    }
}

#[test]
fn the_real_time_is_the_hosts() {
    let mut guest = Guest::new();
    guest.call(|ctx, memory| p1::clock_time_get(ctx, memory, 0, u64::MAX, 0)).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(guest.u64(0));
    assert!(time.elapsed().unwrap() < Duration::from_secs(60));
}

#[test]
fn other_clocks_do_not_exist() {
    let mut guest = Guest::new();
    for id in [4, u32::MAX] {
        let result = guest.call(|ctx, memory| p1::clock_time_get(ctx, memory, id, 0, 0));
        assert_eq!(result, Err(Errno::Inval));
        let result = guest.call(|ctx, memory| p1::clock_res_get(ctx, memory, id, 0));
        assert_eq!(result, Err(Errno::Inval));
    }
}
