//! [`Report`]: what became of a script's directives.

use std::fmt;

/// What became of the directives of one script, or of several taken together.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many directives did what they should.
    pub passed: usize,
    /// Those that did not, in the order of the script.
    pub failed: Vec<Failure>,
}

/// A directive that did not do what it should, or a script that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The script's name, as it was given.
    pub file: String,
    /// The directive's line, from 1.
    pub line: usize,
    /// The directive's column, from 1.
    pub column: usize,
    /// What happened, and what was expected.
    pub reason: String,
}

impl Report {
    /// Whether every directive passed.
    pub fn is_success(&self) -> bool {
        self.failed.is_empty()
    }

    /// Adds what became of another script.
    pub fn merge(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed.extend(other.failed);
    }
}

/// `N passed, M failed`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed.len())
    }
}

/// `file:line:column: reason`, in one line.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
        write!(f, "{}:{}:{}: {reason}", self.file, self.line, self.column)
    }
}
