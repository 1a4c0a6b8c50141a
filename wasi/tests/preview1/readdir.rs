//! `fd_readdir`.

use crate::guest::{Guest, Open, ROOT};
use std::collections::BTreeSet;
use wasmo_wasi::Errno;
use wasmo_wasi::types::OFlags;

#[test]
fn an_empty_directory_has_two_entries() {
    let mut guest = Guest::new();
    let inode = guest.stat(ROOT).unwrap().inode;
    let (mut entries, complete) = guest.readdir(ROOT, 256, 0).unwrap();
    assert!(complete);
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, [".", ".."]);
    assert_eq!((entries[0].inode, entries[0].file_type), (inode, 3));
    assert_eq!(entries[1].file_type, 3);
}

#[test]
fn entries_say_what_they_are_and_cookies_go_on_after_them() {
    let mut guest = Guest::new();
    guest.create(ROOT, "file");
    guest.mkdir(ROOT, "dir").unwrap();
    guest.symlink("file", ROOT, "link").unwrap();
    let (entries, complete) = guest.readdir(ROOT, 4096, 0).unwrap();
    assert!(complete);
    assert_eq!(entries.len(), 5);
    for (name, file_type) in [("file", 4), ("dir", 3), ("link", 7)] {
        let entry = entries.iter().find(|entry| entry.name == name).unwrap();
        assert_eq!(entry.file_type, file_type, "{name}");
        assert_eq!(entry.inode, guest.path_stat(ROOT, name, false).unwrap().inode, "{name}");
    }
    for (index, entry) in entries.iter().enumerate() {
        let (rest, _) = guest.readdir(ROOT, 4096, entry.next).unwrap();
        assert_eq!(rest, entries[index + 1..]);
    }
}

#[test]
fn a_long_listing_comes_in_parts() {
    let mut guest = Guest::new();
    let expected: BTreeSet<String> = (0..1000).map(|number| format!("file.{number}")).collect();
    for name in &expected {
        std::fs::write(guest.path(name), "").unwrap();
    }
    for room in [100, 256, 4096] {
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let (entries, complete) = guest.readdir(ROOT, room, cookie).unwrap();
            if let Some(last) = entries.last() {
                cookie = last.next;
            }
            names.extend(entries.into_iter().map(|entry| entry.name));
            if complete {
                break;
            }
        }
        assert_eq!(names.len(), 1002, "{room}");
        let names: BTreeSet<String> = names.into_iter().filter(|name| !name.starts_with('.')).collect();
        assert_eq!(names, expected, "{room}");
    }
}

#[test]
fn removing_entries_while_listing_skips_none() {
    let mut guest = Guest::new();
    for number in 0..200 {
        guest.create(ROOT, &format!("{number}"));
    }
    let (mut removed, mut cookie) = (0, 0);
    loop {
        let (entries, complete) = guest.readdir(ROOT, 128, cookie).unwrap();
        for entry in entries {
            cookie = entry.next;
            if !entry.name.starts_with('.') {
                guest.unlink(ROOT, &entry.name).unwrap();
                removed += 1;
            }
        }
        if complete {
            break;
        }
    }
    assert_eq!(removed, 200);
}

#[test]
fn a_cut_entry_fills_the_buffer() {
    let mut guest = Guest::new();
    guest.create(ROOT, "file");
    for room in 0..80 {
        let (entries, complete) = guest.readdir(ROOT, room, 0).unwrap();
        assert!(!complete, "{room}");
        assert!(entries.len() <= 3);
    }
}

#[test]
fn what_cannot_be_listed() {
    let mut guest = Guest::new();
    let fd = guest.open(ROOT, "file", Open::flags(OFlags::CREAT)).unwrap();
    assert_eq!(guest.readdir(fd, 100, 0).map(drop), Err(Errno::Notdir));
    assert_eq!(guest.readdir(0, 100, 0).map(drop), Err(Errno::Notdir));
    assert_eq!(guest.readdir(ROOT, 100, u64::MAX).map(drop), Err(Errno::Inval));
    assert_eq!(guest.readdir(99, 100, 0).map(drop), Err(Errno::Badf));
}
