//! Attributes, sizes, times, allocation, synchronisation, renumbering.

use crate::guest::{Guest, Open, ROOT};
use wasmo_wasi::types::{FstFlags, OFlags, Rights};
use wasmo_wasi::{Errno, preview1 as p1};

fn file(guest: &mut Guest, name: &str) -> u32 {
    guest.open(ROOT, name, Open::flags(OFlags::CREAT).rights(Rights::REGULAR_FILE)).unwrap()
}

#[test]
fn size_and_times_are_set_and_reported() {
    let mut guest = Guest::new();
    let fd = file(&mut guest, "file");
    assert_eq!(guest.stat(fd).unwrap().size, 0);
    guest.call(|ctx, memory| p1::fd_filestat_set_size(ctx, memory, fd, 100)).unwrap();
    let before = guest.stat(fd).unwrap();
    assert_eq!((before.size, before.file_type, before.links), (100, 4, 1));
    let mut set = |accessed, modified, flags: FstFlags| {
        guest.call(|ctx, memory| p1::fd_filestat_set_times(ctx, memory, fd, accessed, modified, flags.bits().into()))
    };
    set(1, before.modified - 100, FstFlags::MTIM).unwrap();
    assert_eq!(set(1, 1, FstFlags::MTIM | FstFlags::MTIM_NOW), Err(Errno::Inval));
    assert_eq!(set(1, 1, FstFlags::ATIM | FstFlags::ATIM_NOW), Err(Errno::Inval));
    let after = guest.stat(fd).unwrap();
    assert_eq!(after.modified, before.modified - 100);
    assert_eq!(after.accessed, before.accessed);
    guest.call(|ctx, memory| p1::fd_filestat_set_times(ctx, memory, fd, 5, 0, 1 | 8)).unwrap();
    let now = guest.stat(fd).unwrap();
    assert_eq!(now.accessed, 5);
    assert!(now.modified >= before.modified);
}

#[test]
fn the_times_of_a_directory_can_be_set() {
    let mut guest = Guest::new();
    guest.call(|ctx, memory| p1::fd_filestat_set_times(ctx, memory, ROOT, 7, 9, 1 | 4)).unwrap();
    let stat = guest.stat(ROOT).unwrap();
    assert_eq!((stat.file_type, stat.accessed, stat.modified), (3, 7, 9));
}

#[test]
fn allocation_grows_a_file_and_advice_does_not() {
    let mut guest = Guest::new();
    let fd = file(&mut guest, "file");
    let mut allocate = |offset, len| guest.call(|ctx, memory| p1::fd_allocate(ctx, memory, fd, offset, len));
    allocate(0, 100).unwrap();
    allocate(10, 10).unwrap();
    assert_eq!(allocate(0, 0), Err(Errno::Inval));
    assert!(allocate(u64::MAX, 1).is_err());
    assert!(allocate(u64::MAX >> 1, u64::MAX >> 1).is_err());
    assert_eq!(guest.stat(fd).unwrap().size, 100);
    guest.call(|ctx, memory| p1::fd_allocate(ctx, memory, fd, 90, 20)).unwrap();
    assert_eq!(guest.stat(fd).unwrap().size, 110);
    for advice in 0..6 {
        guest.call(|ctx, memory| p1::fd_advise(ctx, memory, fd, 10, 50, advice)).unwrap();
    }
    let wrong = guest.call(|ctx, memory| p1::fd_advise(ctx, memory, fd, 10, 50, 6));
    assert_eq!(wrong, Err(Errno::Inval));
    assert_eq!(guest.stat(fd).unwrap().size, 110);
}

#[test]
fn files_and_directories_are_synchronised() {
    let mut guest = Guest::new();
    let fd = file(&mut guest, "file");
    for fd in [fd, ROOT] {
        guest.call(|ctx, memory| p1::fd_sync(ctx, memory, fd)).unwrap();
        guest.call(|ctx, memory| p1::fd_datasync(ctx, memory, fd)).unwrap();
    }
    assert_eq!(guest.call(|ctx, memory| p1::fd_sync(ctx, memory, 1)), Err(Errno::Inval));
}

#[test]
fn device_and_inode_tell_files_apart() {
    let mut guest = Guest::new();
    let (a, b) = (file(&mut guest, "a"), file(&mut guest, "b"));
    let (a, b) = (guest.stat(a).unwrap(), guest.stat(b).unwrap());
    assert_eq!(a.device, b.device);
    assert_ne!(a.inode, b.inode);
    assert_eq!(guest.path_stat(ROOT, "a", false).unwrap().inode, a.inode);
}

#[test]
fn renumbering_replaces_an_open_descriptor_only() {
    let mut guest = Guest::new();
    let (from, to) = (file(&mut guest, "a"), file(&mut guest, "b"));
    let inode = guest.stat(from).unwrap().inode;
    let mut renumber = |from, to| guest.call(|ctx, memory| p1::fd_renumber(ctx, memory, from, to));
    assert_eq!(renumber(from, to), Ok(()));
    assert_eq!(renumber(to, from), Err(Errno::Badf));
    assert_eq!(renumber(from, to), Err(Errno::Badf));
    assert_eq!(renumber(to, to), Ok(()));
    assert_eq!(guest.close(from), Err(Errno::Badf));
    assert_eq!(guest.stat(to).unwrap().inode, inode);
}

#[test]
fn preopened_directories_can_be_renumbered_and_closed() {
    let mut guest = Guest::new();
    guest.mkdir(ROOT, "sub").unwrap();
    let sub = guest.open(ROOT, "sub", Open::default().rights(Rights::DIRECTORY)).unwrap();
    let inode = guest.stat(sub).unwrap().inode;
    guest.call(|ctx, memory| p1::fd_renumber(ctx, memory, sub, ROOT)).unwrap();
    assert_eq!(guest.stat(ROOT).unwrap().inode, inode);
    let prestat = guest.call(|ctx, memory| p1::fd_prestat_get(ctx, memory, ROOT, 0));
    assert_eq!(prestat, Err(Errno::Badf));
    guest.close(ROOT).unwrap();
    assert_eq!(guest.fdstat(ROOT), Err(Errno::Badf));
}

#[test]
fn preopened_names_are_told() {
    let mut guest = Guest::new();
    guest.call(|ctx, memory| p1::fd_prestat_get(ctx, memory, ROOT, 0)).unwrap();
    assert_eq!((guest.memory[0], guest.u32(4)), (0, 1));
    let mut name = |len| guest.call(|ctx, memory| p1::fd_prestat_dir_name(ctx, memory, ROOT, 100, len));
    assert_eq!(name(0), Err(Errno::Nametoolong));
    assert_eq!(name(2), Ok(()));
    assert_eq!(&guest.memory[100..102], b"/\0");
    for fd in [0, 4] {
        let result = guest.call(|ctx, memory| p1::fd_prestat_get(ctx, memory, fd, 0));
        assert_eq!(result, Err(Errno::Badf));
    }
}
