//! The commands, a room each.

pub(crate) mod completions;
pub(crate) mod inspect;
pub(crate) mod run;
pub(crate) mod validate;
pub(crate) mod wast;
