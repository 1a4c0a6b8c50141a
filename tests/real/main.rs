//! Real programs: those from package registries, run as users run them (commands through `wasmo run`, libraries through the embedding API), and a debugger that runs wasmo.
//!
//! `scripts/fetch-real` puts the former in `target/real`, `scripts/setup gdb` installs the latter; `make real` does it all. Without these steps the tests are ignored, not passed.
//!
//! `scripts/test-aarch64` runs the commands elsewhere: with `$WASMO_TEST_COMMAND` (words), on what it has compiled to `$WASMO_TEST_MODULES`.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use wasmo::{Engine, Instance, Linker, Memory, Module, Store};
use wasmo_wasi::{WasiCtx, WasiCtxBuilder};

fn program(name: &str) -> PathBuf {
    let path = match env::var_os("WASMO_TEST_MODULES") {
        Some(compiled) => Path::new(&compiled).join(format!("{name}.wasmo")),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/real").join(name),
    };
    assert!(path.exists(), "{} is missing: run scripts/fetch-real", path.display());
    path
}

fn wasmo(args: &[&str]) -> Output {
    // Not the user's cache. What is in it belongs to this state of the compiler's sources, and spares compiling CPython for each test.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("real-cache");
    let command = env::var("WASMO_TEST_COMMAND").unwrap_or_else(|_| env!("CARGO_BIN_EXE_wasmo").to_owned());
    let mut words = command.split_whitespace();
    let mut command = Command::new(words.next().expect("a command"));
    command.args(words).args(args).env("WASMO_CACHE_DIR", cache);
    command.output().expect("the wasmo command can be started")
}

#[track_caller]
fn check(output: &Output, code: i32, stdout: &str) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), stdout, "standard error: {errors}");
    assert_eq!(output.status.code(), Some(code), "standard error: {errors}");
}

/// One run for many checks: compiling what it needs of CPython is by far the longest part.
#[test]
#[ignore = "needs the programs of scripts/fetch-real; run by make real"]
fn cpython_computes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.txt"), "first line\nsecond line\n").unwrap();
    let script = r#"
import json, hashlib, sys
print(sum(range(10)))
print(json.dumps({"b": [1, 2.5, None], "a": json.loads('"\\u00e9"')}, sort_keys=True))
print(hashlib.sha256(b"wasmo").hexdigest())
print(2 ** 200 % 1000007, 7 // -2, round(2.675, 2))
with open("/data/in.txt") as f:
    print([line.strip() for line in f])
with open("/data/out.txt", "w") as f:
    f.write("written by CPython")
try:
    open("/data/../secret.txt")
except OSError as error:
    print("refused")
def deep(n):
    return 0 if n == 0 else 1 + deep(n - 1)
print(deep(500))
sys.exit(7)
"#;
    let dir = format!("{}::/data", folder.path().display());
    let python = program("python.wasm");
    let output = wasmo(&["run", "--dir", &dir, python.to_str().unwrap(), "-c", script]);
    let expected = "45\n\
        {\"a\": \"\\u00e9\", \"b\": [1, 2.5, null]}\n\
        e29dac2fece9971ec79b4ed7f24be1c9853d8a2fdf840ce1409f1251a744e974\n\
        446616 -4 2.67\n\
        ['first line', 'second line']\n\
        refused\n\
        500\n";
    check(&output, 7, expected);
    assert_eq!(std::fs::read_to_string(folder.path().join("out.txt")).unwrap(), "written by CPython");
}

/// The artefact is a program of its own, and an ELF file that tools read.
#[test]
#[ignore = "needs the programs of scripts/fetch-real; run by make real"]
fn cpython_runs_from_an_artefact() {
    let folder = tempfile::tempdir().unwrap();
    let compiled = folder.path().join("python.wasmo");
    let compiled = compiled.to_str().unwrap();
    check(&wasmo(&["compile", "-o", compiled, program("python.wasm").to_str().unwrap()]), 0, "");
    let script = "import json, sys; print(json.dumps({'sum': sum(range(10)), 'args': sys.argv[1:]})); sys.exit(3)";
    let output = wasmo(&["run", "--stats", compiled, "-c", script, "x"]);
    check(&output, 3, "{\"sum\": 45, \"args\": [\"x\"]}\n");
    let stats = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stats.contains("compile            0.000 ms"), "{stats}");
    let output = wasmo(&["run", compiled, "-c", "raise ValueError('no such luck')"]);
    check(&output, 1, "");
    let inspected = wasmo(&["inspect", compiled]);
    assert!(inspected.status.success());
    let text = String::from_utf8_lossy(&inspected.stdout).into_owned();
    assert!(text.contains("checksums  code right, names and tables right\n"), "{text}");
    // Where the tools are installed.
    if let Ok(symbols) = Command::new("nm").arg(compiled).output() {
        let symbols = String::from_utf8_lossy(&symbols.stdout).into_owned();
        assert!(symbols.lines().count() > 10_000 && symbols.contains(" t _start\n"), "{}", symbols.len());
    }
    if let Ok(relocations) = Command::new("readelf").args(["-rW", compiled]).output() {
        let relocations = String::from_utf8_lossy(&relocations.stdout).into_owned();
        assert!(relocations.contains("There are no relocations in this file."), "{relocations}");
    }
}

#[test]
#[ignore = "needs the programs of scripts/fetch-real; run by make real"]
fn cpython_uncaught_exception() {
    let python = program("python.wasm");
    let output = wasmo(&["run", python.to_str().unwrap(), "-c", "raise ValueError('no such luck')"]);
    check(&output, 1, "");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("ValueError: no such luck"), "{errors}");
}

#[test]
#[ignore = "needs the programs of scripts/fetch-real; run by make real"]
fn resvg_draws_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real/data");
    std::fs::copy(data.join("landscape.svg"), folder.path().join("in.svg")).unwrap();
    let dir = format!("{}::/", folder.path().display());
    let output = wasmo(&["run", "--dir", &dir, program("resvg.wasm").to_str().unwrap(), "/in.svg", "/out.png"]);
    check(&output, 0, "");
    let drawn = std::fs::read(folder.path().join("out.png")).unwrap();
    let expected = std::fs::read(data.join("landscape.png")).unwrap();
    assert!(drawn == expected, "the picture differs from tests/real/data/landscape.png ({} bytes)", drawn.len());
}

/// A library in wasm as a host program holds it.
struct Library {
    store: Store<WasiCtx>,
    instance: Instance,
    memory: Memory,
}

impl Library {
    fn load(name: &str, wasi: WasiCtx) -> Self {
        let engine = Engine::default();
        let module = Module::from_file(&engine, program(name)).unwrap();
        let mut linker = Linker::new(&engine);
        wasmo_wasi::add_to_linker(&mut linker, |wasi: &mut WasiCtx| wasi).unwrap();
        let mut store = Store::new(&engine, wasi);
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        Self { store, instance, memory }
    }

    fn call<P: wasmo::WasmParams, R: wasmo::WasmResults>(&mut self, name: &str, args: P) -> R {
        let func = self.instance.get_typed_func::<P, R>(&mut self.store, name).unwrap();
        func.call(&mut self.store, args).unwrap()
    }

    /// Copies `bytes` into memory that the guest allocates.
    fn copy_in(&mut self, bytes: &[u8]) -> u32 {
        let at: u32 = self.call("malloc", u32::try_from(bytes.len()).unwrap());
        self.memory.write(&mut self.store, at as usize, bytes).unwrap();
        at
    }

    fn c_string(&mut self, text: &str) -> u32 {
        self.copy_in(format!("{text}\0").as_bytes())
    }

    fn copy_out(&mut self, at: u32, len: u32) -> Vec<u8> {
        let mut bytes = vec![0; len as usize];
        self.memory.read(&mut self.store, at as usize, &mut bytes).unwrap();
        bytes
    }
}

#[test]
#[ignore = "needs the programs of scripts/fetch-real; run by make real"]
fn quickjs_evaluates_a_script() {
    let stdout = wasmo_wasi::MemoryOutputPipe::new(4096);
    let mut quickjs = Library::load("quickjs.wasm", WasiCtxBuilder::new().stdout(stdout.clone()).build());
    quickjs.call::<(), ()>("_initialize", ());
    let script = "console.log([1, 2, 3].map(x => x * x).join()); console.log(JSON.stringify({ a: 2n ** 64n + '' }))";
    let mut argv = Vec::new();
    for arg in ["qjs", "-e", script] {
        argv.extend(quickjs.c_string(arg).to_le_bytes());
    }
    argv.extend([0; 4]);
    let argv = quickjs.copy_in(&argv);
    let status: i32 = quickjs.call("qjs_init_argv", (3, argv));
    assert_eq!(status, 0);
    let printed = String::from_utf8(stdout.contents().to_vec()).unwrap();
    assert_eq!(printed, "1,4,9\n{\"a\":\"18446744073709551616\"}\n");
}

#[test]
#[ignore = "needs the programs of scripts/fetch-real; run by make real"]
fn graphviz_lays_out_a_graph() {
    let mut graphviz = Library::load("graphviz.wasm", WasiCtxBuilder::new().build());
    let render = |graphviz: &mut Library, dot: &str| {
        let (dot, format, engine) = (graphviz.c_string(dot), graphviz.c_string("svg"), graphviz.c_string("dot"));
        let len_at = graphviz.copy_in(&[0; 4]);
        let result: u32 = graphviz.call("graphviz_render", (dot, format, engine, len_at));
        let len = u32::from_le_bytes(graphviz.copy_out(len_at, 4).try_into().unwrap());
        (result != 0).then(|| String::from_utf8(graphviz.copy_out(result, len)).unwrap())
    };
    let svg = render(&mut graphviz, "digraph g { rankdir=LR; wasm -> ir -> code; ir -> ir }").unwrap();
    assert!(
        svg.contains("<svg")
            && svg.matches("class=\"node\"").count() == 3
            && svg.matches("class=\"edge\"").count() == 3,
        "{svg}"
    );
    assert_eq!(render(&mut graphviz, "digraph g { unfinished ->"), None);
}

/// A debugger that stops where a guest traps shows its functions, in whatever code they run; and it has got past the loading of LLVM, whose libraries it opens as well.
#[test]
#[ignore = "needs gdb; run by make real"]
fn gdb_shows_the_frames_of_a_guest() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("traps.wat");
    // Two thousand million rounds are enough for LLVM to come in the midst of them.
    let module = r#"(module (memory (export "memory") 1)
        (func $count (param i32) (result i32)
            (if (i32.eq (local.get 0) (i32.const 2000000000)) (then (unreachable)))
            (i32.add (local.get 0) (i32.const 1)))
        (func $forever (param i32) (loop $again (local.set 0 (call $count (local.get 0))) (br $again)))
        (func (export "_start") (call $forever (i32.const 0))))"#;
    std::fs::write(&file, module).unwrap();
    let backtrace = |tier| {
        let mut gdb = Command::new("gdb");
        gdb.args([
            "-nx",
            "-q",
            "-batch",
            "-ex",
            "set breakpoint pending on",
            "-ex",
            "handle SIGILL stop",
            "-ex",
            "run",
        ]);
        gdb.args(["-ex", "backtrace", "--args", env!("CARGO_BIN_EXE_wasmo")]);
        gdb.args(["run", "--no-cache", "-g", "--tier", tier]).arg(&file).stdin(Stdio::null());
        let output = gdb.output().expect("gdb can be started");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        let frame = |line: &str| {
            let (number, rest) = line.strip_prefix('#')?.split_once(' ')?;
            let name = rest.split_once(" in ").map_or(rest, |(_, name)| name).trim().strip_suffix(" ()")?;
            name.starts_with("wasm!").then(|| format!("{number} {name}"))
        };
        (text.lines().filter_map(frame).collect::<Vec<_>>(), text)
    };
    let (frames, text) = backtrace("auto");
    let [first, second] = &frames[..] else { panic!("{text}") };
    assert!(first.starts_with("0 wasm!forever [optimized") && second == "1 wasm!_start [lift-off]", "{text}");
    let (frames, text) = backtrace("lift-off");
    assert_eq!(frames, ["0 wasm!count [lift-off]", "1 wasm!forever [lift-off]", "2 wasm!_start [lift-off]"], "{text}");
    let (frames, text) = backtrace("optimized");
    assert_eq!(frames, ["0 wasm!_start"], "{text}");
}
