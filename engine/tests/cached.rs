//! Modules in a cache: what changes their keys, and that nothing comes out but what this user's compiler has put in.

mod common;

use common::{damaged, write_private};
use std::collections::HashSet;
use std::fs;
use std::path::Path;

use wasmo::cache::{Key, SourceHash};
use wasmo::{Cache, CacheConfig, CompileObserver, Config, Engine, Instance, Module, OptLevel, Result, Store};

struct Nobody;

impl CompileObserver for Nobody {}

const ANSWER: &[u8] =
    br#"(module (memory 1) (data (i32.const 8) "data") (func (export "answer") (result i32) (i32.const 42)))"#;

fn open(path: &Path) -> Cache {
    Cache::open(CacheConfig::new().directory(path)).expect("the cache is in order")
}

fn key(engine: &Engine, source: &[u8]) -> Key {
    engine.cache_key(SourceHash::of(source))
}

/// Puts a module into a cache, and says where it is.
fn put(engine: &Engine, cache: &Cache, source: &[u8]) -> Result<std::path::PathBuf> {
    let key = key(engine, source);
    let (module, kept) = Module::new_into_cache(engine, cache, &key, source, &Nobody)?;
    kept?;
    assert!(module.artifact_info().is_some_and(|info| info.is_sealed()), "it runs from the cache the first time, too");
    Ok(cache.lookup(&key).expect("it was put there").path)
}

fn answer(engine: &Engine, module: &Module) -> Result<i32> {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[])?;
    instance.get_typed_func::<(), i32>(&mut store, "answer")?.call(&mut store, ())
}

#[test]
fn what_was_put_in_comes_out() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (cache, engine) = (open(&folder.path().join("cache")), Engine::default());
    assert!(Module::from_cache(&engine, &cache, &key(&engine, ANSWER)).is_none());
    let path = put(&engine, &cache, ANSWER)?;
    // Another process, in effect.
    let (cache, engine) = (open(&folder.path().join("cache")), Engine::default());
    let module = Module::from_cache(&engine, &cache, &key(&engine, ANSWER)).expect("it is there");
    assert_eq!(answer(&engine, &module)?, 42);
    // It may go while it is in use.
    fs::remove_file(path)?;
    assert_eq!(answer(&engine, &module)?, 42);
    let bad = b"(module (func (result i32)))";
    assert!(Module::new_into_cache(&engine, &cache, &key(&engine, bad), bad, &Nobody).is_err());
    assert!(cache.list()?.is_empty());
    Ok(())
}

#[test]
fn everything_that_changes_code_changes_the_key() -> Result<()> {
    type Choice = fn(&mut Config) -> &mut Config;
    let choices: [Choice; 10] = [
        |config| config,
        |config| config.strict_traps(true),
        |config| config.epoch_interruption(true),
        |config| config.consume_fuel(true),
        |config| config.opt_level(OptLevel::None),
        |config| config.target("aarch64-unknown-linux-gnu"),
        |config| config.target_cpu("baseline"),
        |config| config.target_cpu("native"),
        |config| config.target_cpu("x86-64-v3"),
        |config| config.wasm_multi_memory(false),
    ];
    let mut keys = HashSet::new();
    for choice in choices {
        let engine = Engine::new(choice(&mut Config::new()))?;
        assert!(keys.insert(key(&engine, ANSWER)), "two configurations have one key");
        assert!(keys.insert(key(&engine, b"other")), "two modules have one key");
    }
    let same: [Choice; 3] = [
        |config| config.compilation_threads(1),
        |config| config.max_wasm_stack(1 << 20),
        |config| config.wasm_backtrace(false),
    ];
    for choice in same {
        assert!(!keys.insert(key(&Engine::new(choice(&mut Config::new()))?, ANSWER)), "the code is the same");
    }
    Ok(())
}

#[test]
fn files_of_others_are_refused_and_removed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let engine = Engine::default();
    let [ours, theirs] = ["ours", "theirs"].map(|name| open(&folder.path().join(name)));
    let other: &[u8] = br#"(module (func (export "answer") (result i32) (i32.const 13)))"#;
    let path = put(&engine, &ours, ANSWER)?;
    let whole = fs::read(&path)?;
    let refused = |why: &str, bytes: &[u8]| -> Result<()> {
        write_private(&path, bytes)?;
        assert!(Module::from_cache(&engine, &ours, &key(&engine, ANSWER)).is_none(), "{why}");
        assert!(!path.exists(), "{why}: it is still there");
        Ok(())
    };
    refused("sealed with another secret", &fs::read(put(&engine, &theirs, ANSWER)?)?)?;
    refused("the entry of another key", &fs::read(put(&engine, &ours, other)?)?)?;
    refused("not sealed at all", &engine.precompile_module(other)?)?;
    let mut foreign = engine.precompile_module(other)?;
    copy_seal(&mut foreign, &whole);
    refused("with the seal of the right one", &foreign)?;
    refused("empty", b"")?;
    refused("cut", &whole[..whole.len() - 1])?;
    write_private(&path, &whole)?;
    let module = Module::from_cache(&engine, &ours, &key(&engine, ANSWER)).expect("it is the right one again");
    assert_eq!(answer(&engine, &module)?, 42);
    Ok(())
}

/// Takes the seal, the last 32 bytes of the header of 2,048 bytes at 512, from another artefact.
fn copy_seal(to: &mut [u8], from: &[u8]) {
    let seal = 512 + 2048 - 32..512 + 2048;
    to[seal.clone()].copy_from_slice(&from[seal]);
}

#[test]
fn damaged_entries_are_refused_or_behave_as_the_original() -> Result<()> {
    const TIMES: usize = 3_000;
    let folder = tempfile::tempdir()?;
    let (cache, engine) = (open(&folder.path().join("cache")), Engine::default());
    let path = put(&engine, &cache, ANSWER)?;
    let whole = fs::read(&path)?;
    let mut refused = 0;
    for (bytes, _) in damaged(&whole).take(TIMES) {
        // Another file each time, as the cache writes them.
        write_private(&folder.path().join("new"), &bytes)?;
        fs::rename(folder.path().join("new"), &path)?;
        match Module::from_cache(&engine, &cache, &key(&engine, ANSWER)) {
            Some(module) => assert_eq!(answer(&engine, &module)?, 42),
            None => {
                assert!(!path.exists(), "it is still there");
                refused += 1;
            }
        }
    }
    assert!(refused > TIMES / 3 && refused < TIMES, "{refused}");
    Ok(())
}
