//! The command `interp`: runs a Scheme program from a file, from `-e`, or from standard input.

use scheme::{Error, Machine, Style, Value};
use std::io::Read;
use std::process::ExitCode;

const USAGE: &str = "usage: interp [FILE | -e EXPRESSION]
Runs a Scheme program from FILE or, without arguments, from standard input.
With -e, also prints the value of the last expression.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (text, show) = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["-"] => (read_input(), false),
        ["-h" | "--help"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        ["-e", expression] => (Ok((*expression).to_owned()), true),
        [file] if !file.starts_with('-') => (read_file(file), false),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match text.and_then(|text| run(&text, show)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Error::Exit(code)) => ExitCode::from(code),
        Err(Error::Message(message)) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(text: &str, show: bool) -> Result<(), Error> {
    let mut machine = Machine::new(Box::new(std::io::stdout()));
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
