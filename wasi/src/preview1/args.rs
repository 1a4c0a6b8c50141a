//! Command line and environment: `args_*` and `environ_*`.
//!
//! Both are lists of NUL-terminated strings that the guest receives in one buffer, with an array of
//! pointers into it.

use crate::{Errno, GuestMemory, WasiCtx};

/// Writes the command line: pointers to the arguments at `argv`, the arguments at `argv_buf`.
///
/// # Errors
/// [`Errno::Fault`] if either place is outside the memory.
pub fn args_get(ctx: &mut WasiCtx, memory: &mut GuestMemory<'_>, argv: u32, argv_buf: u32) -> Result<(), Errno> {
    put_strings(memory, arguments(ctx), argv, argv_buf)
}

/// Writes how many arguments there are at `argc`, and the bytes they take at `argv_buf_size`.
///
/// # Errors
/// [`Errno::Fault`] if either place is outside the memory.
pub fn args_sizes_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    argc: u32,
    argv_buf_size: u32,
) -> Result<(), Errno> {
    put_sizes(memory, arguments(ctx), argc, argv_buf_size)
}

/// Writes the environment: pointers to `NAME=value` strings at `environ`, the strings at
/// `environ_buf`.
///
/// # Errors
/// [`Errno::Fault`] if either place is outside the memory.
pub fn environ_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    environ: u32,
    environ_buf: u32,
) -> Result<(), Errno> {
    put_strings(memory, variables(ctx), environ, environ_buf)
}

/// Writes how many variables there are at `environc`, and the bytes they take at `environ_buf_size`.
///
/// # Errors
/// [`Errno::Fault`] if either place is outside the memory.
pub fn environ_sizes_get(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    environc: u32,
    environ_buf_size: u32,
) -> Result<(), Errno> {
    put_sizes(memory, variables(ctx), environc, environ_buf_size)
}

/// The arguments, each with its terminator.
fn arguments(ctx: &WasiCtx) -> impl Iterator<Item = Vec<u8>> {
    ctx.args.iter().map(|arg| [arg.as_bytes(), b"\0"].concat())
}

/// The variables as `NAME=value`, each with its terminator.
fn variables(ctx: &WasiCtx) -> impl Iterator<Item = Vec<u8>> {
    ctx.env.iter().map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes(), b"\0"].concat())
}

fn put_strings(
    memory: &mut GuestMemory<'_>,
    strings: impl Iterator<Item = Vec<u8>>,
    pointers: u32,
    buffer: u32,
) -> Result<(), Errno> {
    let (mut pointer, mut position) = (pointers, buffer);
    for string in strings {
        memory.write_u32(pointer, position)?;
        memory.write(position, &string)?;
        pointer = pointer.checked_add(4).ok_or(Errno::Fault)?;
        position = position.checked_add(u32::try_from(string.len())?).ok_or(Errno::Fault)?;
    }
    Ok(())
}

fn put_sizes(
    memory: &mut GuestMemory<'_>,
    strings: impl Iterator<Item = Vec<u8>>,
    count: u32,
    size: u32,
) -> Result<(), Errno> {
    let (number, bytes) = strings.fold((0usize, 0usize), |(number, bytes), s| (number + 1, bytes + s.len()));
    memory.check(size, 4)?;
    memory.write_u32(count, u32::try_from(number)?)?;
    memory.write_u32(size, u32::try_from(bytes)?)
}
