//! [`ExpectedFailures`]: the lists of scripts that a configuration of the engine is expected to fail.
//!
//! A list is a text file: one `group/file.wast` a line, `#` opens a comment, empty lines are skipped. What is listed is run, and has to
//! fail: the list shrinks as the engine grows, because a script that begins to pass makes the test fail until its line is removed.

use std::collections::BTreeSet;

use thiserror::Error;

/// The scripts that are expected to fail, by name.
#[derive(Debug, Default, Clone)]
pub struct ExpectedFailures {
    names: BTreeSet<String>,
}

/// A list that cannot be read.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ListError {
    /// A line that is not `group/file.wast`.
    #[error("line {line}: `{text}` is not `group/file.wast`")]
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
        let mut names = BTreeSet::new();
        for (number, line) in text.lines().enumerate() {
            let line_number = number + 1;
            let name = line.split_once('#').map_or(line, |(before, _)| before).trim();
            if name.is_empty() {
                continue;
            }
            let is_script = matches!(name.split_once('/'), Some((group, file))
                if !group.is_empty() && file.ends_with(".wast") && !file.contains('/'));
            if !is_script {
                return Err(ListError::Syntax { line: line_number, text: name.to_owned() });
            }
            if !names.insert(name.to_owned()) {
                return Err(ListError::Repeated { line: line_number, name: name.to_owned() });
            }
        }
        Ok(Self { names })
    }

    /// Whether the script `group/file` is expected to fail.
    pub fn contains(&self, group: &str, file: &str) -> bool {
        self.names.contains(&format!("{group}/{file}"))
    }

    /// The listed scripts of `group`, by file name, in order.
    pub fn group<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a str> {
        self.names.iter().filter_map(move |name| name.strip_prefix(group)?.strip_prefix('/'))
    }

    /// All listed scripts as `group/file`, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_empty_lines_are_skipped() {
        let list =
            ExpectedFailures::parse("# all\n\ngc/i31.wast # needs i31\n  threads/atomic.wast\n").expect("a list");
        assert!(list.contains("gc", "i31.wast") && list.contains("threads", "atomic.wast"));
        assert!(!list.contains("gc", "atomic.wast"));
        assert_eq!(list.group("gc").collect::<Vec<_>>(), ["i31.wast"]);
    }

    #[test]
    fn what_is_not_a_script_is_an_error() {
        for text in ["i31.wast", "gc/", "gc/i31", "/i31.wast", "a/b/c.wast"] {
            assert!(matches!(ExpectedFailures::parse(text), Err(ListError::Syntax { line: 1, .. })), "{text}");
        }
        let twice = ExpectedFailures::parse("a/b.wast\na/b.wast");
        assert_eq!(twice.err(), Some(ListError::Repeated { line: 2, name: "a/b.wast".to_owned() }));
    }
}
