//! Modules that are no good, and compilations that are watched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use wasmo::{CompileError, CompileErrorKind, CompileObserver, Config, Engine, Module, OptLevel, Result};

fn kind(bytes: impl AsRef<[u8]>) -> (CompileErrorKind, Option<usize>) {
    let engine = Engine::default();
    let bytes = bytes.as_ref();
    let error = Module::new(&engine, bytes).expect_err("the module is no good");
    let error = error.downcast_ref::<CompileError>().unwrap_or_else(|| panic!("{error:?}"));
    assert!(Module::validate(&engine, bytes).is_err());
    (error.kind(), error.offset())
}

#[test]
fn bad_modules_are_refused() {
    assert_eq!(kind("(module (func"), (CompileErrorKind::Malformed, None));
    assert!(matches!(kind(b"\0asm\x02\0\0\0"), (CompileErrorKind::Malformed | CompileErrorKind::Unsupported, Some(_))));
    assert!(matches!(kind(b"\0asm\x01\0\0\0\x01\xff"), (CompileErrorKind::Malformed, Some(_))));
    assert!(matches!(kind(r#"(module (func (result i32)))"#), (CompileErrorKind::Invalid, Some(_))));
    assert!(matches!(kind(r#"(module (func (drop (i32.add (i32.const 0)))))"#), (CompileErrorKind::Invalid, Some(_))));
    assert!(Module::from_binary(&Engine::default(), b"(module)").is_err(), "text is no binary");
    assert!(Module::from_file(&Engine::default(), "/no/such/file").is_err());
}

#[test]
fn good_modules_are_valid() -> Result<()> {
    let engine = Engine::default();
    Module::validate(&engine, "(module)")?;
    Module::validate(&engine, b"\0asm\x01\0\0\0")
}

#[derive(Default)]
struct Watch {
    done: AtomicU64,
    total: AtomicU64,
    stop: AtomicBool,
}

impl CompileObserver for Watch {
    fn progress(&self, done: u64, total: u64) {
        assert!(done <= total);
        self.done.fetch_max(done, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

#[test]
fn compilations_are_watched_and_stopped() -> Result<()> {
    let engine = Engine::default();
    let functions: String = (0..200).map(|n| format!("(func (export \"f{n}\") (result i32) i32.const {n})")).collect();
    let text = format!("(module {functions})");
    let watch = Watch::default();
    Module::new_with_observer(&engine, &text, &watch)?;
    let total = watch.total.load(Ordering::Relaxed);
    assert!(total > 200);
    assert_eq!(watch.done.load(Ordering::Relaxed), total);

    watch.stop.store(true, Ordering::Relaxed);
    let error = Module::new_with_observer(&engine, &text, &watch).unwrap_err();
    assert_eq!(error.downcast_ref::<CompileError>().expect("ours").kind(), CompileErrorKind::Cancelled);
    Ok(())
}

#[test]
fn configurations() -> Result<()> {
    // The processor is looked up when something is compiled, and each time.
    let engine = Engine::new(Config::new().target_cpu("no-such-processor"))?;
    for _ in 0..2 {
        let error = Module::new(&engine, "(module)").unwrap_err();
        assert!(error.to_string().contains("LLVM knows no CPU named \"no-such-processor\""), "{error}");
    }
    let text = r#"(module (func (export "f") (result i32) (i32.add (i32.const 40) (i32.const 2))))"#;
    for config in [
        Config::new().opt_level(OptLevel::None),
        Config::new().strict_traps(true),
        Config::new().parallel_compilation(false),
    ] {
        let engine = Engine::new(config)?;
        let module = Module::new(&engine, text)?;
        let mut store = wasmo::Store::new(&engine, ());
        let instance = wasmo::Instance::new(&mut store, &module, &[])?;
        assert_eq!(instance.get_typed_func::<(), i32>(&mut store, "f")?.call(&mut store, ())?, 42);
    }
    Ok(())
}

#[test]
fn modules_and_stores_of_different_engines_do_not_mix() -> Result<()> {
    let module = Module::new(&Engine::default(), "(module)")?;
    let result = std::panic::catch_unwind(|| {
        let mut store = wasmo::Store::new(&Engine::default(), ());
        wasmo::Instance::new(&mut store, &module, &[]).map(|_| ())
    });
    assert!(result.is_err());
    Ok(())
}
