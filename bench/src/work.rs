//! Work done over time since the process began, for programs that run long: how soon each engine starts, and how soon it is as fast as it will be.
//!
//! A program writes the same number of bytes after each unit of work, without end; whoever reads the pipe notes when they came. After the time that the program is given,
//! the process is killed. Several runs become one line: at each moment, the median of what the runs had done by then.

use crate::contender::{self, Contender};
use crate::sample::Samples;
use crate::tiers::python;
use anyhow::{Context, Result, bail};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// One program on all contenders.
pub struct Work {
    /// What it is.
    pub name: &'static str,
    /// What a unit of its work is.
    pub unit: &'static str,
    /// How long it ran, in seconds.
    pub window: f64,
    /// How often.
    pub rounds: usize,
    /// A line a contender.
    pub lines: Vec<Line>,
}

/// What one contender did.
pub struct Line {
    /// The contender's name.
    pub name: &'static str,
    /// Seconds since the process began, and the units done by then; from the first unit on.
    pub points: Vec<(f64, f64)>,
}

/// A program without end.
struct Program {
    name: &'static str,
    unit: &'static str,
    file: PathBuf,
    args: Vec<String>,
    /// Bytes a unit.
    bytes: usize,
    window: Duration,
    rounds: usize,
}

/// The Scheme interpreter, without its own JIT, and CPython, where it was fetched.
fn programs(rounds: usize) -> Vec<Program> {
    // The interpreter writes when it has 16 KiB to write.
    let bytes = 16 << 10;
    let scheme = format!(
        "(define (fib n) (if (< n 2) n (+ (fib (- n 1)) (fib (- n 2)))))
        (define unit \"{}\")
        (let again () (fib 18) (display unit) (again))",
        ".".repeat(bytes)
    );
    let python_script = "import sys
while True:
    x = 0
    for i in range(20000):
        x = (x * 31 + i) % 65521
    sys.stdout.write('.')
    sys.stdout.flush()
";
    let mut programs = vec![Program {
        name: "A Scheme interpreter of 0.5 MB",
        unit: "fib(18), interpreted",
        file: Path::new(env!("CARGO_MANIFEST_DIR")).join("../guests/built/interp.wasm"),
        args: vec!["--no-jit".into(), "-e".into(), scheme],
        bytes,
        window: Duration::from_secs(6),
        rounds,
    }];
    programs.extend(python().map(|file| Program {
        name: "CPython 3.12, 26 MB",
        unit: "20,000 rounds of a loop in Python",
        file,
        args: vec!["-c".into(), python_script.into()],
        bytes: 1,
        window: Duration::from_secs(24),
        // The lines are long enough to tell what was chance.
        rounds: 1,
    }));
    programs
}

/// When units came: seconds since the process began, one each.
fn watch(program: &Program, contender: &Contender) -> Result<Vec<f64>> {
    let mut command = contender.command(&program.file, &program.args);
    command.stdout(Stdio::piped());
    let started = Instant::now();
    let mut process = command.spawn().with_context(|| format!("cannot start {}", contender.name))?;
    let mut pipe = process.stdout.take().context("it was asked for")?;
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if sender.send((started.elapsed(), count)).is_err() {
                break;
            }
        }
    });
    let mut times = Vec::new();
    let mut bytes = 0;
    let ended = loop {
        match receiver.recv_timeout(program.window.saturating_sub(started.elapsed())) {
            Ok((time, count)) if time < program.window => {
                bytes += count;
                times.resize(bytes / program.bytes, time.as_secs_f64());
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break true,
            Ok(_) | Err(mpsc::RecvTimeoutError::Timeout) => break false,
        }
    };
    drop(receiver);
    process.kill()?;
    process.wait()?;
    // The pipe is closed now, so it ends.
    _ = reader.join();
    if ended {
        bail!("{} has ended on {}, but should run for ever", program.name, contender.name);
    }
    Ok(times)
}

/// The moments at which the runs are looked at: closer at the beginning, where more happens.
fn moments(window: f64) -> impl Iterator<Item = f64> {
    const COUNT: i32 = 400;
    let first: f64 = 0.01;
    (0..=COUNT).map(move |step| first * (window / first).powf(f64::from(step) / f64::from(COUNT)))
}

/// One line of several runs.
fn line(name: &'static str, window: f64, runs: &[Vec<f64>]) -> Line {
    let done = |time: f64| {
        let mut samples = Samples::default();
        for run in runs {
            samples.push(run.partition_point(|&at| at <= time) as f64);
        }
        (time, samples.median())
    };
    Line { name, points: moments(window).map(done).filter(|&(_, units)| units >= 1.0).collect() }
}

/// Runs all programs on all contenders, in turn.
pub fn measure(rounds: usize) -> Result<Vec<Work>> {
    let contenders = contender::all()?;
    let mut works = Vec::new();
    for program in programs(rounds.clamp(1, 3)) {
        let mut runs = vec![Vec::new(); contenders.len()];
        for round in 0..program.rounds {
            for (contender, runs) in contenders.iter().zip(&mut runs) {
                eprint!(
                    "\r\x1b[Kwork over time: {}, round {}/{}: {}",
                    program.name,
                    round + 1,
                    program.rounds,
                    contender.name
                );
                runs.push(watch(&program, contender)?);
            }
        }
        let window = program.window.as_secs_f64();
        let lines = contenders.iter().zip(&runs).map(|(contender, runs)| line(contender.name, window, runs)).collect();
        works.push(Work { name: program.name, unit: program.unit, window, rounds: program.rounds, lines });
    }
    eprint!("\r\x1b[K");
    Ok(works)
}
