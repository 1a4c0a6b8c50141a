//! The commands, a room each.

pub(crate) mod cache;
#[cfg(feature = "compiler")]
pub(crate) mod compile;
pub(crate) mod completions;
pub(crate) mod inspect;
pub(crate) mod run;
#[cfg(feature = "compiler")]
pub(crate) mod validate;
#[cfg(feature = "compiler")]
pub(crate) mod wast;
