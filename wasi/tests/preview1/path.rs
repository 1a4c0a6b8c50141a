//! Paths: directories, links, renaming, removal, attributes, and trailing slashes in all of them.

use crate::guest::{Guest, ROOT};
use wasmo_wasi::Errno;
use wasmo_wasi::types::FstFlags;

#[test]
fn directories_are_made_and_removed() {
    let mut guest = Guest::new();
    guest.mkdir(ROOT, "dir").unwrap();
    assert_eq!(guest.mkdir(ROOT, "dir"), Err(Errno::Exist));
    assert_eq!(guest.mkdir(ROOT, "missing/dir"), Err(Errno::Noent));
    guest.mkdir(ROOT, "dir/nested/").unwrap();
    assert_eq!(guest.rmdir(ROOT, "dir"), Err(Errno::Notempty));
    guest.rmdir(ROOT, "dir/nested").unwrap();
    guest.rmdir(ROOT, "dir/").unwrap();
    guest.create(ROOT, "file");
    assert_eq!(guest.rmdir(ROOT, "file"), Err(Errno::Notdir));
    assert_eq!(guest.rmdir(ROOT, "file/"), Err(Errno::Notdir));
    assert_eq!(guest.rmdir(ROOT, "missing"), Err(Errno::Noent));
}

#[test]
fn files_are_unlinked_and_directories_are_not() {
    let mut guest = Guest::new();
    guest.mkdir(ROOT, "dir").unwrap();
    assert_eq!(guest.unlink(ROOT, "dir"), Err(Errno::Isdir));
    assert_eq!(guest.unlink(ROOT, "dir/"), Err(Errno::Isdir));
    guest.create(ROOT, "file");
    assert_eq!(guest.unlink(ROOT, "file/"), Err(Errno::Notdir));
    guest.unlink(ROOT, "file").unwrap();
    assert_eq!(guest.unlink(ROOT, "file"), Err(Errno::Noent));
}

#[test]
fn symbolic_links_and_trailing_slashes() {
    let mut guest = Guest::new();
    assert_eq!(guest.symlink("source", ROOT, "target/"), Err(Errno::Noent));
    guest.symlink("source", ROOT, "target").unwrap();
    guest.unlink(ROOT, "target").unwrap();
    guest.mkdir(ROOT, "target").unwrap();
    assert_eq!(guest.symlink("source", ROOT, "target/"), Err(Errno::Exist));
    assert_eq!(guest.symlink("source", ROOT, "target"), Err(Errno::Exist));
    guest.rmdir(ROOT, "target").unwrap();
    guest.create(ROOT, "target");
    let result = guest.symlink("source", ROOT, "target/");
    assert!(matches!(result, Err(Errno::Notdir | Errno::Exist)), "{result:?}");
    assert_eq!(guest.symlink("source", ROOT, "target"), Err(Errno::Exist));
}

#[test]
fn a_link_is_read_as_far_as_there_is_room() {
    let mut guest = Guest::new();
    guest.create(ROOT, "target");
    guest.symlink("target", ROOT, "link").unwrap();
    assert_eq!(guest.readlink("link", 10).unwrap(), b"target");
    assert_eq!(guest.readlink("link", 4).unwrap(), b"targ");
    assert_eq!(guest.readlink("link", 0).unwrap(), b"");
    assert_eq!(guest.readlink("target", 10), Err(Errno::Inval));
    assert_eq!(guest.readlink("missing", 10), Err(Errno::Noent));
}

#[test]
fn hard_links() {
    let mut guest = Guest::new();
    guest.create(ROOT, "file");
    guest.link((ROOT, "file"), false, (ROOT, "link")).unwrap();
    let file = guest.path_stat(ROOT, "file", false).unwrap();
    assert_eq!(guest.path_stat(ROOT, "link", false), Ok(file));
    assert_eq!(file.links, 2);
    let mut link = |old, follow, new| guest.link((ROOT, old), follow, (ROOT, new));
    assert_eq!(link("file", false, "link"), Err(Errno::Exist));
    assert_eq!(link("file", false, "file"), Err(Errno::Exist));
    assert_eq!(link("file", false, "new/"), Err(Errno::Noent));
    assert_eq!(link("file", true, "new"), Err(Errno::Inval));
    assert_eq!(link("missing", false, "new"), Err(Errno::Noent));
    guest.mkdir(ROOT, "dir").unwrap();
    let result = guest.link((ROOT, "dir"), false, (ROOT, "new"));
    assert!(matches!(result, Err(Errno::Perm | Errno::Acces)), "{result:?}");
    assert_eq!(guest.link((ROOT, "file"), false, (ROOT, "dir")), Err(Errno::Exist));
    guest.symlink("symlink", ROOT, "symlink").unwrap();
    guest.link((ROOT, "symlink"), false, (ROOT, "new")).unwrap();
    assert_eq!(guest.path_stat(ROOT, "new", false).unwrap().file_type, 7);
    assert_eq!(guest.link((ROOT, "file"), false, (ROOT, "symlink")), Err(Errno::Exist));
}

#[test]
fn renaming_directories() {
    let mut guest = Guest::new();
    guest.mkdir(ROOT, "source").unwrap();
    let mut rename = |old, new| guest.rename((ROOT, old), (ROOT, new));
    rename("source/", "target").unwrap();
    rename("target", "source/").unwrap();
    rename("source/", "target/").unwrap();
    rename("target", "source").unwrap();
    assert_eq!(rename("missing", "target"), Err(Errno::Noent));
    guest.mkdir(ROOT, "target").unwrap();
    guest.rename((ROOT, "source"), (ROOT, "target")).unwrap();
    assert_eq!(guest.path_stat(ROOT, "source", false), Err(Errno::Noent));
    guest.mkdir(ROOT, "source").unwrap();
    guest.create(ROOT, "target/file");
    let mut rename = |old, new| guest.rename((ROOT, old), (ROOT, new));
    assert_eq!(rename("source", "target"), Err(Errno::Notempty));
    assert_eq!(rename("source", "target/file"), Err(Errno::Notdir));
    assert_eq!(rename("target", "target/sub"), Err(Errno::Inval));
}

#[test]
fn renaming_files() {
    let mut guest = Guest::new();
    guest.create(ROOT, "source");
    guest.rename((ROOT, "source"), (ROOT, "target")).unwrap();
    assert_eq!(guest.path_stat(ROOT, "source", false), Err(Errno::Noent));
    guest.create(ROOT, "source");
    guest.rename((ROOT, "source"), (ROOT, "target")).unwrap();
    guest.create(ROOT, "source");
    guest.mkdir(ROOT, "dir").unwrap();
    let mut rename = |old, new| guest.rename((ROOT, old), (ROOT, new));
    assert_eq!(rename("source", "dir"), Err(Errno::Isdir));
    assert_eq!(rename("source/", "new"), Err(Errno::Notdir));
    assert_eq!(rename("source", "new/"), Err(Errno::Notdir));
    assert_eq!(rename("source", "target/new"), Err(Errno::Notdir));
}

#[test]
fn attributes_through_links_and_of_links() {
    let mut guest = Guest::new();
    guest.mkdir(ROOT, "sub").unwrap();
    guest.create(ROOT, "sub/file");
    guest.symlink("sub/file", ROOT, "link").unwrap();
    guest.symlink("sub", ROOT, "dirlink").unwrap();
    let mut kind = |path, follow| guest.path_stat(ROOT, path, follow).map(|stat| stat.file_type);
    assert_eq!((kind("sub", false), kind("sub", true)), (Ok(3), Ok(3)));
    assert_eq!((kind("sub/", false), kind("sub/file", true)), (Ok(3), Ok(4)));
    assert_eq!((kind("link", false), kind("link", true)), (Ok(7), Ok(4)));
    assert_eq!((kind("dirlink", false), kind("dirlink", true)), (Ok(7), Ok(3)));
    assert_eq!(kind("dirlink/", false), Ok(3));
    assert_eq!(kind("sub/file/", false), Err(Errno::Notdir));
    assert_eq!(kind("sub/file/", true), Err(Errno::Notdir));
    assert_eq!(kind("link/x", false), Err(Errno::Notdir));
    assert_eq!(kind("", false), Err(Errno::Noent));
    assert_eq!(kind(".", false), Ok(3));
}

#[test]
fn times_of_files_and_of_links() {
    let mut guest = Guest::new();
    guest.create(ROOT, "file");
    guest.symlink("file", ROOT, "link").unwrap();
    let modified = |guest: &mut Guest, path, follow| guest.path_stat(ROOT, path, follow).unwrap().modified;
    let file = modified(&mut guest, "file", false);
    let mtim = u32::from(FstFlags::MTIM.bits());
    guest.path_set_times("link", false, 0, 200, mtim).unwrap();
    assert_eq!(modified(&mut guest, "link", false), 200);
    assert_eq!(modified(&mut guest, "link", true), file);
    guest.path_set_times("link", true, 0, 300, mtim).unwrap();
    assert_eq!(modified(&mut guest, "file", false), 300);
    assert_eq!(modified(&mut guest, "link", false), 200);
    for both in [4 | 8, 1 | 2] {
        assert_eq!(guest.path_set_times("file", false, 0, 0, both), Err(Errno::Inval));
    }
    assert_eq!(guest.path_set_times("file", false, 0, 0, 16), Err(Errno::Inval));
    assert_eq!(modified(&mut guest, "file", false), 300);
    guest.path_set_times("file", false, 0, 0, 8).unwrap();
    assert!(modified(&mut guest, "file", false) >= file);
    guest.path_set_times("file", false, u64::MAX, 0, 1).unwrap();
    assert_eq!(guest.path_set_times("missing", false, 0, 0, 8), Err(Errno::Noent));
}
