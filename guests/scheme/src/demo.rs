//! `interp --demo`: a program before and after its hot procedures have been compiled and linked into the instance that runs it.

use crate::link;
use scheme::jit::THRESHOLD;
use scheme::{Error, Machine, Program, Style, Value};
use std::cell::RefCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Instant;

/// The program that is run when none is named.
pub const PROGRAM: &str = "(define (fib n)
  (if (< n 2)
      n
      (+ (fib (- n 1)) (fib (- n 2)))))

(display \"fib(30) = \")
(display (fib 30))
";

/// Where the program prints to, so that it can be shown together with the time it took.
#[derive(Clone, Default)]
struct Output(Rc<RefCell<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Runs `text` interpreted, compiles what was hot, links it, and runs `text` again; several times each, since an engine may begin with quick code and have better code ready
/// while it runs.
///
/// # Errors
///
/// Those of the program.
pub fn run(text: &str) -> Result<(), Error> {
    let output = Output::default();
    let mut machine = Machine::new(Box::new(output.clone()));
    // Without a linker, what becomes hot waits until it is asked for.
    machine.start_jit(THRESHOLD);
    println!("{}\n", text.trim_end());
    let program = machine.parse(text)?;
    let before = measure("interpreted", &mut machine, &program, &output)?;
    let start = Instant::now();
    let Some(module) = machine.take_module() else {
        println!("Nothing was called often enough to be worth compiling.");
        return Ok(());
    };
    let count = machine.compiled_procedures();
    let procedures = if count == 1 { "procedure" } else { "procedures" };
    println!(
        "generated    {count} {procedures}, {} bytes of WebAssembly, in {:.2} ms",
        module.len(),
        start.elapsed().as_secs_f64() * 1e3
    );
    let start = Instant::now();
    match link::link(&module) {
        Ok(()) => println!("linked       in {:.2} ms", start.elapsed().as_secs_f64() * 1e3),
        Err(error) => {
            println!("not linked   {error}");
            return Ok(());
        }
    }
    let after = measure("compiled", &mut machine, &program, &output)?;
    println!("             {:.1} times as fast", before / after);
    Ok(())
}

/// How often the program is run each way.
const RUNS: u32 = 10;

/// Runs the program [`RUNS`] times and prints what it printed at first, and the times it took, the shortest of which is returned, in seconds.
fn measure(label: &str, machine: &mut Machine, program: &Program, output: &Output) -> Result<f64, Error> {
    let run = |machine: &mut Machine| {
        let start = Instant::now();
        let result = machine.run_parsed(program);
        (result, start.elapsed().as_secs_f64(), std::mem::take(&mut *output.0.borrow_mut()))
    };
    let (result, first, printed) = run(machine);
    for line in String::from_utf8_lossy(&printed).lines() {
        println!("{label:12} {line}");
    }
    let value = result?;
    if value != Value::UNSPECIFIED {
        println!("{label:12} {}", machine.text_of(value, Style::Write));
    }
    let mut best = first;
    for _ in 1..RUNS {
        let (result, seconds, _) = run(machine);
        result?;
        best = best.min(seconds);
    }
    println!("             in {:.2} ms at first, {:.2} ms at best of {RUNS}", first * 1e3, best * 1e3);
    Ok(best)
}
