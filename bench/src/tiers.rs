//! How soon a program runs when nothing of it was compiled before, and how soon it is fast: each engine as a command, in turn, from the start of the process.
//!
//! [`start`]: CPython, which says one thing and ends. [`loops`]: a loop that runs for seconds in a function that is called once, so that what was compiled quickly must be left in its midst.
//! [`totals`]: programs with their compilation. [`again`]: the second and third run of the same, which find what the runs before have kept, and the second run when what was warm in the
//! first has been optimised in the background meanwhile, beside what was compiled ahead of time.

use crate::artefacts::wat;
use crate::contender::{self, Contender, took, wasmo_command};
use crate::guest::{Family, Guest};
use crate::sample::Samples;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// One program on all contenders.
pub struct Program {
    /// Its name.
    pub name: String,
    /// One for each contender.
    pub cells: Vec<Cell>,
}

/// What a contender took.
#[derive(Clone, Default)]
pub struct Cell {
    /// Milliseconds from the start of the process to its end.
    pub total: Samples,
    /// Milliseconds from the process's own beginning to the guest's first instruction.
    pub first: Samples,
}

/// Programs on contenders, in the order of the names.
#[derive(Default)]
pub struct Starts {
    /// The contenders.
    pub names: Vec<&'static str>,
    /// What they ran.
    pub programs: Vec<Program>,
}

/// One program run again and again.
pub struct Again {
    /// Its name.
    pub name: String,
    /// Milliseconds of the first run, with an empty cache, and of those that follow it.
    pub runs: [Samples; RUNS],
    /// Milliseconds that the process in the background, which the first run leaves on a terminal, went on after that run.
    pub background: Samples,
    /// Milliseconds of the second run, when that process is over.
    pub later: Samples,
    /// Milliseconds of what was compiled ahead of time.
    pub ahead: Samples,
}

/// Runs of the same program with the same cache.
pub const RUNS: usize = 3;

/// 1.2 thousand million steps of a generator of random numbers, in `_start`: about two seconds when they are not optimised.
const LOOP: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "_start") (local $left i64) (local $x i64)
        (local.set $left (i64.const 1200000000))
        (local.set $x (i64.const 88172645463325252))
        (loop $again
            (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 13))))
            (local.set $x (i64.xor (local.get $x) (i64.shr_u (local.get $x) (i64.const 7))))
            (local.set $x (i64.xor (local.get $x) (i64.shl (local.get $x) (i64.const 17))))
            (br_if $again (i64.ne (local.tee $left (i64.sub (local.get $left) (i64.const 1))) (i64.const 0))))
        (i64.store (i32.const 0) (local.get $x))))"#;

/// CPython, where it was fetched.
pub fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/real/python.wasm");
    if !python.exists() {
        eprintln!("{} is missing (scripts/fetch-real), so it is left out", python.display());
        return None;
    }
    Some(python)
}

/// Runs the programs `rounds` times, and asks when their first instructions were.
fn measure(rounds: usize, contenders: &[Contender], programs: &[(String, PathBuf, Vec<&str>)]) -> Result<Starts> {
    let mut starts =
        Starts { names: contenders.iter().map(|contender| contender.name).collect(), programs: Vec::new() };
    for (name, file, args) in programs {
        let mut cells = vec![Cell::default(); contenders.len()];
        for round in 0..rounds {
            for (contender, cell) in contenders.iter().zip(&mut cells) {
                eprint!("\r\x1b[K{name} from its start, round {}/{rounds}: {}", round + 1, contender.name);
                let took = contender.run_asking(file, args)?;
                cell.total.push(took.total);
                if let Some(first) = took.first {
                    cell.first.push(first);
                }
            }
        }
        starts.programs.push(Program { name: name.clone(), cells });
    }
    eprint!("\r\x1b[K");
    Ok(starts)
}

/// CPython's start, and a loop; files go to `folder`.
pub fn start(rounds: usize, folder: &Path) -> Result<Starts> {
    std::fs::create_dir_all(folder)?;
    let contenders = contender::all()?;
    let file = folder.join("loop.wasm");
    std::fs::write(&file, wat(LOOP)?)?;
    let mut programs = vec![("a loop in _start".to_owned(), file, Vec::new())];
    programs.extend(python().map(|python| ("CPython -c 'print(1)'".to_owned(), python, vec!["-c", "print(1)"])));
    measure(rounds, &contenders, &programs)
}

/// The programs made of real crates, compilation included.
pub fn totals(rounds: usize, guests: &[Guest]) -> Result<Starts> {
    let mut contenders = contender::all()?;
    contenders.retain(|contender| contender.name != "wasmo lift-off");
    let programs = guests.iter().filter(|guest| guest.family == Family::Crate);
    let programs: Vec<_> = programs.map(|guest| (guest.name.clone(), guest.path.clone(), Vec::new())).collect();
    measure(rounds, &contenders, &programs)
}

/// Waits until all processes are over that were started by this one, or by those that were; [`again`] has them adopted. Answers the milliseconds.
fn wait_for_children() -> f64 {
    let started = Instant::now();
    // SAFETY: without an address, it writes nothing.
    while unsafe { libc::wait(std::ptr::null_mut()) } >= 0 {}
    started.elapsed().as_secs_f64() * 1e3
}

/// Programs of crates and CPython, each with a cache that is empty at first, and compiled ahead of time; files go to `folder`.
pub fn again(rounds: usize, guests: &[Guest], folder: &Path) -> Result<Vec<Again>> {
    std::fs::create_dir_all(folder)?;
    // SAFETY: it only says whose children processes are whose parent is gone.
    if unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) } != 0 {
        bail!("processes in the background cannot be waited for: {}", std::io::Error::last_os_error());
    }
    let mut programs: Vec<(String, PathBuf, Vec<&str>)> = guests
        .iter()
        .filter(|guest| guest.family == Family::Crate)
        .map(|guest| (guest.name.clone(), guest.path.clone(), Vec::new()))
        .collect();
    programs.extend(python().map(|python| ("CPython -c 'print(1)'".to_owned(), python, vec!["-c", "print(1)"])));
    let mut all = Vec::new();
    for (name, file, args) in programs {
        eprint!("\r\x1b[Kcompiling {name} ahead of time");
        let ahead = folder.join(file.file_name().context("a program has a name")?).with_extension("wasmo");
        let mut compile = Command::new(wasmo_command());
        compile.arg("compile").arg("-o").arg(&ahead).arg(&file).stdin(Stdio::null());
        took(compile)?;
        let mut again = Again {
            name,
            runs: Default::default(),
            background: Samples::default(),
            later: Samples::default(),
            ahead: Samples::default(),
        };
        for round in 0..rounds {
            eprint!("\r\x1b[K{} again and again, round {}/{rounds}", again.name, round + 1);
            let cache = folder.join("cache");
            let clear = || if cache.exists() { std::fs::remove_dir_all(&cache) } else { Ok(()) };
            let run = |file: &Path, background: &str| -> Result<f64> {
                let mut command = Command::new(wasmo_command());
                command.arg("run").arg(file).args(&args).stdin(Stdio::null());
                command.env("WASMO_CACHE_DIR", &cache).env("WASMO_BACKGROUND", background);
                Ok(took(command)?.total)
            };
            clear()?;
            for samples in &mut again.runs {
                samples.push(run(&file, "0")?);
            }
            again.ahead.push(run(&ahead, "0")?);
            clear()?;
            run(&file, "1")?;
            again.background.push(wait_for_children());
            again.later.push(run(&file, "0")?);
            // The machine may have become another meanwhile.
            again.ahead.push(run(&ahead, "0")?);
        }
        all.push(again);
    }
    if all.is_empty() {
        bail!("there is nothing to run again");
    }
    eprint!("\r\x1b[K");
    Ok(all)
}
