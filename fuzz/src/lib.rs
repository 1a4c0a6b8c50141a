//! Differential testing: modules made at random by `wasm-smith` run on wasmo and on `wasmi`, and everything that can be
//! observed is compared: results, traps, and after each call every exported memory and global.
//!
//! One seed is one module ([`generate`]), run on both sides ([`subject`] is wasmo, [`oracle`] is wasmi) into an
//! [`observation::Observation`] and judged by [`compare`]; a mismatch is made small by [`shrink`]. [`campaign`] does that for many.

pub mod campaign;
pub mod compare;
pub mod generate;
pub mod observation;
pub mod oracle;
pub mod shrink;
pub mod subject;
