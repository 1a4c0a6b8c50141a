//! `--invoke`: arguments read as a function's type says, and its results written.

use std::fmt::Write as _;

use anyhow::{Error, Result};
use wasmo::{FuncType, V128, Val, ValType};

use crate::output::UsageError;

/// The arguments, and room for the results.
///
/// # Errors
///
/// A wrong number of arguments, or one that is not of its parameter's type: a [`UsageError`].
pub(crate) fn prepare(name: &str, ty: &FuncType, args: &[String]) -> Result<(Vec<Val>, Vec<Val>)> {
    let params: Vec<_> = ty.params().collect();
    if params.len() != args.len() {
        let types = params.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let plural = if params.len() == 1 { "" } else { "s" };
        return Err(Error::new(UsageError(format!(
            "`{name}` takes {} argument{plural} ({types}), got {}",
            params.len(),
            args.len()
        ))));
    }
    let values = params.iter().zip(args).map(|(ty, text)| {
        parse(ty, text)
            .ok_or_else(|| Error::new(UsageError(format!("`{text}` is not an argument of type {ty} for `{name}`"))))
    });
    Ok((values.collect::<Result<_>>()?, vec![Val::I32(0); ty.results().len()]))
}

/// Integers are decimal or, after 0x, hexadecimal, and may be meant signed or unsigned; floats are as Rust reads them (`1.5`, `-2e-3`,
/// `inf`, `nan`); vectors are integers of 128 bits; the only reference that can be written is `null`.
fn parse(ty: &ValType, text: &str) -> Option<Val> {
    Some(match ty {
        ValType::I32 => Val::I32(integer(text, 32)?.try_into().ok()?),
        ValType::I64 => Val::I64(integer(text, 64)?.try_into().ok()?),
        ValType::F32 => Val::F32(text.parse::<f32>().ok()?.to_bits()),
        ValType::F64 => Val::F64(text.parse::<f64>().ok()?.to_bits()),
        ValType::V128 => Val::V128(V128::from(integer(text, 128)?.cast_unsigned())),
        ValType::Ref(ty) if text == "null" => match ty.heap_type() {
            wasmo::HeapType::Func => Val::FuncRef(None),
            wasmo::HeapType::Extern => Val::ExternRef(None),
            #[allow(unreachable_patterns, reason = "heap types are to become more")]
            _ => return None,
        },
        ValType::Ref(_) => return None,
    })
}

/// A number of `bits` bits, sign-extended; `None` if it does not fit either as a signed or as an unsigned one.
fn integer(text: &str, bits: u32) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let magnitude = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) if digits.starts_with(['+', '-']) => return None,
        Some(digits) => u128::from_str_radix(digits, 16).ok()?,
        None => digits.parse::<u128>().ok()?,
    };
    let unused = 128 - bits;
    if negative {
        if magnitude > 1 << (bits - 1) {
            return None;
        }
        return Some(magnitude.wrapping_neg().cast_signed());
    }
    if magnitude > u128::MAX >> unused {
        return None;
    }
    Some((magnitude << unused).cast_signed() >> unused)
}

/// The results, one a line. Integers are written signed, vectors as one hexadecimal number.
pub(crate) fn show(results: &[Val]) -> String {
    let mut text = String::new();
    for value in results {
        let written = match value {
            Val::I32(value) => writeln!(text, "{value}"),
            Val::I64(value) => writeln!(text, "{value}"),
            Val::F32(bits) => writeln!(text, "{}", f32::from_bits(*bits)),
            Val::F64(bits) => writeln!(text, "{}", f64::from_bits(*bits)),
            Val::V128(value) => writeln!(text, "{:#034x}", value.as_u128()),
            Val::FuncRef(None) | Val::ExternRef(None) => writeln!(text, "null"),
            Val::FuncRef(Some(_)) => writeln!(text, "funcref"),
            Val::ExternRef(Some(_)) => writeln!(text, "externref"),
        };
        debug_assert!(written.is_ok(), "a string takes what is written to it");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_signed_or_unsigned() {
        assert_eq!(integer("4294967295", 32), Some(-1));
        assert_eq!(integer("-1", 32), Some(-1));
        assert_eq!(integer("-2147483648", 32), Some(-2_147_483_648));
        assert_eq!(integer("0x80000000", 32), Some(-2_147_483_648));
        assert_eq!(integer("-0x8000000000000000", 64), Some(i64::MIN.into()));
        assert_eq!(integer("0xffffffffffffffffffffffffffffffff", 128), Some(-1));
        assert_eq!(integer("-0", 64), Some(0));
        assert_eq!(integer("-0x80000000000000000000000000000000", 128), Some(i128::MIN));
        for wrong in ["", "-", "+", "0x", "--1", "+-1", "0x-1", "1.0", "x", "4294967296", "-2147483649", "1 "] {
            assert_eq!(integer(wrong, 32), None, "{wrong}");
        }
    }

    #[test]
    fn results_have_a_line_each() {
        let results = [Val::I32(-1), Val::F64(0.5_f64.to_bits()), Val::V128(V128::from(1)), Val::FuncRef(None)];
        assert_eq!(show(&results), "-1\n0.5\n0x00000000000000000000000000000001\nnull\n");
    }
}
