//! No path leaves the preopened directory.

use crate::guest::{Guest, Open, ROOT};
use std::fs;
use std::os::unix::fs::symlink;
use wasmo_wasi::Errno;
use wasmo_wasi::types::{OFlags, Rights};

/// A directory with a secret beside the guest's, and a guest whose directory holds links to it.
fn guest_beside_a_secret() -> (Guest, tempfile::TempDir) {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let mut guest = Guest::new();
    let host = |name| guest.path(name);
    fs::create_dir(host("sub")).unwrap();
    symlink(outside.path(), host("absolute")).unwrap();
    symlink(outside.path().join("secret"), host("absolute_file")).unwrap();
    let relative = format!("../{}/secret", outside.path().file_name().unwrap().display());
    symlink(&relative, host("relative")).unwrap();
    symlink(format!("../{relative}"), host("sub/relative")).unwrap();
    symlink("..", host("up")).unwrap();
    symlink("relative", host("twice")).unwrap();
    symlink(outside.path().join("missing"), host("dangling")).unwrap();
    guest.create(ROOT, "inside");
    (guest, outside)
}

#[test]
fn nothing_outside_can_be_opened_or_seen() {
    let (mut guest, outside) = guest_beside_a_secret();
    let absolute = outside.path().join("secret");
    let paths = [
        "..",
        "../",
        "/",
        "sub/../..",
        "absolute",
        "absolute/secret",
        "absolute_file",
        "relative",
        "sub/relative",
        "up",
        "up/x",
        "twice",
        "dangling",
        "sub/../up/etc/passwd",
        absolute.to_str().unwrap(),
    ];
    for path in paths {
        for how in [
            Open::default().follow(),
            Open::default().follow().rights(Rights::FD_READ),
            Open::flags(OFlags::CREAT | OFlags::TRUNC).follow().rights(Rights::FD_WRITE),
        ] {
            assert_eq!(guest.open(ROOT, path, how), Err(Errno::Perm), "open {path}");
        }
        assert_eq!(guest.path_stat(ROOT, path, true), Err(Errno::Perm), "stat {path}");
        assert_eq!(guest.path_set_times(path, true, 0, 0, 5), Err(Errno::Perm), "times {path}");
    }
    assert!(!outside.path().join("missing").exists());
    assert_eq!(fs::read(absolute).unwrap(), b"secret");
}

#[test]
fn nothing_outside_can_be_changed() {
    let (mut guest, outside) = guest_beside_a_secret();
    for path in ["../new", "absolute/new", "up/new", "/new"] {
        assert_eq!(guest.mkdir(ROOT, path), Err(Errno::Perm), "mkdir {path}");
        assert_eq!(guest.symlink("x", ROOT, path), Err(Errno::Perm), "symlink {path}");
        let new = (ROOT, path);
        assert_eq!(guest.rename((ROOT, "inside"), new), Err(Errno::Perm), "rename to {path}");
        assert_eq!(guest.link((ROOT, "inside"), false, new), Err(Errno::Perm), "link to {path}");
    }
    let secret = format!("../{}/secret", outside.path().file_name().unwrap().display());
    for path in ["absolute/secret", &secret] {
        assert_eq!(guest.unlink(ROOT, path), Err(Errno::Perm), "unlink {path}");
        assert_eq!(guest.rmdir(ROOT, path), Err(Errno::Perm), "rmdir {path}");
        let old = (ROOT, path);
        assert_eq!(guest.rename(old, (ROOT, "mine")), Err(Errno::Perm), "rename {path}");
        assert_eq!(guest.link(old, false, (ROOT, "mine")), Err(Errno::Perm), "link {path}");
    }
    assert!(outside.path().join("secret").exists());
}

#[test]
fn the_links_themselves_can_be_removed_and_renamed() {
    let (mut guest, outside) = guest_beside_a_secret();
    guest.rename((ROOT, "absolute_file"), (ROOT, "renamed")).unwrap();
    guest.unlink(ROOT, "renamed").unwrap();
    guest.unlink(ROOT, "absolute").unwrap();
    assert!(outside.path().join("secret").exists());
}

#[test]
fn absolute_targets_are_neither_written_nor_read() {
    let (mut guest, _outside) = guest_beside_a_secret();
    assert_eq!(guest.symlink("/etc/passwd", ROOT, "link"), Err(Errno::Perm));
    assert_eq!(guest.readlink("absolute", 100), Err(Errno::Perm));
    guest.symlink("../../etc/passwd", ROOT, "link").unwrap();
    assert_eq!(guest.open(ROOT, "link", Open::default().follow()), Err(Errno::Perm));
}

#[test]
fn a_descriptor_of_a_subdirectory_is_confined_to_it() {
    let mut guest = Guest::new();
    guest.create(ROOT, "file");
    guest.mkdir(ROOT, "sub").unwrap();
    let all = Rights::DIRECTORY | Rights::REGULAR_FILE;
    let how = Open { inheriting: all.bits(), ..Open::flags(OFlags::DIRECTORY) };
    let sub = guest.open(ROOT, "sub", how.rights(Rights::DIRECTORY)).unwrap();
    assert_eq!(guest.open(sub, "../file", Open::default()), Err(Errno::Perm));
    assert_eq!(guest.path_stat(sub, "..", false), Err(Errno::Perm));
    assert_eq!(guest.rename((sub, "../file"), (sub, "file")), Err(Errno::Perm));
    guest.rename((ROOT, "file"), (sub, "file")).unwrap();
    assert!(guest.path("sub/file").exists());
}
