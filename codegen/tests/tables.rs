//! The tables that explain an address: functions, wasm offsets, unwinding.

mod common;

use common::{compiler, link};
use gimli::{BaseAddresses, CfaRule, EhFrame, LittleEndian, UnwindContext, UnwindSection};
use wasmo_abi::code::CodeUnit;
use wasmo_abi::index::FuncIndex;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::tunables::{OptLevel, Tunables};
use wasmparser::{BinaryReader, FunctionBody, Operator};

const LEVELS: [OptLevel; 2] = [OptLevel::None, OptLevel::Speed];

/// Two functions of which the second traps at its `unreachable`, after a call that needs a frame.
const TRAP: &str = r#"(module
    (import "" "" (func $host (param i32) (result i32)))
    (func $first (export "first") (param i32) (result i32)
        (call $host (i32.div_u (i32.const 100) (local.get 0))))
    (func $second (export "second") (param i32) (result i32)
        (if (i32.eqz (call $host (local.get 0))) (then (unreachable)))
        (i32.add (call $host (i32.const 1)) (call $host (i32.const 2))))
    (func $always (export "always") (unreachable)))"#;

fn code_of(unit: &CodeUnit) -> &'static [u8] {
    // SAFETY: the tests keep the code while they look at it, and it is readable.
    unsafe { std::slice::from_raw_parts(unit.start as *const u8, unit.size) }
}

/// The offset in the unit of the instruction that traps with `code` within `func`.
fn trap_in(unit: &CodeUnit, func: FuncIndex, code: TrapCode) -> u32 {
    let range = unit.functions.iter().find(|range| range.func == Some(func)).expect("the function is in the unit");
    let bytes = &code_of(unit)[range.offset as usize..][..range.size as usize];
    // `ubsantrap` is `ud1 code(%eax), %eax`, or `brk #(0x5500 | code)`.
    let trap = match cfg!(target_arch = "x86_64") {
        true => vec![0x67, 0x0f, 0xb9, 0x40, code as u8],
        false => (0xd420_0000 | (0x5500 | code as u32) << 5).to_le_bytes().to_vec(),
    };
    let position = bytes.windows(trap.len()).position(|window| window == trap).expect("the function traps");
    range.offset + u32::try_from(position).expect("small")
}

fn wasm_offset(unit: &CodeUnit, code: u32) -> u32 {
    unit.wasm_offsets.find(code).expect("a row covers the code")
}

/// Where in the module the only operator of its kind in a function's body stands.
fn operator(bytes: &[u8], body: std::ops::Range<usize>, wanted: fn(&Operator<'_>) -> bool) -> u32 {
    let body = FunctionBody::new(BinaryReader::new(&bytes[body.clone()], body.start as u64));
    let operators = body.get_operators_reader().expect("the body is well-formed").into_iter_with_offsets();
    let found: Vec<u64> =
        operators.flatten().filter(|(operator, _)| wanted(operator)).map(|(_, offset)| offset).collect();
    let [offset] = found[..] else { panic!("{} such operators", found.len()) };
    u32::try_from(offset).expect("small")
}

#[test]
fn a_trapping_instruction_leads_back_to_its_operator() {
    let unreachable = |operator: &Operator<'_>| matches!(operator, Operator::Unreachable);
    let div_u = |operator: &Operator<'_>| matches!(operator, Operator::I32DivU);
    for opt_level in LEVELS {
        let compiler = compiler(Tunables { opt_level, ..Tunables::default() });
        let (info, bytes, code) = link(&compiler, TRAP);
        let unit = code
            .units
            .iter()
            .find(|unit| unit.functions.iter().any(|range| range.func.is_some()))
            .expect("the functions are in a unit");
        let cases = [
            (1, TrapCode::IntegerDivideByZero, div_u as fn(&Operator<'_>) -> bool),
            (2, TrapCode::Unreachable, unreachable),
            (3, TrapCode::Unreachable, unreachable),
        ];
        for (func, trap, wanted) in cases {
            let found = wasm_offset(unit, trap_in(unit, FuncIndex(func), trap));
            assert_eq!(
                found,
                operator(&bytes, info.bodies.get(func as usize - 1).expect("it has a body").range(), wanted),
                "{opt_level:?} {func}"
            );
        }
        let thunks = code
            .units
            .iter()
            .find(|unit| unit.functions.iter().all(|range| range.func.is_none()))
            .expect("there is a unit of thunks");
        assert!(thunks.wasm_offsets.is_empty());
    }
}

#[test]
fn the_functions_of_a_unit_are_in_order_and_do_not_overlap() {
    for opt_level in LEVELS {
        let compiler = compiler(Tunables { opt_level, ..Tunables::default() });
        let (_, _, code) = link(&compiler, TRAP);
        let mut functions = 0;
        for unit in &code.units {
            let mut end = 0;
            for range in unit.functions.iter() {
                assert!(range.offset >= end && range.size > 0);
                end = range.offset + range.size;
                if let Some(func) = range.func {
                    assert_eq!(code.entry(func.0 as usize - 1), Some(unit.start + range.offset as usize));
                    functions += 1;
                }
            }
            assert!(end as usize <= unit.size);
            let offsets: Vec<_> = unit.wasm_offsets.iter().collect();
            assert!(offsets.is_sorted_by_key(|row| row.code));
            assert!(offsets.windows(2).all(|rows| rows[0].wasm != rows[1].wasm));
        }
        assert_eq!(functions, 3);
    }
}

#[test]
fn every_function_can_be_unwound() {
    for opt_level in LEVELS {
        let compiler = compiler(Tunables { opt_level, ..Tunables::default() });
        let (_, _, code) = link(&compiler, TRAP);
        for unit in &code.units {
            let frames = EhFrame::new(&unit.unwind.eh_frame, LittleEndian);
            let bases = BaseAddresses::default().set_eh_frame(unit.unwind.eh_frame_address);
            let mut context = UnwindContext::new();
            for range in unit.functions.iter() {
                let row = frames
                    .unwind_info_for_address(&bases, &mut context, u64::from(range.offset), EhFrame::cie_from_offset)
                    .expect("the function has a frame description");
                // On entry, x86-64 has pushed the return address, and AArch64 nothing.
                let expected = if cfg!(target_arch = "x86_64") { 8 } else { 0 };
                assert!(matches!(row.cfa(), CfaRule::RegisterAndOffset { offset, .. } if *offset == expected));
                let last = u64::from(range.offset + range.size - 1);
                let entry = frames.fde_for_address(&bases, last, EhFrame::cie_from_offset).expect("it covers the end");
                assert_eq!(entry.initial_address(), u64::from(range.offset));
            }
        }
    }
}
