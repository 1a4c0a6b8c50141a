//! `regex`: searches generated log text for several patterns with captures, and replaces matches.
//!
//! The crate's literal prefilters are off: natively they would be SSE2 or AVX2 code that has no
//! counterpart in wasm without SIMD.

use guest_crates::{Random, WORDS, measure};
use regex::Regex;
use std::fmt::Write;
use std::process::ExitCode;

fn log(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..3_000 {
        let level = random.choose(&["INFO", "WARN", "ERROR", "DEBUG"]);
        let (year, month, day) = (2000 + random.below(30), 1 + random.below(12), 1 + random.below(28));
        let (host, code, time) = (random.below(256), 100 + random.below(500), random.below(100_000));
        let (user, site) = (random.choose(&WORDS), random.choose(&WORDS));
        writeln!(
            text,
            "{year:04}-{month:02}-{day:02} [{level}] 10.0.{host}.{} {user}@{site}.example took {time} us, status={code} {}",
            host / 2,
            random.choose(&WORDS),
        )
        .expect("writing to a string cannot fail");
    }
    text
}

fn main() -> ExitCode {
    let text = log(&mut Random::new(2));
    let compile = |pattern| Regex::new(pattern).expect("the pattern is a constant of this file");
    let date = compile(r"(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})");
    let address = compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b");
    let mail = compile(r"(?i)([\w.+-]+)@([a-zïü]+)\.(?:example|test)");
    let slow = compile(r"\[(WARN|ERROR)\].* took (\d{5,}) us, status=[45]\d\d");
    measure(60, |_, checksum| {
        for captures in date.captures_iter(&text) {
            checksum.bytes(captures["month"].as_bytes());
        }
        for found in address.find_iter(&text) {
            checksum.word(found.start() as u64);
        }
        let swapped = mail.replace_all(&text, "$2 at $1");
        checksum.word(swapped.len() as u64);
        for line in text.lines() {
            if let Some(captures) = slow.captures(line) {
                checksum.bytes(captures[2].as_bytes());
            }
        }
    })
}
