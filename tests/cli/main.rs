//! End-to-end tests of the `wasmo` command: what a user types, and what comes back.

mod bad_input;
mod cache;
mod guest;
mod modules;
mod run;
mod scripts;
mod stopping;
mod support;
