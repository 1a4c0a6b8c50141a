//! `path_open`: flags, links, slashes.

use crate::guest::{Guest, Open, ROOT};
use std::os::unix::fs::PermissionsExt;
use wasmo_wasi::Errno;
use wasmo_wasi::types::{FdFlags, OFlags, Rights};

const DIRECTORY: Open = Open { follow: false, oflags: OFlags::DIRECTORY.bits(), base: 0, inheriting: 0, fdflags: 0 };

#[test]
fn creation_flags_do_what_they_say() {
    let mut guest = Guest::new();
    assert_eq!(guest.open(ROOT, "file", Open::default()), Err(Errno::Noent));
    guest.create(ROOT, "file");
    guest.create(ROOT, "file");
    let exclusive = Open::flags(OFlags::CREAT | OFlags::EXCL);
    assert_eq!(guest.open(ROOT, "file", exclusive), Err(Errno::Exist));
    let fd = guest.open(ROOT, "new", exclusive).unwrap();
    assert!(fd > ROOT);
    assert_eq!(guest.open(ROOT, "file", DIRECTORY), Err(Errno::Notdir));
    assert_eq!(guest.open(ROOT, "missing", DIRECTORY), Err(Errno::Noent));
    let senseless = Open::flags(OFlags::CREAT | OFlags::DIRECTORY);
    assert_eq!(guest.open(ROOT, "sub", senseless), Err(Errno::Inval));
    assert_eq!(guest.open(ROOT, "x", Open { oflags: 16, ..Open::default() }), Err(Errno::Inval));
    assert_eq!(guest.open(ROOT, "x", Open { fdflags: 32, ..Open::default() }), Err(Errno::Inval));
}

#[test]
fn truncation_empties_a_file() {
    let mut guest = Guest::new();
    let data = b"this content will be truncated!";
    let write = Open::flags(OFlags::CREAT).rights(Rights::FD_WRITE);
    let fd = guest.open(ROOT, "file", write).unwrap();
    assert_eq!(guest.write(fd, data), Ok(31));
    let how = Open::flags(OFlags::CREAT | OFlags::TRUNC).rights(Rights::FD_WRITE | Rights::FD_READ);
    let fd = guest.open(ROOT, "file", how).unwrap();
    assert_eq!(guest.read(fd, 100), Ok(vec![]));
    assert_eq!(guest.write(fd, data), Ok(31));
    guest.open(ROOT, "file", Open::flags(OFlags::TRUNC)).unwrap();
    assert_eq!(guest.path_stat(ROOT, "file", false).unwrap().size, 0);
}

#[test]
fn a_file_that_is_only_readable_can_be_opened_with_creat() {
    let mut guest = Guest::new();
    std::fs::write(guest.path("file"), "text").unwrap();
    std::fs::set_permissions(guest.path("file"), std::fs::Permissions::from_mode(0o444)).unwrap();
    let how = Open::flags(OFlags::CREAT).rights(Rights::FD_READ);
    let fd = guest.open(ROOT, "file", how).unwrap();
    assert_eq!(guest.read(fd, 10).unwrap(), b"text");
}

#[test]
fn directories_cannot_be_opened_for_writing() {
    let mut guest = Guest::new();
    let read_write = Rights::FD_READ | Rights::FD_WRITE;
    assert_eq!(guest.open(ROOT, ".", DIRECTORY.rights(read_write)), Err(Errno::Isdir));
    assert_eq!(guest.open(ROOT, ".", Open::default().rights(read_write)), Err(Errno::Isdir));
    assert_eq!(guest.open(ROOT, ".", Open::flags(OFlags::CREAT)), Err(Errno::Isdir));
    assert!(guest.open(ROOT, ".", DIRECTORY.rights(Rights::FD_READ)).is_ok());
    assert!(guest.open(ROOT, ".", Open::default().fdflags(FdFlags::NONBLOCK)).is_ok());
}

#[test]
fn a_file_is_no_place_to_open_things_in() {
    let mut guest = Guest::new();
    let fd = guest.open(ROOT, "file", Open::flags(OFlags::CREAT)).unwrap();
    assert_eq!(guest.open(fd, "foo", Open::flags(OFlags::CREAT)), Err(Errno::Notdir));
    assert_eq!(guest.open(1, "foo", Open::default()), Err(Errno::Notdir));
    assert_eq!(guest.open(99, "foo", Open::default()), Err(Errno::Badf));
}

#[test]
fn links_are_followed_when_asked() {
    let mut guest = Guest::new();
    guest.mkdir(ROOT, "target").unwrap();
    guest.symlink("target", ROOT, "link").unwrap();
    assert!(matches!(guest.open(ROOT, "link", DIRECTORY), Err(Errno::Loop | Errno::Notdir)));
    assert_eq!(guest.open(ROOT, "link", Open::default()), Err(Errno::Loop));
    guest.open(ROOT, "link", DIRECTORY.follow()).unwrap();
    guest.rmdir(ROOT, "target").unwrap();
    assert_eq!(guest.open(ROOT, "link", Open::default()), Err(Errno::Loop), "dangling");
    assert_eq!(guest.open(ROOT, "link", Open::default().follow()), Err(Errno::Noent));
    guest.create(ROOT, "target");
    assert!(matches!(guest.open(ROOT, "link", DIRECTORY), Err(Errno::Loop | Errno::Notdir)));
    assert_eq!(guest.open(ROOT, "link", DIRECTORY.follow()), Err(Errno::Notdir));
    guest.symlink("loop", ROOT, "loop").unwrap();
    assert_eq!(guest.open(ROOT, "loop", Open::default()), Err(Errno::Loop));
    assert_eq!(guest.open(ROOT, "loop", Open::default().follow()), Err(Errno::Loop));
}

#[test]
fn creating_through_a_dangling_link_stays_inside() {
    let mut guest = Guest::new();
    guest.symlink("target", ROOT, "link").unwrap();
    guest.open(ROOT, "link", Open::flags(OFlags::CREAT).follow()).unwrap();
    assert!(guest.path("target").exists());
}

#[test]
fn odd_paths() {
    let mut guest = Guest::new();
    guest.mkdir(ROOT, "dir").unwrap();
    guest.mkdir(ROOT, "dir/nested").unwrap();
    guest.create(ROOT, "dir/nested/file");
    let mut open = |path: &str| guest.open(ROOT, path, Open::default());
    assert_eq!(open("/dir/nested/file"), Err(Errno::Perm));
    assert!(open("dir/.//nested/../../dir/nested/../nested///./file").is_ok());
    assert_eq!(open("dir/nested/file\0"), Err(Errno::Inval));
    assert_eq!(open("dir/nested/file/"), Err(Errno::Notdir));
    assert_eq!(open("dir/nested/file///"), Err(Errno::Notdir));
    assert!(open("dir/nested/").is_ok());
    assert!(open("dir/nested///").is_ok());
    assert_eq!(open("dir/nested/../../../x/dir/nested/file"), Err(Errno::Perm));
    assert_eq!(open(""), Err(Errno::Noent));
    assert_eq!(open(&"x".repeat(300)), Err(Errno::Nametoolong));
    assert_eq!(open(&"x/".repeat(2050)), Err(Errno::Nametoolong));
}
