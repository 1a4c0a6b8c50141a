//! Runs specification scripts (`.wast`) on wasmo, and knows which of the public ones are expected to fail.
//!
//! [`Script`] is a script's name and text; [`Script::run`] executes every directive of it in a store of its own and answers with a
//! [`Report`]. Nothing aborts a run: a directive that fails, is not supported, panics or does not end is a [`Failure`] with its
//! place in the script, and the next directive follows. [`Modules`] are the ways in which its modules become code. [`ExpectedFailures`] reads the lists in `expected-failures/`.
//!
//! How strict the runner is:
//!
//! - results are compared bit by bit, NaN patterns as the specification defines them;
//! - a trap's message is compared with the one that the script names, either being allowed to be a prefix of the other (scripts say
//!   "undefined" for "undefined element", and "uninitialized element 2" where we do not name the element);
//! - a module in `assert_malformed`, `assert_invalid` and their `_custom` forms must be refused, by `Module::validate` as well as by
//!   `Module::from_binary`, and a refusal because of a proposal that wasmo does not have is not taken for one; which rule the module breaks is
//!   not compared, because the texts are not part of the specification;
//! - a module in `assert_unlinkable` must compile, and one of its imports must be refused with the message that the script names.

mod expected;
mod modules;
mod report;
mod script;
mod spectest;
mod value;
mod watchdog;

pub use expected::{ExpectedFailures, ListError};
#[cfg(feature = "compiler")]
pub use modules::{Artifacts, Compiled, Profiled, Resumed};
pub use modules::{Bundle, Code, Modules, Refusal};
pub use report::{Failure, Report};
pub use script::Script;
