//! Reading, writing and seeking.

use crate::guest::{DATA, Guest, Open, ROOT};
use wasmo_wasi::types::{FdFlags, OFlags, Rights};
use wasmo_wasi::{Errno, preview1 as p1};

const SEEKABLE: Rights = Rights::FD_READ
    .union(Rights::FD_WRITE)
    .union(Rights::FD_SEEK)
    .union(Rights::FD_TELL)
    .union(Rights::FD_FDSTAT_SET_FLAGS);

fn file(guest: &mut Guest, flags: FdFlags) -> u32 {
    guest.open(ROOT, "file", Open::flags(OFlags::CREAT).rights(SEEKABLE).fdflags(flags)).unwrap()
}

#[test]
fn the_position_moves_with_reads_writes_and_seeks() {
    let mut guest = Guest::new();
    let fd = file(&mut guest, FdFlags::empty());
    assert_eq!(guest.tell(fd), Ok(0));
    assert_eq!(guest.write(fd, &[7; 100]), Ok(100));
    assert_eq!(guest.tell(fd), Ok(100));
    assert_eq!(guest.seek(fd, -50, 1), Ok(50));
    assert_eq!(guest.seek(fd, 0, 0), Ok(0));
    assert_eq!(guest.seek(fd, 1000, 1), Ok(1000));
    assert_eq!(guest.seek(fd, -2000, 1), Err(Errno::Inval));
    assert_eq!(guest.seek(fd, -1, 0), Err(Errno::Inval));
    assert_eq!(guest.seek(fd, 0, 3), Err(Errno::Inval));
    assert_eq!(guest.seek(fd, -10, 2), Ok(90));
    assert_eq!(guest.read(fd, 100).map(|b| b.len()), Ok(10));
    assert_eq!(guest.read(fd, 100).map(|b| b.len()), Ok(0));
    assert_eq!(guest.tell(fd), Ok(100));
}

#[test]
fn positioned_transfers_leave_the_position() {
    let mut guest = Guest::new();
    let fd = file(&mut guest, FdFlags::empty());
    assert_eq!(guest.pwrite(fd, &[0, 1, 2, 3], 0), Ok(4));
    assert_eq!(guest.pread(fd, 4, 2), Ok(vec![2, 3]));
    assert_eq!(guest.pread(fd, 4, 4), Ok(vec![]));
    assert_eq!(guest.pwrite(fd, &[1, 0], 2), Ok(2));
    assert_eq!(guest.tell(fd), Ok(0));
    assert_eq!(guest.read(fd, 4), Ok(vec![0, 1, 1, 0]));
    assert_eq!(guest.pread(fd, 4, u64::MAX), Err(Errno::Inval));
    assert_eq!(guest.pwrite(fd, &[1], u64::MAX), Err(Errno::Inval));
}

#[test]
fn append_can_be_switched_off() {
    let mut guest = Guest::new();
    let fd = file(&mut guest, FdFlags::APPEND);
    guest.write(fd, &[0; 100]).unwrap();
    guest.seek(fd, 0, 0).unwrap();
    guest.write(fd, &[1; 100]).unwrap();
    assert_eq!(guest.pread(fd, 200, 0).unwrap(), [[0; 100], [1; 100]].concat());
    guest.call(|ctx, memory| p1::fd_fdstat_set_flags(ctx, memory, fd, 0)).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().flags, 0);
    guest.seek(fd, 0, 0).unwrap();
    guest.write(fd, &[2; 100]).unwrap();
    assert_eq!(guest.pread(fd, 300, 0).unwrap(), [[2; 100], [1; 100]].concat());
}

#[test]
fn synchronous_flags_are_reported_and_fixed() {
    let mut guest = Guest::new();
    let fd = file(&mut guest, FdFlags::SYNC | FdFlags::APPEND);
    assert_eq!(guest.fdstat(fd).unwrap().flags, (FdFlags::SYNC | FdFlags::APPEND).bits());
    let mut set = |flags: u32| guest.call(|ctx, memory| p1::fd_fdstat_set_flags(ctx, memory, fd, flags));
    assert_eq!(set(0), Err(Errno::Notsup));
    assert_eq!(set(FdFlags::SYNC.bits().into()), Ok(()));
    assert_eq!(set(1 << 5), Err(Errno::Inval));
}

#[test]
fn several_buffers_are_one_transfer() {
    let mut guest = Guest::new();
    let fd = file(&mut guest, FdFlags::empty());
    guest.put(DATA, b"abcdef");
    let list: Vec<u8> = [DATA, 2, 0, 0, DATA + 4, 2, DATA, 1].iter().flat_map(|word| word.to_le_bytes()).collect();
    guest.put(64, &list);
    guest.call(|ctx, memory| p1::fd_write(ctx, memory, fd, 64, 4, 0)).unwrap();
    assert_eq!(guest.u32(0), 5);
    assert_eq!(std::fs::read(guest.path("file")).unwrap(), b"abefa");

    let list: Vec<u8> = [DATA + 9, 2, DATA, 3].iter().flat_map(|word| word.to_le_bytes()).collect();
    guest.put(64, &list);
    guest.call(|ctx, memory| p1::fd_pread(ctx, memory, fd, 64, 2, 0, 0)).unwrap();
    assert_eq!(guest.u32(0), 5);
    assert_eq!(&guest.memory[DATA as usize..][..11], b"efadef\0\0\0ab");
}

#[test]
fn nothing_is_transferred_when_a_pointer_is_wild() {
    let mut guest = Guest::new();
    let fd = file(&mut guest, FdFlags::empty());
    let end = u32::try_from(guest.memory.len()).unwrap();
    let list: Vec<u8> = [DATA, 2, end - 1, 2].iter().flat_map(|word| word.to_le_bytes()).collect();
    guest.put(64, &list);
    let mut write = |list, count, result| guest.call(|ctx, memory| p1::fd_write(ctx, memory, fd, list, count, result));
    assert_eq!(write(64, 2, 0), Err(Errno::Fault));
    assert_eq!(write(64, 1, end - 3), Err(Errno::Fault));
    assert_eq!(write(64, u32::MAX, 0), Err(Errno::Fault));
    assert_eq!(write(end - 4, 1, 0), Err(Errno::Fault));
    let list: Vec<u8> = [0, u32::MAX, 0, u32::MAX].iter().flat_map(|word| word.to_le_bytes()).collect();
    guest.put(64, &list);
    let result = guest.call(|ctx, memory| p1::fd_write(ctx, memory, fd, 64, 2, 0));
    assert!(matches!(result, Err(Errno::Inval | Errno::Fault)));
    assert_eq!(std::fs::read(guest.path("file")).unwrap(), b"");
}

#[test]
fn a_directory_is_not_read_written_or_sought() {
    let mut guest = Guest::new();
    let isdir = Err(Errno::Isdir);
    assert_eq!(guest.read(ROOT, 1).map(drop), isdir);
    assert_eq!(guest.pread(ROOT, 1, 0).map(drop), isdir);
    assert_eq!(guest.write(ROOT, b"x").map(drop), isdir);
    assert_eq!(guest.pwrite(ROOT, b"x", 0).map(drop), isdir);
    for whence in 0..3 {
        assert_eq!(guest.seek(ROOT, 0, whence).map(drop), isdir);
    }
    assert_eq!(guest.tell(ROOT).map(drop), isdir);
    assert_eq!(guest.call(|ctx, memory| p1::fd_allocate(ctx, memory, ROOT, 0, 1)), isdir);
    assert_eq!(guest.call(|ctx, memory| p1::fd_filestat_set_size(ctx, memory, ROOT, 0)), isdir);
}

#[test]
fn closed_descriptors_are_bad() {
    let mut guest = Guest::new();
    let fd = file(&mut guest, FdFlags::empty());
    guest.close(fd).unwrap();
    for fd in [fd, 1000, u32::MAX] {
        assert_eq!(guest.close(fd), Err(Errno::Badf));
        assert_eq!(guest.write(fd, b"x"), Err(Errno::Badf));
        assert_eq!(guest.read(fd, 1), Err(Errno::Badf));
        assert_eq!(guest.fdstat(fd), Err(Errno::Badf));
    }
}
