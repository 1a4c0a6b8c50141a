//! The standard streams.

use crate::guest::{Guest, Open, ROOT};
use std::fs::File;
use std::os::fd::OwnedFd;
use wasmo_wasi::types::{OFlags, Rights};
use wasmo_wasi::{Errno, MemoryInputPipe, MemoryOutputPipe, preview1 as p1};

#[test]
fn streams_in_memory_carry_bytes() {
    let (out, err) = (MemoryOutputPipe::new(8), MemoryOutputPipe::new(8));
    let mut guest = Guest::with(|builder| {
        builder.stdin(MemoryInputPipe::new("input")).stdout(out.clone()).stderr(err.clone());
    });
    assert_eq!(guest.read(0, 3).unwrap(), b"inp");
    assert_eq!(guest.read(0, 3).unwrap(), b"ut");
    assert_eq!(guest.read(0, 3).unwrap(), b"");
    assert_eq!(guest.write(1, b"output"), Ok(6));
    assert_eq!(guest.write(2, b"error"), Ok(5));
    assert_eq!(guest.write(1, b"more"), Ok(2));
    assert_eq!(guest.write(1, b"more"), Err(Errno::Nospc));
    assert_eq!((out.contents(), err.contents()), (b"outputmo".to_vec(), b"error".to_vec()));
}

#[test]
fn streams_go_one_way_and_have_no_position() {
    let mut guest = Guest::new();
    assert_eq!(guest.write(0, b"x"), Err(Errno::Notcapable));
    assert_eq!(guest.read(1, 1), Err(Errno::Notcapable));
    for fd in 0..3 {
        assert_eq!(guest.seek(fd, 0, 1), Err(Errno::Spipe));
        assert_eq!(guest.tell(fd), Err(Errno::Spipe));
        assert_eq!(guest.pread(fd, 1, 0), Err(Errno::Spipe));
        assert_eq!(guest.pwrite(fd, b"x", 0), Err(Errno::Spipe));
        assert_eq!(guest.stat(fd).unwrap().file_type, 0);
        assert_eq!(guest.fdstat(fd).unwrap().file_type, 0);
    }
}

#[test]
fn a_pipe_that_nobody_reads_is_broken() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut guest = Guest::with(|builder| {
        builder.stdout(File::from(OwnedFd::from(writer)));
    });
    assert_eq!(guest.write(1, b"x"), Ok(1));
    drop(reader);
    assert_eq!(guest.write(1, b"x"), Err(Errno::Pipe));
}

#[test]
fn input_that_must_not_wait_does_not_and_the_host_is_left_alone() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let same_pipe = File::from(OwnedFd::from(reader.try_clone().unwrap()));
    let mut guest = Guest::with(|builder| {
        builder.stdin(File::from(OwnedFd::from(reader)));
    });
    guest.call(|ctx, memory| p1::fd_fdstat_set_flags(ctx, memory, 0, 4)).unwrap();
    assert_eq!(guest.read(0, 1), Err(Errno::Again));
    let host = rustix::fs::fcntl_getfl(&same_pipe).unwrap();
    assert!(!host.contains(rustix::fs::OFlags::NONBLOCK));
    std::io::Write::write_all(&mut writer, b"x").unwrap();
    assert_eq!(guest.read(0, 5).unwrap(), b"x");
    drop(writer);
    assert_eq!(guest.read(0, 5).unwrap(), b"");
}

#[test]
fn standard_streams_can_be_renumbered() {
    let out = MemoryOutputPipe::new(100);
    let mut guest = Guest::with(|builder| {
        builder.stdout(out.clone());
    });
    let fd = guest.open(ROOT, "file", Open::flags(OFlags::CREAT)).unwrap();
    guest.call(|ctx, memory| p1::fd_renumber(ctx, memory, 1, fd)).unwrap();
    assert_eq!(guest.fdstat(1), Err(Errno::Badf));
    guest.write(fd, b"moved").unwrap();
    assert_eq!(out.contents(), b"moved");
}

#[test]
fn a_terminal_opened_by_path_looks_like_one() {
    let mut guest = Guest::new();
    let how = Open::flags(OFlags::CREAT).rights(Rights::REGULAR_FILE);
    let fd = guest.open(ROOT, "file", how).unwrap();
    let stat = guest.fdstat(fd).unwrap();
    assert_eq!(stat.file_type, 4);
    assert_eq!(stat.base, Rights::REGULAR_FILE.bits());
}
