//! [`replace`]: writes a file so that nobody ever sees half of it.
//!
//! A compiled module is mapped by the processes that run it, so a file that is there is never written to: another one takes its name, and who has mapped the old one
//! keeps it.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context, Result, bail};

/// Makes `bytes` the content of the file `path`, which is made anew if it is there; where it is a link, of the file that it leads to. Devices and
/// pipes are written to.
///
/// # Errors
///
/// When it is a directory, or cannot be written; then nothing has changed.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot = || format!("cannot write `{}`", path.display());
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => bail!("cannot write `{}`: it is a directory", path.display()),
        Ok(found) if found.is_file() => {
            rename_over(&fs::canonicalize(path).with_context(cannot)?, bytes).with_context(cannot)
        }
        Ok(_) => File::options().write(true).open(path).and_then(|mut file| file.write_all(bytes)).with_context(cannot),
        Err(_) => rename_over(path, bytes).with_context(cannot),
    }
}

/// Writes a new file beside `path`, and gives it that name once it is complete.
fn rename_over(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (temporary, mut file) = create_beside(path)?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Nothing more can be done about it, and the first error is the one to tell.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// A new file in the same directory, whose name nobody else has.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "it has no name"))?;
    let mut number = 0;
    loop {
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.{number}", process::id()));
        let temporary = path.with_file_name(temporary);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => return Ok((temporary, file)),
            // A process of the same number left it, long ago.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries =
            fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it can be read").file_name());
        let mut names: Vec<_> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_take_the_place_of_others() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path().join("f");
        replace(&path, b"one").expect("it can be written");
        let before = File::open(&path).expect("it is there");
        replace(&path, b"two").expect("it can be written");
        assert_eq!(fs::read(&path).expect("it is there"), b"two");
        assert_eq!(io::read_to_string(before).expect("it is still there"), "one");
        assert_eq!(names(folder.path()), ["f"]);
    }

    #[test]
    fn links_are_followed() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "one").expect("it can be written");
        std::os::unix::fs::symlink(&file, &link).expect("it can be made");
        replace(&link, b"two").expect("it can be written");
        assert_eq!(fs::read(&file).expect("it is there"), b"two");
        assert!(link.is_symlink());
    }

    #[test]
    fn failures_leave_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let error = replace(folder.path(), b"x").expect_err("it is a directory");
        assert!(error.to_string().contains("it is a directory"), "{error}");
        // A name that is free, but cannot be taken: the temporary file's would be too long.
        let error = replace(&folder.path().join("n".repeat(300)), b"x").expect_err("the name is too long");
        assert!(error.to_string().starts_with("cannot write `"), "{error}");
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn devices_are_written_to() {
        replace(Path::new("/dev/null"), b"x").expect("it takes everything");
        assert!(!fs::metadata("/dev/null").expect("it is there").is_file());
    }
}
