//! The disk cache among processes: some start at once, some are killed, some have no room to write or may not. Each child is this test program
//! again, which runs [`child`] only.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use wasmo::cache::{Key, SourceHash};
use wasmo::{Cache, CacheConfig};

/// The variables that say what a child does, and where.
const TASK: &str = "WASMO_TEST_TASK";
const PLACE: &str = "WASMO_TEST_PLACE";

/// Entries of the children that are killed.
const ENTRIES: u32 = 6;

fn open(path: &Path) -> Cache {
    Cache::open(CacheConfig::new().directory(path)).expect("the cache is in order")
}

fn key(number: u32) -> Key {
    Key::new(SourceHash::of(&number.to_le_bytes()), b"test")
}

/// An entry that shows whether it is whole: its length and every part depend on `number` and `version`.
fn entry(number: u32, version: u32) -> Vec<u8> {
    let words = 4_000 + 9_000 * number + version % 1_000;
    let mut bytes: Vec<u8> = [number, version, words].iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.extend((0..words).flat_map(|word| (word ^ version.wrapping_mul(0x9E37_79B9)).to_le_bytes()));
    bytes
}

#[track_caller]
fn check_entry(number: u32, bytes: &[u8]) {
    let word = |position: usize| bytes.get(position * 4..position * 4 + 4).and_then(|word| word.try_into().ok());
    let version = word(1).map(u32::from_le_bytes).expect("an entry is never so short");
    assert!(bytes == entry(number, version), "entry {number} is not whole");
}

fn read(cache: &Cache, number: u32) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    cache.lookup(&key(number))?.file.read_to_end(&mut bytes).expect("an entry can be read");
    Some(bytes)
}

/// What a child does. Its lines on standard error say how it went.
#[test]
#[ignore = "run by the other tests"]
fn child() {
    let (Ok(task), Ok(place)) = (std::env::var(TASK), std::env::var(PLACE)) else { return };
    let place = Path::new(&place);
    match task.as_str() {
        "seal" => {
            // The parent makes the file when all children wait for it.
            while !place.join("go").exists() {
                std::hint::spin_loop();
            }
            let seal = open(&place.join("cache")).seal(&key(0), b"header").expect("the cache can be made");
            let text: String = seal.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("seal {text}");
        }
        "insert for ever" => {
            let cache = open(place);
            eprintln!("begins");
            for version in std::process::id().. {
                for number in 0..ENTRIES {
                    if let Some(bytes) = read(&cache, number) {
                        check_entry(number, &bytes);
                    }
                    cache.insert(&key(number), &entry(number, version)).expect("there is room");
                }
            }
        }
        "insert until full" => {
            let cache = open(place);
            let mut inserted = Vec::new();
            let refused = (0..ENTRIES).find_map(|number| {
                let result = cache.insert(&key(number), &entry(number, 1));
                inserted.push(number);
                result.err()
            });
            let refused = refused.expect("that is more than there is room for");
            inserted.pop();
            eprintln!("refused after {}: {refused}: {:?}", inserted.len(), std::error::Error::source(&refused));
            for &number in &inserted {
                check_entry(number, &read(&cache, number).expect("it was inserted"));
            }
            assert_eq!(cache.list().expect("the cache can be read").len(), inserted.len());
            assert_eq!(fs::read_dir(cache.path().join("tmp")).expect("a room").count(), 0, "a rest was left");
            // When there is room again, it goes on.
            cache.clear().expect("the cache can be cleared");
            cache.insert(&key(0), &entry(0, 2)).expect("there is room again");
            eprintln!("usable");
        }
        "only read" => {
            let cache = open(place);
            check_entry(1, &read(&cache, 1).expect("it was inserted"));
            let refused = cache.insert(&key(2), &entry(2, 1)).expect_err("nothing can be written");
            eprintln!("refused: {refused}: {:?}", std::error::Error::source(&refused));
            check_entry(1, &read(&cache, 1).expect("it is still there"));
        }
        "make" => {
            let cache = open(place);
            let refused = cache.insert(&key(0), &entry(0, 1)).expect_err("nothing can be written");
            assert!(cache.lookup(&key(0)).is_none() && cache.list().expect("none is fine").is_empty());
            eprintln!("refused: {refused}: {:?}", std::error::Error::source(&refused));
        }
        other => panic!("unknown task {other}"),
    }
}

/// The arguments with which this program is a child.
const CHILD: [&str; 5] = ["--exact", "child", "--ignored", "--nocapture", "--test-threads=1"];

fn command(task: &str, place: &Path) -> Command {
    configured(common::this_program(), task, place)
}

/// A child started by a shell, which prepares its surroundings; `"$@"` starts it.
fn command_by_shell(script: &str, task: &str, place: &Path) -> Command {
    let program = common::this_program();
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).arg(program.get_program()).args(program.get_args());
    configured(shell, task, place)
}

fn configured(mut command: Command, task: &str, place: &Path) -> Command {
    command.args(CHILD).env(TASK, task).env(PLACE, place);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

/// Runs a child, which must succeed, and gives what it says.
#[track_caller]
fn run(mut command: Command) -> String {
    let output = command.output().expect("the child starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{}: {text}", output.status);
    text
}

#[test]
fn processes_that_start_at_once_have_one_secret() {
    for _ in 0..10 {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let children: Vec<_> =
            (0..6).map(|_| command("seal", folder.path()).spawn().expect("the child starts")).collect();
        std::thread::sleep(Duration::from_millis(30));
        fs::write(folder.path().join("go"), "").expect("the folder is ours");
        let mut seals: Vec<String> = children
            .into_iter()
            .map(|child| {
                let output = child.wait_with_output().expect("the child is ours");
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(output.status.success(), "{text}");
                text.lines().find(|line| line.starts_with("seal ")).expect("the child says its seal").to_owned()
            })
            .collect();
        seals.dedup();
        assert_eq!(seals.len(), 1, "several secrets");
    }
}

/// Starts a child that inserts for ever, and waits until it has begun.
fn start_inserting(place: &Path) -> Child {
    let mut child = command("insert for ever", place).spawn().expect("the child starts");
    let lines = BufReader::new(child.stderr.take().expect("it is a pipe")).lines();
    let begun = lines.map_while(Result::ok).any(|line| line.ends_with("begins"));
    assert!(begun, "the child has failed: {:?}", child.wait());
    child
}

#[test]
fn killing_writers_leaves_whole_entries() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("cache");
    let reader = open(&path);
    let start = Instant::now();
    let mut whole = 0;
    for round in 0..240_u64 {
        let mut child = start_inserting(&path);
        // From the very first write to the fifth millisecond, in steps that do not repeat.
        std::thread::sleep(Duration::from_micros(round * 7919 % 5_000));
        child.kill().expect("the child is ours");
        child.wait().expect("the child is ours");
        for number in 0..ENTRIES {
            if let Some(bytes) = read(&reader, number) {
                check_entry(number, &bytes);
                whole += 1;
            }
        }
    }
    assert!(whole > 240, "only {whole} entries were seen in {:?}", start.elapsed());

    // What the dead have left is in the way of nobody, and goes when it is old.
    let rests = || fs::read_dir(path.join("tmp")).expect("a room").map(|rest| rest.expect("it is ours").path());
    assert!(rests().count() > 0, "no child was killed while it was writing");
    let old = std::time::SystemTime::now() - Duration::from_secs(3600);
    rests().for_each(|rest| fs::File::open(rest).and_then(|file| file.set_modified(old)).expect("it is ours"));
    reader.prune(None, None).expect("the cache is ours");
    assert_eq!(rests().count(), 0);
    reader.insert(&key(0), &entry(0, 0)).expect("there is room");
    check_entry(0, &read(&reader, 0).expect("it was inserted"));
}

#[test]
fn processes_insert_and_read_the_same_entries() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("cache");
    let mut children: Vec<_> = (0..6).map(|_| start_inserting(&path)).collect();
    let reader = open(&path);
    let end = Instant::now() + Duration::from_secs(3);
    let mut whole = 0;
    while Instant::now() < end {
        for number in 0..ENTRIES {
            if let Some(bytes) = read(&reader, number) {
                check_entry(number, &bytes);
                whole += 1;
            }
        }
    }
    for child in &mut children {
        // A child that has ended has found half an entry, or could not insert one.
        assert!(child.try_wait().expect("the child is ours").is_none(), "a child has failed");
        child.kill().expect("the child is ours");
        child.wait().expect("the child is ours");
    }
    assert!(whole > 100, "only {whole} entries were seen");
}

/// Entries 0 to 5 have 16, 52, 88, ... KB.
#[test]
fn a_file_that_may_not_grow_is_no_entry() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    // In units of 512 bytes: two entries are smaller.
    let script = r#"trap "" XFSZ; ulimit -f 160; exec "$@""#;
    let text = run(command_by_shell(script, "insert until full", &folder.path().join("cache")));
    assert!(text.contains("refused after 2: cannot write"), "{text}");
    assert!(text.contains("usable"), "{text}");
}

/// Whether this user may mount file systems in a name space of his own.
fn may_mount() -> bool {
    let status = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "none", "/mnt"]).status();
    status.is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_is_an_error_and_no_more() {
    if !may_mount() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the test");
    let script = format!(
        r#"exec unshare -rm sh -c 'mount -t tmpfs -o size=200k,mode=0700 none "${PLACE}" && exec "$@"' sh "$@""#
    );
    let text = run(command_by_shell(&script, "insert until full", folder.path()));
    assert!(text.contains("refused after 3: cannot write"), "{text}");
    assert!(text.contains("StorageFull"), "{text}");
    assert!(text.contains("usable"), "{text}");
}

#[test]
fn a_read_only_disk_is_read() {
    if !may_mount() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("cache");
    fs::create_dir(&path).expect("the folder is ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).expect("it is ours");
    let script = format!(
        r#"exec unshare -rm sh -c 'mount --bind "${PLACE}" "${PLACE}" && mount -o remount,ro,bind "${PLACE}" && exec "$@"' sh "$@""#
    );
    let text = run(command_by_shell(&script, "make", &path));
    assert!(text.contains("refused: cannot make") && text.contains("ReadOnlyFilesystem"), "{text}");
    open(&path).insert(&key(1), &entry(1, 1)).expect("there is room");
    let text = run(command_by_shell(&script, "only read", &path));
    assert!(text.contains("refused: cannot write") && text.contains("ReadOnlyFilesystem"), "{text}");
}

#[test]
fn without_permission_to_write_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let path = folder.path().join("cache");
    open(&path).insert(&key(1), &entry(1, 1)).expect("there is room");
    for name in ["modules", "index", "tmp", "."] {
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o500)).expect("it is ours");
    }
    let mut command = command("only read", &path);
    if rustix::process::geteuid().is_root() {
        // To root, permissions mean nothing; nobody shall have the cache, and be able to get there.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("it is ours");
        let names = ["", "secret", "modules", "index", "tmp", "lock", "CACHEDIR.TAG"].map(|name| path.join(name));
        let entries = fs::read_dir(path.join("modules")).expect("a room").map(|entry| entry.expect("an entry").path());
        for path in names.into_iter().chain(entries) {
            std::os::unix::fs::chown(path, Some(65_534), Some(65_534)).expect("root may");
        }
        std::os::unix::process::CommandExt::uid(&mut command, 65_534);
    }
    let text = run(command);
    assert!(text.contains("refused: cannot write") && text.contains("PermissionDenied"), "{text}");
}
