//! What the embedder does not allow, the guest cannot do, whatever rights it has.

use crate::guest::{Guest, Open, ROOT};
use wasmo_wasi::types::{OFlags, Rights};
use wasmo_wasi::{DirPerms, Errno, FilePerms, preview1 as p1};

fn read_only() -> Guest {
    let guest = Guest::with_perms(DirPerms::READ, FilePerms::READ, |_| ());
    std::fs::write(guest.path("file"), "text").unwrap();
    std::fs::create_dir(guest.path("dir")).unwrap();
    guest
}

#[test]
fn a_read_only_directory_is_read() {
    let mut guest = read_only();
    let how = Open::default().rights(Rights::FD_READ | Rights::FD_FILESTAT_GET);
    let fd = guest.open(ROOT, "file", how).unwrap();
    assert_eq!(guest.read(fd, 10).unwrap(), b"text");
    assert_eq!(guest.path_stat(ROOT, "file", true).unwrap().size, 4);
    assert_eq!(guest.readdir(ROOT, 4096, 0).unwrap().0.len(), 4);
}

#[test]
fn a_read_only_directory_is_not_changed() {
    let mut guest = read_only();
    let perm = Err(Errno::Perm);
    assert_eq!(guest.open(ROOT, "new", Open::flags(OFlags::CREAT)).map(drop), perm);
    assert_eq!(guest.open(ROOT, "file", Open::flags(OFlags::TRUNC)).map(drop), perm);
    for right in [Rights::FD_WRITE, Rights::FD_ALLOCATE, Rights::FD_FILESTAT_SET_SIZE] {
        assert_eq!(guest.open(ROOT, "file", Open::default().rights(right)).map(drop), perm);
    }
    assert_eq!(guest.mkdir(ROOT, "new"), perm);
    assert_eq!(guest.rmdir(ROOT, "dir"), perm);
    assert_eq!(guest.unlink(ROOT, "file"), perm);
    assert_eq!(guest.symlink("file", ROOT, "new"), perm);
    assert_eq!(guest.link((ROOT, "file"), false, (ROOT, "new")), perm);
    assert_eq!(guest.rename((ROOT, "file"), (ROOT, "new")), perm);
    assert_eq!(guest.path_set_times("file", false, 0, 0, 2), perm);
    let result = guest.call(|ctx, memory| p1::fd_filestat_set_times(ctx, memory, ROOT, 0, 0, 2));
    assert_eq!(result, perm);
    let how = Open::default().rights(Rights::FD_FILESTAT_SET_TIMES);
    let fd = guest.open(ROOT, "file", how).unwrap();
    let result = guest.call(|ctx, memory| p1::fd_filestat_set_times(ctx, memory, fd, 0, 0, 2));
    assert_eq!(result, perm);
    assert_eq!(std::fs::read(guest.path("file")).unwrap(), b"text");
}

#[test]
fn the_limits_hold_below() {
    let mut guest = read_only();
    let all = Rights::DIRECTORY | Rights::REGULAR_FILE;
    let how = Open { inheriting: all.bits(), ..Open::flags(OFlags::DIRECTORY) };
    let dir = guest.open(ROOT, "dir", how.rights(Rights::DIRECTORY)).unwrap();
    assert_eq!(guest.open(dir, "new", Open::flags(OFlags::CREAT)), Err(Errno::Perm));
    assert_eq!(guest.mkdir(dir, "new"), Err(Errno::Perm));
}

#[test]
fn a_file_does_not_become_writable_by_moving() {
    let shared = tempfile::tempdir().unwrap();
    std::fs::write(shared.path().join("file"), "text").unwrap();
    let mut guest = Guest::with(|builder| {
        builder.preopened_dir(shared.path(), "/shared", DirPerms::all(), FilePerms::READ).unwrap();
    });
    let shared_fd = ROOT + 1;
    let (old, new) = ((shared_fd, "file"), (ROOT, "file"));
    assert_eq!(guest.link(old, false, new), Err(Errno::Perm));
    assert_eq!(guest.rename(old, new), Err(Errno::Perm));
    guest.rename(old, (shared_fd, "renamed")).unwrap();
    guest.create(ROOT, "mine");
    guest.rename((ROOT, "mine"), (shared_fd, "mine")).unwrap();
}

#[test]
fn without_permission_to_read_files_they_are_not_read() {
    let mut guest = Guest::with_perms(DirPerms::all(), FilePerms::WRITE, |_| ());
    std::fs::write(guest.path("file"), "text").unwrap();
    let read = Open::default().rights(Rights::FD_READ);
    assert_eq!(guest.open(ROOT, "file", read), Err(Errno::Perm));
    let create = Open::flags(OFlags::CREAT).rights(Rights::FD_READ);
    assert_eq!(guest.open(ROOT, "new", create), Err(Errno::Perm));
    assert!(!guest.path("new").exists());
    let fd = guest.open(ROOT, "file", Open::default().rights(Rights::FD_WRITE)).unwrap();
    assert_eq!(guest.read(fd, 4), Err(Errno::Notcapable));
    guest.write(fd, b"T").unwrap();
}
