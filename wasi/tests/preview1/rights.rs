//! Rights: what is reported, what is enforced, and that they only shrink.

use crate::guest::{Guest, Open, ROOT};
use wasmo_wasi::types::{FdFlags, OFlags, Rights};
use wasmo_wasi::{Errno, GuestMemory, WasiCtx, preview1 as p1};

type Call = fn(&mut WasiCtx, &mut GuestMemory<'_>, u32) -> Result<(), Errno>;

fn file(guest: &mut Guest, rights: Rights) -> u32 {
    guest.open(ROOT, "file", Open::flags(OFlags::CREAT).rights(rights)).unwrap()
}

#[test]
fn a_preopened_directory_has_what_libraries_expect() {
    let mut guest = Guest::new();
    let stat = guest.fdstat(ROOT).unwrap();
    assert_eq!(stat.base, Rights::DIRECTORY.bits());
    assert_eq!(stat.inheriting, (Rights::DIRECTORY | Rights::REGULAR_FILE).bits());
    let same = Open { base: stat.base, inheriting: stat.inheriting, ..Open::default() };
    let fd = guest.open(ROOT, ".", same).unwrap();
    assert_eq!(guest.fdstat(fd), Ok(stat));
}

#[test]
fn reading_and_writing_need_their_rights() {
    let mut guest = Guest::new();
    let fd = file(&mut guest, Rights::FD_WRITE);
    assert_eq!(guest.read(fd, 1), Err(Errno::Notcapable));
    assert_eq!(guest.pread(fd, 1, 0), Err(Errno::Notcapable));
    guest.write(fd, b"x").unwrap();
    assert_eq!(guest.seek(fd, 1, 0), Err(Errno::Notcapable));
    assert_eq!(guest.tell(fd), Err(Errno::Notcapable));
    assert_eq!(guest.stat(fd), Err(Errno::Notcapable));
    let fd = file(&mut guest, Rights::FD_READ | Rights::FD_TELL);
    assert_eq!(guest.write(fd, b"x"), Err(Errno::Notcapable));
    assert_eq!(guest.pwrite(fd, b"x", 0), Err(Errno::Notcapable));
    assert_eq!(guest.read(fd, 1).unwrap(), b"x");
    assert_eq!(guest.seek(fd, 0, 1), Ok(1));
    assert_eq!(guest.seek(fd, 0, 0), Err(Errno::Notcapable));
    let none: [Call; 4] = [
        |ctx, memory, fd| p1::fd_sync(ctx, memory, fd),
        |ctx, memory, fd| p1::fd_datasync(ctx, memory, fd),
        |ctx, memory, fd| p1::fd_allocate(ctx, memory, fd, 0, 1),
        |ctx, memory, fd| p1::fd_filestat_set_size(ctx, memory, fd, 0),
    ];
    for function in none {
        assert_eq!(guest.call(|ctx, memory| function(ctx, memory, fd)), Err(Errno::Notcapable));
    }
}

#[test]
fn rights_can_be_given_up_but_not_taken_back() {
    let mut guest = Guest::new();
    let rights = Rights::FD_READ | Rights::FD_WRITE | Rights::FD_SEEK | Rights::FD_TELL;
    let fd = file(&mut guest, rights);
    let kept = Rights::FD_SEEK | Rights::FD_TELL;
    guest.set_rights(fd, kept.bits(), 0).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().base, kept.bits());
    assert_eq!(guest.write(fd, b"x"), Err(Errno::Notcapable));
    assert_eq!(guest.set_rights(fd, rights.bits(), 0), Err(Errno::Notcapable));
    assert_eq!(guest.set_rights(fd, kept.bits(), 1), Err(Errno::Notcapable));
    assert_eq!(guest.set_rights(fd, u64::MAX, 0), Err(Errno::Notcapable));
    assert_eq!(guest.fdstat(fd).unwrap().base, kept.bits());
}

#[test]
fn a_directory_without_the_right_to_seek_does_not_get_it() {
    let mut guest = Guest::new();
    let how = Open::flags(OFlags::DIRECTORY).rights(Rights::FD_SEEK | Rights::FD_READDIR);
    let fd = guest.open(ROOT, ".", how).unwrap();
    assert_eq!(guest.fdstat(fd).unwrap().base, Rights::FD_READDIR.bits());
    assert_eq!(guest.seek(fd, 0, 1), Err(Errno::Isdir));
}

#[test]
fn opening_gives_no_more_than_the_directory_passes_on() {
    let mut guest = Guest::new();
    guest.create(ROOT, "file");
    let full = guest.fdstat(ROOT).unwrap();
    guest.set_rights(ROOT, full.base, full.inheriting & !Rights::FD_WRITE.bits()).unwrap();
    let refused = Err(Errno::Notcapable);
    let write = Open::default().rights(Rights::FD_WRITE);
    assert_eq!(guest.open(ROOT, "file", write).map(drop), refused);
    let passed_on = Open { inheriting: Rights::FD_WRITE.bits(), ..Open::default() };
    assert_eq!(guest.open(ROOT, "file", passed_on).map(drop), refused);
    let undefined = Open { base: 1 << 40, ..Open::default() };
    assert_eq!(guest.open(ROOT, "file", undefined).map(drop), refused);
    guest.set_rights(ROOT, full.base, 0).unwrap();
    let sync = Open::default().fdflags(FdFlags::SYNC);
    assert_eq!(guest.open(ROOT, "file", sync).map(drop), refused);
    let dsync = Open::default().fdflags(FdFlags::DSYNC);
    assert_eq!(guest.open(ROOT, "file", dsync).map(drop), refused);
    guest.open(ROOT, "file", Open::default()).unwrap();
}

#[test]
fn truncating_needs_the_right_to_set_sizes_by_path() {
    let mut guest = Guest::new();
    guest.create(ROOT, "file");
    let truncate = Open::flags(OFlags::TRUNC);
    let full = guest.fdstat(ROOT).unwrap();
    let inheriting = full.inheriting & !Rights::FD_FILESTAT_SET_SIZE.bits();
    guest.set_rights(ROOT, full.base, inheriting).unwrap();
    guest.open(ROOT, "file", truncate).unwrap();
    let base = full.base & !Rights::PATH_FILESTAT_SET_SIZE.bits();
    guest.set_rights(ROOT, base, inheriting).unwrap();
    assert_eq!(guest.open(ROOT, "file", truncate), Err(Errno::Notcapable));
}

#[test]
fn every_path_function_needs_its_right() {
    let mut guest = Guest::new();
    guest.create(ROOT, "file");
    let fd = guest.open(ROOT, ".", Open::flags(OFlags::DIRECTORY)).unwrap();
    let refused = Err(Errno::Notcapable);
    assert_eq!(guest.open(fd, "file", Open::default()).map(drop), refused);
    assert_eq!(guest.mkdir(fd, "new"), refused);
    assert_eq!(guest.rmdir(fd, "new"), refused);
    assert_eq!(guest.unlink(fd, "file"), refused);
    assert_eq!(guest.symlink("file", fd, "new"), refused);
    assert_eq!(guest.path_stat(fd, "file", true).map(drop), refused);
    assert_eq!(guest.readdir(fd, 100, 0).map(drop), refused);
    for (old, new) in [(fd, ROOT), (ROOT, fd)] {
        assert_eq!(guest.link((old, "file"), false, (new, "new")), refused);
        assert_eq!(guest.rename((old, "file"), (new, "new")), refused);
    }
    let only_open = Open::flags(OFlags::DIRECTORY).rights(Rights::PATH_OPEN);
    let fd = guest.open(ROOT, ".", only_open).unwrap();
    guest.open(fd, "file", Open::default()).unwrap();
    assert_eq!(guest.open(fd, "new", Open::flags(OFlags::CREAT)).map(drop), refused);
}
