//! The command `interp`: runs a Scheme program from a file, from `-e`, or from standard input, and shows with `--demo` what
//! its JIT does.

mod demo;
mod link;

use scheme::jit::THRESHOLD;
use scheme::{Error, Machine, Style, Value};
use std::io::Read;
use std::process::ExitCode;

const USAGE: &str = "usage: interp [--no-jit | --jit-calls N] [FILE | -e EXPRESSION | --demo [FILE]]
Runs a Scheme program from FILE or, without arguments, from standard input.
With -e, also prints the value of the last expression.

Procedures that are called often are compiled to WebAssembly, and linked into
the running program if the engine can do that.
  --no-jit       compile nothing
  --jit-calls N  compile what has been called N times; the default is 500
  --demo         run a program before and after its procedures are compiled,
                 and show what that takes";

/// What the command line asks for.
#[derive(Clone, Copy)]
enum Task<'a> {
    Input,
    File(&'a str),
    Expression(&'a str),
    Demo(Option<&'a str>),
    Help,
}

/// The task, and how many calls make a procedure hot if anything is to be compiled.
fn read<'a>(arguments: &[&'a str]) -> Option<(Task<'a>, Option<u32>)> {
    let (calls, rest) = match arguments {
        ["--no-jit", rest @ ..] => (None, rest),
        ["--jit-calls", calls, rest @ ..] => (Some(calls.parse().ok()?), rest),
        rest => (Some(THRESHOLD), rest),
    };
    let task = match *rest {
        [] | ["-"] => Task::Input,
        ["-h" | "--help"] => Task::Help,
        ["-e", expression] => Task::Expression(expression),
        ["--demo"] => Task::Demo(None),
        ["--demo", file] => Task::Demo(Some(file)),
        [file] if !file.starts_with('-') => Task::File(file),
        _ => return None,
    };
    Some((task, calls))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some((task, calls)) = read(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let done = match task {
        Task::Help => {
            println!("{USAGE}");
            Ok(())
        }
        Task::Input => read_input().and_then(|text| run(&text, false, calls)),
        Task::File(path) => read_file(path).and_then(|text| run(&text, false, calls)),
        Task::Expression(text) => run(text, true, calls),
        Task::Demo(None) => demo::run(demo::PROGRAM),
        Task::Demo(Some(path)) => read_file(path).and_then(|text| demo::run(&text)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Exit(code)) => ExitCode::from(code),
        Err(Error::Message(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(text: &str, show: bool, calls: Option<u32>) -> Result<(), Error> {
    let mut machine = Machine::new(Box::new(std::io::stdout()));
    if let Some(calls) = calls.filter(|_| link::IS_POSSIBLE) {
        machine.start_jit(calls);
        machine.set_linker(Box::new(|module| {
            link::link(module).inspect_err(|error| eprintln!("note: the program is only interpreted: {error}"))
        }));
    }
    let value = machine.run_program(text)?;
    if show && value != Value::UNSPECIFIED {
        println!("{}", machine.text_of(value, Style::Write));
    }
    Ok(())
}

fn read_file(path: &str) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|error| Error::new(format!("cannot read {path}: {error}")))
}

fn read_input() -> Result<String, Error> {
    let mut text = String::new();
    match std::io::stdin().read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Error::new(format!("cannot read standard input: {error}"))),
    }
}
