//! Tests of the preview 1 functions without an engine, each family in a file.
//!
//! They check what the public conformance suite for WASI checks, and what it leaves out: permissions,
//! confinement against links the host made, wild pointers.
#![allow(clippy::cast_possible_truncation, reason = "the addresses of a test are small")]

mod args;
mod clock;
mod confinement;
mod fd_io;
mod fd_stat;
mod guest;
mod misc;
mod open;
mod path;
mod perms;
mod poll;
mod readdir;
mod rights;
mod sock;
mod stdio;
mod wild;
