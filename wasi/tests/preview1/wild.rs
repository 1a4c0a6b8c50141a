//! Wild arguments: whatever the numbers, every function gives an answer and leaves its surroundings
//! alone.

use crate::guest::{Guest, Open, ROOT};
use wasmo_wasi::types::{OFlags, Rights};
use wasmo_wasi::{Errno, GuestMemory, MemoryInputPipe, WasiCtx, preview1 as p1};

type Call = fn(&mut WasiCtx, &mut GuestMemory<'_>, &mut dyn FnMut() -> u64) -> Result<(), Errno>;

/// Calls a function with as many numbers as it has parameters.
macro_rules! calls {
    ($($name:ident($($kind:ident)*))*) => {
        [$((stringify!($name), |ctx, memory, next| {
            let _ = &next;
            p1::$name(ctx, memory $(, calls!(@ $kind next))*)
        })),*]
    };
    (@ w $next:ident) => { $next() as u32 };
    (@ d $next:ident) => { $next() };
    (@ s $next:ident) => { $next().cast_signed() };
}

/// All functions but `proc_exit`: `w` stands for a 32-bit parameter, `d` for 64 bits, `s` signed.
const CALLS: [(&str, Call); 45] = calls! {
    args_get(w w) args_sizes_get(w w) environ_get(w w) environ_sizes_get(w w)
    clock_res_get(w w) clock_time_get(w d w)
    fd_advise(w d d w) fd_allocate(w d d) fd_close(w) fd_datasync(w) fd_fdstat_get(w w)
    fd_fdstat_set_flags(w w) fd_fdstat_set_rights(w d d) fd_filestat_get(w w)
    fd_filestat_set_size(w d) fd_filestat_set_times(w d d w) fd_pread(w w w d w)
    fd_prestat_get(w w) fd_prestat_dir_name(w w w) fd_pwrite(w w w d w) fd_read(w w w w)
    fd_readdir(w w w d w) fd_renumber(w w) fd_seek(w s w w) fd_sync(w) fd_tell(w w)
    fd_write(w w w w)
    path_create_directory(w w w) path_filestat_get(w w w w w)
    path_filestat_set_times(w w w w d d w) path_link(w w w w w w w)
    path_open(w w w w w d d w w) path_readlink(w w w w w w) path_remove_directory(w w w)
    path_rename(w w w w w w) path_symlink(w w w w w) path_unlink_file(w w w)
    poll_oneoff(w w w w) proc_raise(w) random_get(w w) sched_yield()
    sock_accept(w w w) sock_recv(w w w w w w) sock_send(w w w w w) sock_shutdown(w w)
};

fn guest() -> Guest {
    let mut guest = Guest::with(|builder| {
        builder.arg("program").env("NAME", "value").stdin(MemoryInputPipe::new("input"));
    });
    let how = Open::flags(OFlags::CREAT).rights(Rights::REGULAR_FILE);
    guest.open(ROOT, "file", how).unwrap();
    guest
}

#[test]
fn pointers_outside_the_memory_are_faults() {
    let end = 1 << 16;
    for wild in [end, end + 1, 1 << 31, u64::from(u32::MAX) - 7, u64::from(u32::MAX)] {
        for (name, call) in CALLS {
            for fd in 0..5 {
                let mut guest = guest();
                // The first parameter is a descriptor or a pointer; all others are wild.
                let mut first = Some(fd);
                let mut next = || first.take().unwrap_or(wild);
                let result = guest.call(|ctx, memory| call(ctx, memory, &mut next));
                // The whole memory may well be filled with random bytes.
                let whole = name == "random_get" && fd == 0 && wild == end;
                let harmless = whole
                    || matches!(
                        name,
                        "fd_close"
                            | "fd_fdstat_set_rights"
                            | "fd_renumber"
                            | "fd_sync"
                            | "fd_datasync"
                            | "sched_yield"
                            | "fd_advise"
                            | "fd_allocate"
                            | "fd_filestat_set_size"
                            | "fd_filestat_set_times"
                    );
                assert!(harmless || result.is_err(), "{name} {fd} {wild:#x}: {result:?}");
            }
        }
    }
}

#[test]
fn no_numbers_make_a_function_panic() {
    let mut guest = guest();
    let end = u64::try_from(guest.memory.len()).unwrap();
    let interesting = [
        0,
        1,
        2,
        3,
        4,
        5,
        8,
        16,
        64,
        100,
        end - 48,
        end - 8,
        end - 1,
        end,
        end + 1,
        1 << 31,
        u64::from(u32::MAX),
        1 << 32,
        1 << 63,
        u64::MAX,
    ];
    // A linear congruential generator: the same numbers in every run, and a seed to print.
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap()
    };
    for round in 0..3000 {
        if round % 50 == 0 {
            guest = self::guest();
        }
        for (name, call) in CALLS {
            // These could wait for ever, and rightly so; they have tests of their own.
            if matches!(name, "poll_oneoff" | "fd_allocate") {
                continue;
            }
            for byte in &mut guest.memory[..64] {
                *byte = random() as u8;
            }
            let mut next = || interesting[random() % interesting.len()];
            let before = guest.memory.len();
            let _ = guest.call(|ctx, memory| call(ctx, memory, &mut next));
            assert_eq!(guest.memory.len(), before);
        }
    }
}
