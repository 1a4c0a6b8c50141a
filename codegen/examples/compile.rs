//! Compiles and links a module, and prints what it cost: processor time by phase, peak memory, size of the code.
//!
//! `cargo run --release -p wasmo-codegen --example compile -- FILE [--threads N] [--cpu NAME] [--none] [--epoch] [--llvm OPTION]
//! [--print ir|optimized|assembly]`; an option of LLVM's is for example `-time-passes`

use std::ffi::CString;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use wasmo_abi::tunables::{OptLevel, Tunables};
use wasmo_codegen::{Compiler, Cpu, Error, Print, TargetOptions};

/// Prints the crate's log.
struct Log;

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl tracing::Subscriber for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("wasmo")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        eprintln!("{}", line.0.trim_start());
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

struct Options {
    file: String,
    tunables: Tunables,
    target: TargetOptions,
    print: Option<Print>,
}

fn options() -> Result<Options, String> {
    let mut llvm = vec![c"compile".to_owned()];
    let mut arguments = std::env::args().skip(1);
    let mut options =
        Options { file: String::new(), tunables: Tunables::default(), target: TargetOptions::default(), print: None };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} wants a value"));
        match argument.as_str() {
            "--threads" => options.target.threads = value()?.parse().map_err(|error| format!("--threads: {error}"))?,
            "--cpu" => options.target.cpu = Cpu::Named(value()?),
            "--llvm" => llvm.push(CString::new(value()?).map_err(|error| format!("--llvm: {error}"))?),
            "--target" => options.target.triple = Some(value()?),
            "--none" => options.tunables.opt_level = OptLevel::None,
            "--epoch" => options.tunables.epoch_interruption = true,
            "--print" => {
                options.print = Some(match value()?.as_str() {
                    "ir" => Print::Ir,
                    "optimized" => Print::OptimizedIr,
                    "assembly" => Print::Assembly,
                    other => return Err(format!("cannot print {other}")),
                });
            }
            _ => options.file = argument,
        }
    }
    if llvm.len() > 1 {
        let pointers: Vec<_> = llvm.iter().map(|option| option.as_ptr()).collect();
        let count = i32::try_from(pointers.len()).map_err(|_| "too many options")?;
        // SAFETY: the pointers are to C strings that outlive the call, and no thread uses LLVM yet.
        unsafe { llvm_sys::support::LLVMParseCommandLineOptions(count, pointers.as_ptr(), c"".as_ptr()) };
    }
    if options.file.is_empty() { Err("which file?".to_owned()) } else { Ok(options) }
}

/// Processor time of the whole process.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a place for the result.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn run(options: &Options, bytes: &[u8]) -> Result<(), Error> {
    let info = wasmo_codegen::parse(bytes)?;
    let compiler = Compiler::new(options.tunables, options.target.clone())?;
    if let Some(what) = options.print {
        println!("{}", compiler.print(&info, bytes, what)?);
        return Ok(());
    }
    let started = Instant::now();
    let compiled = compiler.compile(&info, bytes, &())?;
    let code = compiler.link(&info, compiled)?;
    let rows: usize = code.units.iter().map(|unit| unit.wasm_offsets.iter().count()).sum();
    let unwind: usize = code.units.iter().map(|unit| unit.unwind.eh_frame.len()).sum();
    println!(
        "functions {}  code {} bytes  offsets {rows} rows  unwind {unwind} bytes",
        code.entries.len(),
        code.code_size()
    );
    if std::env::args().any(|argument| argument == "-time-passes") {
        // SAFETY: no thread uses LLVM any more.
        unsafe { llvm_sys::core::LLVMShutdown() };
    }
    println!("elapsed {:.2?}  processor {:.2?}", started.elapsed(), processor_time());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")) {
        println!("{line}");
    }
    Ok(())
}

fn main() -> ExitCode {
    // There is no other subscriber that this could collide with.
    let _ = tracing::subscriber::set_global_default(Log);
    let result = options().and_then(|options| {
        let bytes = std::fs::read(&options.file).map_err(|error| format!("{}: {error}", options.file))?;
        run(&options, &bytes).map_err(|error| error.to_string())
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
