//! End-to-end tests of the `wasmo` command: what a user types, and what comes back.

#[cfg(feature = "compiler")]
mod artifact;
#[cfg(feature = "compiler")]
mod bad_input;
mod cache;
#[cfg(feature = "compiler")]
mod cached;
#[cfg(feature = "compiler")]
mod guest;
#[cfg(feature = "compiler")]
mod jit;
#[cfg(feature = "compiler")]
mod modules;
#[cfg(not(feature = "compiler"))]
mod no_compiler;
#[cfg(feature = "compiler")]
mod profile;
#[cfg(feature = "compiler")]
mod run;
#[cfg(feature = "compiler")]
mod scripts;
#[cfg(feature = "compiler")]
mod stopping;
mod support;
#[cfg(feature = "compiler")]
mod tiers;
