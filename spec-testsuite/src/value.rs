//! Values of scripts: arguments made from constants, results compared with patterns.

use anyhow::{Result, bail};
use wasmo::{ExternRef, Store, V128, Val};
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::{WastArg, WastRet};

/// The value of an argument.
pub(crate) fn argument(store: &mut Store<()>, arg: &WastArg<'_>) -> Result<Val> {
    let WastArg::Core(arg) = arg else { bail!("an argument of the component model is not supported") };
    Ok(match arg {
        WastArgCore::I32(value) => Val::I32(*value),
        WastArgCore::I64(value) => Val::I64(*value),
        WastArgCore::F32(value) => Val::F32(value.bits),
        WastArgCore::F64(value) => Val::F64(value.bits),
        WastArgCore::V128(value) => Val::V128(V128::from(u128::from_le_bytes(value.to_le_bytes()))),
        WastArgCore::RefNull(HeapType::Abstract {
            shared: false,
            ty: AbstractHeapType::Func | AbstractHeapType::NoFunc,
        }) => Val::FuncRef(None),
        WastArgCore::RefNull(HeapType::Abstract {
            shared: false,
            ty: AbstractHeapType::Extern | AbstractHeapType::NoExtern,
        }) => Val::ExternRef(None),
        WastArgCore::RefExtern(number) => Val::ExternRef(Some(ExternRef::new(&mut *store, *number)?)),
        WastArgCore::RefNull(ty) => bail!("an argument `ref.null {ty:?}` is not supported"),
        WastArgCore::RefHost(_) => bail!("an argument `ref.host` is not supported"),
    })
}

/// Compares all results of an invocation with what the script expects.
pub(crate) fn check_results(store: &Store<()>, actual: &[Val], expected: &[WastRet<'_>]) -> Result<()> {
    if actual.len() != expected.len() {
        bail!("expected {} results, got {}", expected.len(), actual.len());
    }
    for (number, (actual, expected)) in actual.iter().zip(expected).enumerate() {
        let WastRet::Core(expected) = expected else { bail!("a result of the component model is not supported") };
        if !matches(store, actual, expected) {
            let which = if number == 0 { String::new() } else { format!("result {number}: ") };
            bail!("{which}expected {}, got {}", describe_pattern(expected), describe(store, actual, expected));
        }
    }
    Ok(())
}

/// A value fits a pattern if the specification's script format says so; a pattern that wasmo has no value for fits nothing.
fn matches(store: &Store<()>, actual: &Val, expected: &WastRetCore<'_>) -> bool {
    match (expected, actual) {
        (WastRetCore::Either(patterns), _) => patterns.iter().any(|pattern| matches(store, actual, pattern)),
        (WastRetCore::I32(expected), Val::I32(actual)) => expected == actual,
        (WastRetCore::I64(expected), Val::I64(actual)) => expected == actual,
        (WastRetCore::F32(expected), Val::F32(actual)) => f32_matches(*actual, expected),
        (WastRetCore::F64(expected), Val::F64(actual)) => f64_matches(*actual, expected),
        (WastRetCore::V128(expected), Val::V128(actual)) => v128_matches(actual.as_u128(), expected),
        (WastRetCore::RefNull(None), Val::FuncRef(None) | Val::ExternRef(None)) => true,
        (WastRetCore::RefNull(Some(HeapType::Abstract { shared: false, ty })), Val::FuncRef(None)) => {
            matches!(ty, AbstractHeapType::Func | AbstractHeapType::NoFunc)
        }
        (WastRetCore::RefNull(Some(HeapType::Abstract { shared: false, ty })), Val::ExternRef(None)) => {
            matches!(ty, AbstractHeapType::Extern | AbstractHeapType::NoExtern)
        }
        (WastRetCore::RefExtern(None), Val::ExternRef(Some(_))) => true,
        (WastRetCore::RefExtern(Some(expected)), Val::ExternRef(Some(actual))) => {
            extern_number(store, actual) == Some(*expected)
        }
        // Which function it is cannot be said in a script: an index would be one of another module's index space.
        (WastRetCore::RefFunc(None), Val::FuncRef(Some(_))) => true,
        _ => false,
    }
}

fn f32_matches(actual: u32, expected: &NanPattern<wast::token::F32>) -> bool {
    match expected {
        NanPattern::CanonicalNan => actual & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => actual & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(value) => actual == value.bits,
    }
}

fn f64_matches(actual: u64, expected: &NanPattern<wast::token::F64>) -> bool {
    match expected {
        NanPattern::CanonicalNan => actual & 0x7fff_ffff_ffff_ffff == 0x7ff8_0000_0000_0000,
        NanPattern::ArithmeticNan => actual & 0x7ff8_0000_0000_0000 == 0x7ff8_0000_0000_0000,
        NanPattern::Value(value) => actual == value.bits,
    }
}

/// The lanes of a vector, lane 0 first.
fn lanes<const SIZE: usize>(vector: u128) -> impl Iterator<Item = [u8; SIZE]> {
    let bytes = vector.to_le_bytes();
    (0..16 / SIZE).map(move |lane| std::array::from_fn(|byte| bytes[lane * SIZE + byte]))
}

fn v128_matches(actual: u128, expected: &V128Pattern) -> bool {
    match expected {
        V128Pattern::I8x16(expected) => lanes(actual).map(i8::from_le_bytes).eq(*expected),
        V128Pattern::I16x8(expected) => lanes(actual).map(i16::from_le_bytes).eq(*expected),
        V128Pattern::I32x4(expected) => lanes(actual).map(i32::from_le_bytes).eq(*expected),
        V128Pattern::I64x2(expected) => lanes(actual).map(i64::from_le_bytes).eq(*expected),
        V128Pattern::F32x4(expected) => {
            lanes(actual).map(u32::from_le_bytes).zip(expected).all(|(actual, expected)| f32_matches(actual, expected))
        }
        V128Pattern::F64x2(expected) => {
            lanes(actual).map(u64::from_le_bytes).zip(expected).all(|(actual, expected)| f64_matches(actual, expected))
        }
    }
}

fn extern_number(store: &Store<()>, reference: &ExternRef) -> Option<u32> {
    reference.data(store).ok()??.downcast_ref::<u32>().copied()
}

fn f32_text(bits: u32) -> String {
    format!("f32 {} ({bits:#010x})", f32::from_bits(bits))
}

fn f64_text(bits: u64) -> String {
    format!("f64 {} ({bits:#018x})", f64::from_bits(bits))
}

fn nan_text<T>(pattern: &NanPattern<T>, value: impl FnOnce(&T) -> String) -> String {
    match pattern {
        NanPattern::CanonicalNan => "nan:canonical".to_owned(),
        NanPattern::ArithmeticNan => "nan:arithmetic".to_owned(),
        NanPattern::Value(found) => value(found),
    }
}

fn list<T: ToString>(shape: &str, lanes: impl IntoIterator<Item = T>) -> String {
    let lanes = lanes.into_iter().map(|lane| lane.to_string()).collect::<Vec<_>>().join(" ");
    format!("{shape} {lanes}")
}

fn describe_pattern(pattern: &WastRetCore<'_>) -> String {
    match pattern {
        WastRetCore::I32(value) => format!("i32 {value}"),
        WastRetCore::I64(value) => format!("i64 {value}"),
        WastRetCore::F32(pattern) => nan_text(pattern, |value| f32_text(value.bits)),
        WastRetCore::F64(pattern) => nan_text(pattern, |value| f64_text(value.bits)),
        WastRetCore::V128(pattern) => match pattern {
            V128Pattern::I8x16(lanes) => list("i8x16", lanes),
            V128Pattern::I16x8(lanes) => list("i16x8", lanes),
            V128Pattern::I32x4(lanes) => list("i32x4", lanes),
            V128Pattern::I64x2(lanes) => list("i64x2", lanes),
            V128Pattern::F32x4(lanes) => {
                list("f32x4", lanes.iter().map(|lane| nan_text(lane, |value| f32_text(value.bits))))
            }
            V128Pattern::F64x2(lanes) => {
                list("f64x2", lanes.iter().map(|lane| nan_text(lane, |value| f64_text(value.bits))))
            }
        },
        WastRetCore::Either(patterns) => patterns.iter().map(describe_pattern).collect::<Vec<_>>().join(" or "),
        other => format!("{other:?}"),
    }
}

/// Vectors are shown in the shape that the pattern has, so that the two can be compared by eye.
fn describe(store: &Store<()>, value: &Val, pattern: &WastRetCore<'_>) -> String {
    match value {
        Val::I32(value) => format!("i32 {value}"),
        Val::I64(value) => format!("i64 {value}"),
        Val::F32(bits) => f32_text(*bits),
        Val::F64(bits) => f64_text(*bits),
        Val::V128(value) => {
            let value = value.as_u128();
            let pattern = match pattern {
                WastRetCore::Either(patterns) => patterns.first().unwrap_or(pattern),
                _ => pattern,
            };
            match pattern {
                WastRetCore::V128(V128Pattern::I8x16(_)) => list("i8x16", lanes(value).map(i8::from_le_bytes)),
                WastRetCore::V128(V128Pattern::I16x8(_)) => list("i16x8", lanes(value).map(i16::from_le_bytes)),
                WastRetCore::V128(V128Pattern::I32x4(_)) => list("i32x4", lanes(value).map(i32::from_le_bytes)),
                WastRetCore::V128(V128Pattern::F32x4(_)) => {
                    list("f32x4", lanes(value).map(|lane| f32_text(u32::from_le_bytes(lane))))
                }
                WastRetCore::V128(V128Pattern::F64x2(_)) => {
                    list("f64x2", lanes(value).map(|lane| f64_text(u64::from_le_bytes(lane))))
                }
                _ => list("i64x2", lanes(value).map(i64::from_le_bytes)),
            }
        }
        Val::FuncRef(None) => "a null funcref".to_owned(),
        Val::FuncRef(Some(_)) => "a funcref".to_owned(),
        Val::ExternRef(None) => "a null externref".to_owned(),
        Val::ExternRef(Some(reference)) => match extern_number(store, reference) {
            Some(number) => format!("ref.extern {number}"),
            None => "an externref".to_owned(),
        },
    }
}
