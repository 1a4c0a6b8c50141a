//! [`ExpectedFailures`]: the lists of what a configuration of the engine is expected to fail.
//!
//! A list is a text file. A line names a script as `group/file.wast`, and after it the lines of the directives that fail, as precisely as
//! one likes to say it: with line numbers, these directives have to fail and all others to pass; without, some have to fail. `#` opens a
//! comment; empty lines are skipped. So a list shrinks as the engine grows, because what begins to pass makes the test fail until it is
//! taken off.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::report::Report;

/// What is expected to fail, by script.
#[derive(Debug, Default, Clone)]
pub struct ExpectedFailures {
    /// The lines of each listed script; an empty set stands for any.
    scripts: BTreeMap<String, BTreeSet<usize>>,
}

/// A list that cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ListError {
    /// A line that is not `group/file.wast` and line numbers.
    #[error("line {line}: `{text}` is not `group/file.wast` and line numbers")]
    Syntax {
        /// The line's number, from 1.
        line: usize,
        /// What it says.
        text: String,
    },
    /// A script that is listed twice.
    #[error("line {line}: `{name}` is listed twice")]
    Repeated {
        /// The line's number, from 1.
        line: usize,
        /// The script.
        name: String,
    },
}

impl ExpectedFailures {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// A line that names no script, or one that was named before.
    pub fn parse(text: &str) -> Result<Self, ListError> {
        let mut scripts = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let entry = line.split_once('#').map_or(line, |(before, _)| before).trim();
            let mut words = entry.split_whitespace();
            let Some(name) = words.next() else { continue };
            let syntax = || ListError::Syntax { line: number + 1, text: entry.to_owned() };
            let lines = words.map(str::parse).collect::<Result<BTreeSet<usize>, _>>().map_err(|_| syntax())?;
            let is_script = matches!(name.split_once('/'), Some((group, file))
                if !group.is_empty() && file.ends_with(".wast") && !file.contains('/'));
            if !is_script {
                return Err(syntax());
            }
            if scripts.insert(name.to_owned(), lines).is_some() {
                return Err(ListError::Repeated { line: number + 1, name: name.to_owned() });
            }
        }
        Ok(Self { scripts })
    }

    /// The listed scripts as `group/file.wast`, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.scripts.keys().map(String::as_str)
    }

    /// What in the report of the script `group/file.wast` is not as the list says, a line each. Nothing, if all is as expected.
    pub fn unexpected(&self, script: &str, report: &Report) -> Vec<String> {
        let Some(listed) = self.scripts.get(script) else {
            return report.failed.iter().map(ToString::to_string).collect();
        };
        if report.is_success() {
            return vec![format!("{script}: passes, although it is expected to fail")];
        }
        if listed.is_empty() {
            return Vec::new();
        }
        let failed: BTreeSet<usize> = report.failed.iter().map(|failure| failure.line).collect();
        let passing = listed.difference(&failed);
        let passing = passing
            .map(|line| format!("{script}:{line}: passes, or has no directive, although it is expected to fail"));
        let failing = report.failed.iter().filter(|failure| !listed.contains(&failure.line)).map(ToString::to_string);
        passing.chain(failing).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Failure;

    fn report(lines: &[usize]) -> Report {
        let failure = |line: &usize| Failure { file: "s".to_owned(), line: *line, column: 1, reason: "r".to_owned() };
        Report { passed: 1, failed: lines.iter().map(failure).collect() }
    }

    fn list(text: &str) -> ExpectedFailures {
        ExpectedFailures::parse(text).expect("a list")
    }

    #[test]
    fn comments_and_empty_lines_are_skipped() {
        let list = list("# all\n\ngc/i31.wast # needs i31\n  threads/atomic.wast 3 4\n");
        assert_eq!(list.names().collect::<Vec<_>>(), ["gc/i31.wast", "threads/atomic.wast"]);
    }

    #[test]
    fn what_is_not_listed_has_to_pass() {
        assert!(list("").unexpected("a/b.wast", &report(&[])).is_empty());
        assert_eq!(list("").unexpected("a/b.wast", &report(&[7])), ["s:7:1: r"]);
    }

    #[test]
    fn what_is_listed_has_to_fail() {
        let list = list("a/b.wast");
        assert!(list.unexpected("a/b.wast", &report(&[7])).is_empty());
        assert_eq!(list.unexpected("a/b.wast", &report(&[])), ["a/b.wast: passes, although it is expected to fail"]);
    }

    #[test]
    fn listed_lines_are_all_that_fail() {
        let list = list("a/b.wast 7 9");
        assert!(list.unexpected("a/b.wast", &report(&[7, 9])).is_empty());
        let wrong = list.unexpected("a/b.wast", &report(&[7, 8]));
        assert!(wrong.len() == 2 && wrong[0].starts_with("a/b.wast:9: passes") && wrong[1] == "s:8:1: r", "{wrong:?}");
        assert_eq!(list.unexpected("a/b.wast", &report(&[])).len(), 1);
    }

    #[test]
    fn what_is_not_a_script_is_an_error() {
        for text in ["i31.wast", "gc/", "gc/i31", "/i31.wast", "a/b/c.wast", "a/b.wast x", "a/b.wast -1"] {
            assert!(matches!(ExpectedFailures::parse(text), Err(ListError::Syntax { line: 1, .. })), "{text}");
        }
        let twice = ExpectedFailures::parse("a/b.wast\na/b.wast 3");
        assert_eq!(twice.err(), Some(ListError::Repeated { line: 2, name: "a/b.wast".to_owned() }));
    }
}
