//! The disk cache: who may use it, what it gives back, and what it removes. Processes that use it at once or die are in `cache_processes`.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use wasmo::cache::{CacheError, Key, SourceHash};
use wasmo::{Cache, CacheConfig};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn try_open(path: &Path, limit: u64) -> Result<Cache, CacheError> {
    Cache::open(CacheConfig::new().directory(path).size_limit(limit))
}

#[track_caller]
fn open(path: &Path) -> Cache {
    try_open(path, 1 << 30).expect("the cache is in order")
}

fn key(text: &str) -> Key {
    Key::new(SourceHash::of(text.as_bytes()), b"test")
}

fn content(cache: &Cache, key: &Key) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    cache.lookup(key)?.file.read_to_end(&mut bytes).expect("an entry can be read");
    Some(bytes)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).expect("the file is there").mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the file is ours");
}

/// Lets a file look as if it had been used last so many minutes ago.
fn age(path: &Path, minutes: u64) {
    let time = SystemTime::now() - Duration::from_secs(60 * minutes);
    File::open(path).and_then(|file| file.set_modified(time)).expect("the file is ours");
}

#[test]
fn what_was_inserted_is_found() {
    let folder = folder();
    let path = folder.path().join("a/b/cache");
    let cache = open(&path);
    assert!(cache.lookup(&key("x")).is_none());
    assert!(!path.exists(), "looking makes nothing");

    cache.insert(&key("x"), b"first").expect("there is room");
    assert_eq!(content(&cache, &key("x")).as_deref(), Some(&b"first"[..]));
    cache.insert(&key("x"), b"second").expect("there is room");
    let other = open(&path);
    assert_eq!(content(&other, &key("x")).as_deref(), Some(&b"second"[..]));
    assert!(other.lookup(&key("y")).is_none());

    let entry = other.lookup(&key("x")).expect("it was there just now");
    assert_eq!(fs::read(&entry.path).expect("the path is right"), b"second");
    other.remove(&key("x"));
    assert!(cache.lookup(&key("x")).is_none());
    assert_eq!(fs::read_dir(path.join("tmp")).expect("a room").count(), 0);
}

#[test]
fn all_is_closed_to_others() {
    let folder = folder();
    let cache = open(&folder.path().join("cache"));
    cache.insert(&key("x"), b"entry").expect("there is room");
    let mut files = 0;
    let mut folders = vec![cache.path().to_owned()];
    while let Some(folder) = folders.pop() {
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in fs::read_dir(folder).expect("it is ours") {
            let path = entry.expect("it is ours").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_eq!(mode(&path), 0o600, "{}", path.display());
                files += 1;
            }
        }
    }
    // The secret, the entry, the lock, the tag.
    assert_eq!(files, 4);
}

#[test]
fn seals_are_of_one_user_one_key_and_one_header() {
    let folder = folder();
    let cache = open(&folder.path().join("mine"));
    let seal = cache.seal(&key("x"), b"header").expect("the cache can be made");
    assert!(cache.verify(&key("x"), b"header", &seal));
    assert!(open(cache.path()).verify(&key("x"), b"header", &seal));
    assert!(!cache.verify(&key("y"), b"header", &seal));
    assert!(!cache.verify(&key("x"), b"Header", &seal));
    assert!(!cache.verify(&key("x"), b"header", &[0; 32]));

    let foreign = open(&folder.path().join("foreign"));
    assert!(!foreign.verify(&key("x"), b"header", &seal), "a cache that does not exist has sealed nothing");
    assert_ne!(foreign.seal(&key("x"), b"header").expect("the cache can be made"), seal);
    assert!(!foreign.verify(&key("x"), b"header", &seal));
}

#[track_caller]
fn refused(path: &Path, parts: &[&str]) {
    let error = try_open(path, 1 << 30).expect_err("the cache must be refused").to_string();
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
}

#[test]
fn a_directory_that_others_may_use_is_refused() {
    let folder = folder();
    let path = folder.path().join("cache");
    open(&path).insert(&key("x"), b"entry").expect("there is room");
    for wrong in [0o701, 0o710, 0o755, 0o777, 0o720] {
        set_mode(&path, wrong);
        refused(&path, &["others may use", &format!("mode {wrong:o}"), "chmod 700"]);
    }
    set_mode(&path, 0o700);
    assert!(open(&path).lookup(&key("x")).is_some());
    fs::write(folder.path().join("file"), "").expect("the folder is ours");
    refused(&folder.path().join("file"), &["cannot open the cache"]);
}

#[test]
fn an_empty_directory_is_closed_and_used() {
    let folder = folder();
    let path = folder.path().join("cache");
    fs::create_dir(&path).expect("the folder is ours");
    set_mode(&path, 0o755);
    let cache = open(&path);
    assert!(cache.lookup(&key("x")).is_none());
    assert_eq!(mode(&path), 0o755, "looking changes nothing");
    cache.insert(&key("x"), b"entry").expect("there is room");
    assert_eq!(mode(&path), 0o700);

    // Where others may write, something may be on its way; and a directory with something in it is for something else.
    let shared = folder.path().join("shared");
    fs::create_dir(&shared).expect("the folder is ours");
    set_mode(&shared, 0o775);
    refused(&shared, &["mode 775"]);
    set_mode(&shared, 0o755);
    fs::write(shared.join("file"), "").expect("the folder is ours");
    refused(&shared, &["mode 755"]);
    assert_eq!(mode(&shared), 0o755);
}

#[test]
fn a_secret_that_others_may_read_is_refused() {
    let folder = folder();
    let path = folder.path().join("cache");
    open(&path).insert(&key("x"), b"entry").expect("there is room");
    let secret = path.join("secret");
    for wrong in [0o640, 0o604, 0o620] {
        set_mode(&secret, wrong);
        refused(&path, &["secret", &format!("mode {wrong:o}"), "delete"]);
    }
    set_mode(&secret, 0o600);
    open(&path);

    let bytes = fs::read(&secret).expect("it is ours");
    assert_eq!(bytes.len(), 32);
    for wrong in [&bytes[..31], &[], &[bytes.as_slice(), &[0]].concat()] {
        fs::write(&secret, wrong).expect("it is ours");
        refused(&path, &["secret", "damaged", "delete"]);
    }
    fs::remove_file(&secret).expect("it is ours");
    symlink("/dev/zero", &secret).expect("the folder is ours");
    refused(&path, &["secret"]);
}

#[test]
fn what_belongs_to_somebody_else_is_refused() {
    if !rustix::process::geteuid().is_root() {
        // Only root can give files away.
        return;
    }
    let folder = folder();
    let path = folder.path().join("cache");
    let cache = open(&path);
    cache.insert(&key("x"), b"entry").expect("there is room");
    let give = |path: &Path, user| std::os::unix::fs::chown(path, Some(user), None).expect("root may");

    let entry = cache.lookup(&key("x")).expect("it is there").path;
    give(&entry, 4711);
    assert!(cache.lookup(&key("x")).is_none());
    assert!(!entry.exists(), "it is removed");

    give(&path.join("secret"), 4711);
    refused(&path, &["secret", "belongs to user 4711", "WASMO_CACHE_DIR"]);
    give(&path.join("secret"), 0);
    give(&path, 4711);
    refused(&path, &["belongs to user 4711 and not to user 0", "WASMO_CACHE_DIR"]);
}

#[test]
fn an_entry_that_is_no_file_of_ours_is_removed() {
    let folder = folder();
    let cache = open(&folder.path().join("cache"));
    let insert = || {
        cache.insert(&key("x"), b"entry").expect("there is room");
        cache.lookup(&key("x")).expect("it was inserted").path
    };
    let path = insert();
    set_mode(&path, 0o620);
    assert!(cache.lookup(&key("x")).is_none());
    assert!(!path.exists());

    insert();
    fs::remove_file(&path).expect("it is ours");
    let elsewhere = folder.path().join("elsewhere");
    fs::write(&elsewhere, "an entry").expect("the folder is ours");
    set_mode(&elsewhere, 0o600);
    symlink(&elsewhere, &path).expect("the folder is ours");
    assert!(cache.lookup(&key("x")).is_none());
    assert!(fs::symlink_metadata(&path).is_err() && elsewhere.exists());

    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a fifo");
    assert!(cache.lookup(&key("x")).is_none(), "and a fifo does not make us wait");
    insert();
}

/// Keys of entries `0`, `1`, ..., which were used so many minutes ago.
fn aged(cache: &Cache, minutes: &[u64], size: usize) -> Vec<Key> {
    let keys: Vec<Key> = (0..minutes.len()).map(|number| key(&number.to_string())).collect();
    for (key, minutes) in keys.iter().zip(minutes) {
        cache.insert(key, &vec![7; size]).expect("there is room");
        age(&cache.lookup(key).expect("it was inserted").path, *minutes);
    }
    keys
}

fn present(cache: &Cache, keys: &[Key]) -> Vec<usize> {
    let listed = cache.list().expect("the cache can be read");
    (0..keys.len()).filter(|&n| listed.iter().any(|entry| entry.key == keys[n])).collect()
}

#[test]
fn what_was_used_longest_ago_goes_first() {
    let folder = folder();
    let cache = try_open(&folder.path().join("cache"), 1 << 20).expect("the cache is in order");
    // Ten times 100 KiB fit into 1 MiB; 4, 2 and 7 are the oldest.
    let keys = aged(&cache, &[30, 31, 92, 33, 93, 35, 36, 91, 38, 39], 100 << 10);
    assert_eq!(present(&cache, &keys).len(), 10);
    // A hit makes 4 the youngest.
    assert!(cache.lookup(&keys[4]).is_some());
    let new = key("new");
    cache.insert(&new, &vec![8; 100 << 10]).expect("there is room");
    // Down to nine tenths: nine entries of 100 KiB, the new one included.
    assert_eq!(present(&cache, &keys), [0, 1, 3, 4, 5, 6, 8, 9]);
    assert!(cache.lookup(&new).is_some());

    let pruned = cache.prune(Some(250 << 10), None).expect("the cache is ours");
    assert_eq!((pruned.modules, pruned.bytes), (7, 700 << 10));
    assert_eq!(present(&cache, &keys), [4]);
}

#[test]
fn what_is_too_large_is_refused_and_nothing_is_lost() {
    let folder = folder();
    let cache = try_open(&folder.path().join("cache"), 100_000).expect("the cache is in order");
    cache.insert(&key("x"), &[1; 50_000]).expect("there is room");
    let error = cache.insert(&key("y"), &[1; 95_000]).expect_err("that is more than nine tenths");
    assert!(matches!(error, CacheError::TooLarge { size: 95_000, limit: 100_000 }), "{error}");
    assert!(cache.lookup(&key("x")).is_some());
}

#[test]
fn old_entries_are_pruned_by_age() {
    let folder = folder();
    let cache = open(&folder.path().join("cache"));
    let keys = aged(&cache, &[5, 50, 500], 10);
    let day = Duration::from_secs(24 * 3600);
    assert_eq!(cache.prune(None, Some(day)).expect("the cache is ours").modules, 0);
    assert_eq!(cache.prune(None, Some(Duration::from_secs(3600))).expect("the cache is ours").modules, 1);
    assert_eq!(present(&cache, &keys), [0, 1]);
    // Age first, then size: 1 is too old, and 0 may stay.
    let pruned = cache.prune(Some(4096), Some(Duration::from_secs(600))).expect("the cache is ours");
    assert_eq!((pruned.modules, present(&cache, &keys)), (1, vec![0]));
}

#[test]
fn the_list_begins_with_what_was_used_last() {
    let folder = folder();
    let cache = open(&folder.path().join("cache"));
    assert!(cache.list().expect("none is fine").is_empty());
    let keys = aged(&cache, &[50, 5, 500], 10);
    let listed = cache.list().expect("the cache can be read");
    assert_eq!(listed.iter().map(|entry| entry.key).collect::<Vec<_>>(), [keys[1], keys[0], keys[2]]);
    assert!(listed.iter().all(|entry| entry.size == 10 && entry.path.is_file()));
}

#[test]
fn only_what_the_cache_has_made_is_removed() {
    let folder = folder();
    let cache = open(&folder.path().join("cache"));
    cache.insert(&key("x"), b"entry").expect("there is room");
    let foreign = ["modules/lib.wasmo", "modules/README", "index/notes", "tmp/draft", "mine"];
    for name in foreign {
        fs::write(cache.path().join(name), "of the user's own").expect("the folder is ours");
        age(&cache.path().join(name), 100_000);
    }
    assert_eq!(cache.clear().expect("the cache is ours").modules, 1);
    assert!(cache.list().expect("the cache can be read").is_empty());
    for name in foreign {
        assert!(cache.path().join(name).exists(), "{name}");
    }
}

#[test]
fn temporary_files_of_the_dead_are_swept_away() {
    let folder = folder();
    let cache = open(&folder.path().join("cache"));
    cache.insert(&key("x"), b"entry").expect("there is room");
    let temporary = |name: &str, minutes| {
        let path = cache.path().join("tmp").join(name);
        let mut file = File::create(&path).expect("the folder is ours");
        file.write_all(b"half an ent").expect("there is room");
        age(&path, minutes);
        (path, file)
    };
    let (dead, _) = temporary("0123456789abcdef", 10);
    let (young, _) = temporary("0123456789abcde0", 0);
    let (alive, file) = temporary("0123456789abcde1", 10);
    file.lock().expect("nobody has locked it");
    cache.prune(None, None).expect("the cache is ours");
    assert!(!dead.exists() && young.exists() && alive.exists());
    drop(file);
    cache.prune(None, None).expect("the cache is ours");
    assert!(!alive.exists());
}

#[test]
fn threads_see_whole_entries_while_one_clears() {
    let folder = folder();
    let path = folder.path().join("cache");
    // Small enough that there is always something to evict.
    let limit = 600_000;
    let stop = AtomicBool::new(false);
    let found = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let (path, stop) = (&path, &stop);
                scope.spawn(move || {
                    let cache = try_open(path, limit).expect("the cache is in order");
                    let mut found = 0;
                    for round in 0..300_usize {
                        let number = (round * 7 + worker) % 12;
                        let key = key(&number.to_string());
                        if let Some(bytes) = content(&cache, &key) {
                            assert!(bytes.len() >= 20_000 + number * 1000, "half an entry");
                            assert!(bytes.iter().all(|&byte| usize::from(byte) == number), "another entry");
                            found += 1;
                        }
                        let byte = u8::try_from(number).expect("it is small");
                        cache.insert(&key, &vec![byte; 20_000 + number * 1000 + worker]).expect("there is room");
                    }
                    stop.store(true, Ordering::Relaxed);
                    found
                })
            })
            .collect();
        scope.spawn(|| {
            let cache = try_open(&path, limit).expect("the cache is in order");
            while !stop.load(Ordering::Relaxed) {
                cache.clear().expect("the cache is ours");
                std::thread::sleep(Duration::from_millis(3));
            }
        });
        workers.into_iter().map(|worker| worker.join().expect("no worker fails")).sum::<usize>()
    });
    assert!(found > 50, "only {found} entries were found");
}

#[test]
fn a_directory_that_is_removed_is_made_again() {
    let folder = folder();
    let cache = open(&folder.path().join("cache"));
    cache.insert(&key("x"), b"entry").expect("there is room");
    // A room alone: at once.
    fs::remove_dir_all(cache.path().join("modules")).expect("it is ours");
    assert!(cache.lookup(&key("x")).is_none() && cache.list().expect("none is fine").is_empty());
    cache.insert(&key("x"), b"entry").expect("there is room");
    // All of it: its secret is gone, so that what was sealed is worth nothing. The next insertion finds everything anew.
    fs::remove_dir_all(cache.path()).expect("it is ours");
    assert!(cache.insert(&key("x"), b"entry").is_err());
    cache.insert(&key("x"), b"entry").expect("there is room");
    assert_eq!(content(&cache, &key("x")).as_deref(), Some(&b"entry"[..]));
}

/// A file whose time of change will be recorded once it has settled.
fn source_file(path: &Path, byte: u8) -> SystemTime {
    loop {
        fs::write(path, vec![byte; 300_000]).expect("the folder is ours");
        let metadata = fs::metadata(path).expect("it was written");
        if metadata.ctime_nsec() != 0 {
            return metadata.modified().expect("it has a time");
        }
    }
}

#[test]
fn a_large_source_is_read_once() {
    let folder = folder();
    let cache = open(&folder.path().join("cache"));
    let path = folder.path().join("module.wasm");
    let source = |cache: &Cache| cache.source(&mut File::open(&path).expect("it is there")).expect("it can be read");
    let written = source_file(&path, 1);

    let first = source(&cache);
    assert_eq!(first.hash, SourceHash::of(&[1; 300_000]));
    assert_eq!(first.bytes.expect("the file was read").len(), 300_000);
    assert!(source(&cache).bytes.is_some(), "the file may still change within a tick of its clock");

    std::thread::sleep(Duration::from_millis(3200));
    assert!(source(&cache).bytes.is_some());
    let known = source(&open(cache.path()));
    assert!(known.bytes.is_none(), "the file has not changed");
    assert_eq!(known.hash, first.hash);

    // Records are sealed.
    let record = fs::read_dir(cache.path().join("index")).expect("a room").next().expect("a record").expect("a record");
    let bytes = fs::read(record.path()).expect("it is ours");
    for position in 0..bytes.len() {
        let mut forged = bytes.clone();
        forged[position] ^= 1;
        fs::write(record.path(), forged).expect("it is ours");
        let source = source(&cache);
        assert!(source.bytes.is_some(), "a record was believed that is wrong at {position}");
        assert_eq!(source.hash, first.hash);
    }
    fs::write(record.path(), &bytes[..bytes.len() - 1]).expect("it is ours");
    assert!(source(&cache).bytes.is_some());
    assert!(source(&cache).bytes.is_none(), "the record is mended");

    // Whoever sets the time of modification back cannot set the time of change back.
    source_file(&path, 2);
    File::options().write(true).open(&path).and_then(|file| file.set_modified(written)).expect("it is ours");
    let changed = source(&cache);
    assert_eq!(changed.hash, SourceHash::of(&[2; 300_000]));
    assert!(changed.bytes.is_some());
}

#[test]
fn small_sources_and_special_files_are_read() {
    let folder = folder();
    let cache = open(&folder.path().join("cache"));
    let path = folder.path().join("small.wasm");
    fs::write(&path, "small").expect("the folder is ours");
    let source = cache.source(&mut File::open(&path).expect("it is there")).expect("it can be read");
    assert_eq!((source.hash, source.bytes.as_deref()), (SourceHash::of(b"small"), Some(&b"small"[..])));
    let empty = cache.source(&mut File::open("/dev/null").expect("it is there")).expect("it can be read");
    assert_eq!(empty.hash, SourceHash::of(b""));
}
