//! `wasmo run` and the cache: hits and misses, what makes them, and that nothing about a cache keeps a program from running.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::guest;
use crate::support::{Answer, Folder, finish, wait};

fn entries(folder: &Folder) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder.cache().join("modules")) else { return Vec::new() };
    entries.map(|entry| entry.expect("the cache can be read").path()).collect()
}

#[track_caller]
fn entry(folder: &Folder) -> PathBuf {
    match entries(folder).as_slice() {
        [entry] => entry.clone(),
        other => panic!("there is not one entry: {other:?}"),
    }
}

/// Runs a module that ends with 7, and says what the cache did.
#[track_caller]
fn looks(folder: &Folder, args: &[&str]) -> String {
    let answer = folder.wasmo(&[&["run", "--stats"], args].concat());
    answer.gives(7, "");
    assert!(!answer.stderr.contains("warning"), "{}", answer.stderr);
    look(&answer)
}

fn look(answer: &Answer) -> String {
    let line = answer.stderr.lines().find_map(|line| line.strip_prefix("cache "));
    line.unwrap_or_else(|| panic!("no word of the cache: {}", answer.stderr)).trim().to_owned()
}

fn seven() -> Folder {
    Folder::new(&[("seven.wat", &guest::exit(7))])
}

#[test]
fn the_second_run_is_a_hit() {
    let folder = seven();
    assert_eq!(looks(&folder, &["seven.wat"]), "miss");
    assert_eq!(looks(&folder, &["seven.wat"]), "hit");
    folder.wasmo(&["run", "seven.wat"]).gives(7, "").quietly();
    folder.wasmo(&["cache", "list"]).ends_with(0).shows(&["1 compiled module, ", ".wasmo\n"]);
    folder.wasmo(&["inspect", entry(&folder).to_str().expect("UTF-8")]).ends_with(0).shows(&[", for its cache\n"]);
    // Whatever the file is called, and wherever it is; but not whatever is in it.
    fs::copy(folder.path().join("seven.wat"), folder.path().join("copy.wat")).expect("the folder is ours");
    assert_eq!(looks(&folder, &["copy.wat"]), "hit");
    folder.write("copy.wat", format!("{} ", guest::exit(7)).as_bytes());
    assert_eq!(looks(&folder, &["copy.wat"]), "miss");
    folder.wasmo(&["cache", "clear"]).ends_with(0).shows(&["removed 2 compiled modules"]);
    assert_eq!(looks(&folder, &["seven.wat"]), "miss");
}

#[test]
fn without_a_cache_nothing_is_kept() {
    let folder = seven();
    assert_eq!(looks(&folder, &["--no-cache", "seven.wat"]), "not used");
    assert!(!folder.cache().exists());
    folder.wasmo(&["compile", "seven.wat"]).gives(0, "");
    assert_eq!(looks(&folder, &["seven.wasmo"]), "not used");
    assert!(!folder.cache().exists());
}

#[test]
fn options_that_change_the_code_have_entries_of_their_own() {
    let folder = seven();
    for options in [&[][..], &["--fuel", "1000"], &["--strict-traps"], &["--fuel", "1000", "--strict-traps"]] {
        let args = [options, &["seven.wat"]].concat();
        assert_eq!(looks(&folder, &args), "miss", "{options:?}");
        assert_eq!(looks(&folder, &args), "hit", "{options:?}");
    }
    assert_eq!(looks(&folder, &["--fuel", "2000", "--timeout", "9s", "seven.wat"]), "hit");
    assert_eq!(entries(&folder).len(), 4);
}

#[test]
fn every_module_of_a_run_is_looked_up() {
    let folder = Folder::new(&[("lib.wat", "(module)"), ("seven.wat", &guest::exit(7))]);
    assert_eq!(looks(&folder, &["seven.wat"]), "miss");
    assert_eq!(looks(&folder, &["--preload", "lib=lib.wat", "seven.wat"]), "1 of 2 hit");
}

/// The compiler is as large as everything else together; a hit must not wait for it, nor may what is compiled quickly.
#[test]
fn a_hit_does_not_load_llvm() {
    let folder = Folder::new(&[("echo.wat", &guest::echo())]);
    let optimized = &["--tier", "optimized"][..];
    let alone = &["--tier", "optimized", "--no-cache"][..];
    for (expected, options) in [(true, optimized), (false, optimized), (true, alone), (false, &["--no-cache"])] {
        let mut command = folder.command(&[&["run"], options, &["echo.wat"]].concat());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("wasmo starts");
        // It is waiting for input once its code is mapped; what is compiled is there by then.
        let waits = || fs::read_to_string(format!("/proc/{}/syscall", child.id())).unwrap_or_default();
        let reads =
            |text: &str| text.starts_with("0 0x0 ") || text.starts_with("19 0x0 ") || text.starts_with("63 0x0 ");
        for _ in 0..2000 {
            if reads(&waits()) {
                break;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let maps = fs::read_to_string(format!("/proc/{}/maps", child.id())).expect("it is running");
        assert_eq!(maps.contains("libLLVM"), expected, "{options:?}: {maps}");
        drop(child.stdin.take());
        assert!(wait(child).status.success());
    }
}

#[test]
fn files_that_somebody_planted_are_refused() {
    let folder = seven();
    let elsewhere = Folder::new(&[("seven.wat", &guest::exit(7)), ("evil.wat", &guest::exit(66))]);
    assert_eq!(looks(&folder, &["seven.wat"]), "miss");
    elsewhere.wasmo(&["run", "evil.wat"]).gives(66, "");
    let place = entry(&folder);
    let whole = fs::read(&place).expect("it is there");
    let plant = |bytes: &[u8]| {
        fs::write(&place, bytes).expect("the folder is ours");
        assert_eq!(looks(&folder, &["seven.wat"]), "miss");
        assert_eq!(looks(&folder, &["seven.wat"]), "hit", "it has taken the place of what was planted");
    };
    // Sealed by another user, or not at all.
    plant(&fs::read(entry(&elsewhere)).expect("it is there"));
    elsewhere.wasmo(&["compile", "evil.wat"]).gives(0, "");
    plant(&fs::read(elsewhere.path().join("evil.wasmo")).expect("it is there"));
    // The entry of another module, from this very cache.
    folder.write("evil.wat", guest::exit(66).as_bytes());
    folder.wasmo(&["run", "evil.wat"]).gives(66, "");
    let other = entries(&folder).into_iter().find(|entry| *entry != place).expect("there are two");
    plant(&fs::read(other).expect("it is there"));
    // Cut, changed.
    plant(&whole[..whole.len() / 2]);
    plant(&[]);
    let mut changed = whole.clone();
    changed[whole.len() - whole.len() % 4096 - 4096] ^= 1;
    plant(&changed);
    // Not a file, readable to others, a link.
    fs::set_permissions(&place, fs::Permissions::from_mode(0o644)).expect("it is ours");
    assert_eq!(looks(&folder, &["seven.wat"]), "miss");
    fs::rename(&place, folder.path().join("away")).expect("it is ours");
    std::os::unix::fs::symlink(folder.path().join("away"), &place).expect("the folder is ours");
    assert_eq!(looks(&folder, &["seven.wat"]), "miss");
    // Another secret: nothing that was kept is taken any more.
    fs::remove_file(folder.cache().join("secret")).expect("it is ours");
    assert_eq!(looks(&folder, &["seven.wat"]), "miss");
    assert_eq!(looks(&folder, &["seven.wat"]), "hit");
}

#[test]
fn a_cache_that_others_may_use_is_not_used() {
    let folder = seven();
    fs::create_dir(folder.cache()).expect("the folder is ours");
    fs::write(folder.cache().join("a file"), "").expect("the folder is ours");
    fs::set_permissions(folder.cache(), fs::Permissions::from_mode(0o777)).expect("it is ours");
    let warned = |what: &str| {
        let answer = folder.wasmo(&["run", "--stats", "seven.wat"]);
        answer.gives(7, "").says(&["warning: the cache is not used: ", what]);
        assert_eq!(look(&answer), "not used");
        assert_eq!(answer.stderr.matches("warning").count(), 1);
        assert!(entries(&folder).is_empty());
        folder.wasmo(&["run", "--no-cache", "seven.wat"]).gives(7, "").quietly();
    };
    warned("others may use");
    fs::set_permissions(folder.cache(), fs::Permissions::from_mode(0o700)).expect("it is ours");
    // Only root can give a directory to somebody else.
    if chown(folder.cache(), Some(65_534), Some(65_534)).is_ok() {
        warned("belongs to user 65534 and not to user 0");
    }
    fs::remove_dir_all(folder.cache()).expect("it is ours");
    fs::write(folder.cache(), "not a directory").expect("the folder is ours");
    let answer = folder.wasmo(&["run", "seven.wat"]);
    answer.gives(7, "").says(&["warning: the cache is not used: cannot open the cache"]);
}

/// Runs wasmo twice in a name space where the cache is a file system that `mount` makes of it (`$C`), if this user may do that.
fn mounted(folder: &Folder, mount: &str) -> Option<Answer> {
    fs::create_dir_all(folder.cache()).expect("the folder is ours");
    fs::set_permissions(folder.cache(), fs::Permissions::from_mode(0o700)).expect("it is ours");
    let script = format!(r#"{mount} || exit 99; "$W" run --stats seven.wat; "$W" run --stats seven.wat"#);
    let mut shell = Command::new("unshare");
    shell.args(["-rm", "sh", "-c", &script]).current_dir(folder.path());
    shell.env("WASMO_CACHE_DIR", folder.cache()).env("C", folder.cache()).env("W", env!("CARGO_BIN_EXE_wasmo"));
    let answer = finish(shell);
    let may_mount = answer.output.status.code() == Some(7);
    may_mount.then_some(answer)
}

#[test]
fn full_and_read_only_disks_are_warned_of() {
    let folder = seven();
    if let Some(answer) = mounted(&folder, r#"mount -t tmpfs -o size=8k,mode=0700 none "$C""#) {
        answer.says(&["warning: what was compiled is not kept in the cache: ", "No space left"]);
        assert_eq!(answer.stderr.matches("warning").count(), 2, "{}", answer.stderr);
    }
    let read_only = r#"mount --bind "$C" "$C" && mount -o remount,ro,bind "$C""#;
    if let Some(answer) = mounted(&folder, read_only) {
        answer.says(&["warning: what was compiled is not kept in the cache: ", "Read-only file system"]);
    }
    // What is there already can be read, and that is worth no warning.
    assert_eq!(looks(&folder, &["seven.wat"]), "miss");
    if let Some(answer) = mounted(&folder, read_only) {
        assert_eq!(answer.stderr.matches("hit\n").count(), 2, "{}", answer.stderr);
        assert!(!answer.stderr.contains("warning"), "{}", answer.stderr);
    }
}

#[test]
fn a_disk_that_nothing_may_be_executed_from_is_read() {
    let folder = seven();
    if let Some(answer) = mounted(&folder, r#"mount -t tmpfs -o noexec,mode=0700 none "$C""#) {
        assert_eq!(answer.stderr.matches("miss\n").count(), 1, "{}", answer.stderr);
        assert_eq!(answer.stderr.matches("hit\n").count(), 1, "{}", answer.stderr);
        assert!(!answer.stderr.contains("warning"), "{}", answer.stderr);
    }
}

#[test]
fn processes_that_start_at_once_share_it() {
    let folder = seven();
    for round in 0..3 {
        let start = || {
            let mut command = folder.command(&["run", "seven.wat"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("wasmo starts")
        };
        let children: Vec<_> = (0..8).map(|_| start()).collect();
        for child in children {
            let output = wait(child);
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), &*errors), (Some(7), ""), "round {round}");
        }
        entry(&folder);
        assert_eq!(looks(&folder, &["seven.wat"]), "hit");
        folder.wasmo(&["cache", "clear"]).ends_with(0);
    }
}

/// A module whose artefact takes a while to write: it has 4 MiB of data.
fn large(folder: &Folder) {
    let mut wasm = wat::parse_str(guest::exit(7)).expect("a module");
    let number = |mut value: usize| {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).expect("seven bits"));
        bytes
    };
    // One passive segment: flag 1, its length, its bytes. The name section, which `wat` puts at the end, may stand before it.
    let content: Vec<u8> = (0..4_u32 << 20).map(|n| n.wrapping_mul(0x9e37_79b9).to_le_bytes()[3]).collect();
    let segment = [&[1, 1][..], &number(content.len()), &content].concat();
    wasm.extend([&[11][..], &number(segment.len()), &segment].concat());
    folder.write("large.wasm", &wasm);
}

#[test]
fn killing_writers_leaves_a_usable_cache() {
    let folder = seven();
    large(&folder);
    folder.wasmo(&["run", "--no-cache", "large.wasm"]).gives(7, "").quietly();
    let temporary = folder.cache().join("tmp");
    let is_written = |path: &Path| fs::read_dir(path).is_ok_and(|mut files| files.next().is_some());
    let mut while_writing = 0;
    for round in 0_u64.. {
        // On a machine that is busy, most kills come too late.
        if round >= 60 && while_writing > 5 {
            break;
        }
        assert!(round < 600, "only {while_writing} were killed while they were writing");
        let mut command = folder.command(&["run", "large.wasm"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("wasmo starts");
        // Every third at any moment, the others in the midst of writing, or just after.
        if round % 3 == 0 {
            thread::sleep(Duration::from_micros(round * 7919 % 60_000));
        } else {
            while !is_written(&temporary) && child.try_wait().expect("the child is ours").is_none() {
                thread::yield_now();
            }
            thread::sleep(Duration::from_micros(round * 97 % 1_500));
        }
        child.kill().expect("the child is ours");
        child.wait().expect("the child is ours");
        // What was left of it is in nobody's way.
        for rest in fs::read_dir(&temporary).into_iter().flatten() {
            while_writing += 1;
            let _ = fs::remove_file(rest.expect("the cache can be read").path());
        }
        if round % 10 == 9 {
            folder.wasmo(&["run", "large.wasm"]).gives(7, "").quietly();
            assert_eq!(looks(&folder, &["large.wasm"]), "hit");
        }
        folder.wasmo(&["cache", "clear"]).ends_with(0).quietly();
    }
}
