//! What the code of some functions looks like on each processor, as LLVM disassembles it: snapshots, so that a change of them is seen. That the code does what it should is what the
//! conformance suite finds out.

use super::aarch64::Aarch64;
use super::masm::*;
use super::x86_64::X86_64;
use super::{Input, compile};
use crate::ir::context::Arch;
use crate::object::{Contents, Object, SymbolKind};
use crate::parse::parse_full;
use gimli::{BaseAddresses, CieOrFde, EhFrame, LittleEndian, UnwindContext, UnwindSection};
use llvm_sys::disassembler::{
    LLVMCreateDisasm, LLVMDisasmDispose, LLVMDisasmInstruction, LLVMDisassembler_Option_AsmPrinterVariant,
    LLVMSetDisasmOptions,
};
use std::ffi::{CStr, CString};
use std::fmt::Write;
use wasmo_abi::layout::VmContextLayout;
use wasmo_abi::trap::TrapCode;

/// The instructions in `code`, a line each, with their offsets; what is none is `?`, byte by byte or word by word.
fn disassemble(arch: Arch, code: &[u8]) -> Vec<(usize, String)> {
    crate::llvm::load().expect("LLVM is there");
    arch.initialize();
    let triple = CString::new(arch.triple()).expect("no zeros");
    // SAFETY: LLVM is loaded, and what disassembles for this target is initialised; there are no callbacks.
    let disassembler = unsafe { LLVMCreateDisasm(triple.as_ptr(), std::ptr::null_mut(), 0, None, None) };
    assert!(!disassembler.is_null(), "LLVM has no disassembler for {}", arch.triple());
    if arch == Arch::X86_64 {
        // SAFETY: the disassembler lives. The option is for Intel's syntax.
        unsafe { LLVMSetDisasmOptions(disassembler, LLVMDisassembler_Option_AsmPrinterVariant) };
    }
    let mut code = code.to_vec();
    let mut lines = Vec::new();
    let mut at = 0;
    while at < code.len() {
        let rest = &mut code[at..];
        let mut text = [0; 128];
        // SAFETY: as many bytes may be read as are said to be there, and so many of the text written; the text ends in a zero byte.
        let size = unsafe {
            let (bytes, count) = (rest.as_mut_ptr(), rest.len() as u64);
            LLVMDisasmInstruction(disassembler, bytes, count, at as u64, text.as_mut_ptr(), text.len())
        };
        // SAFETY: it is zeros, or what was just written.
        let line = unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().trim().replace('\t', " ");
        lines.push((at, if size == 0 { "?".to_owned() } else { line }));
        at += if size == 0 && arch == Arch::Aarch64 { 4 } else { size.max(1) };
    }
    // SAFETY: it is not used any more.
    unsafe { LLVMDisasmDispose(disassembler) };
    lines
}

/// All functions of a module, compiled.
fn object(arch: Arch, text: &str) -> Object {
    let bytes = wat::parse_str(text).expect("the test's module is well formed");
    let parsed = parse_full(&bytes).expect("the test's module is valid");
    let layout = VmContextLayout::new(&parsed.info);
    let functions: Vec<usize> = (0..parsed.funcs.len()).collect();
    let input = Input { parsed: &parsed, layout: &layout, bytes: &bytes, validated: false };
    compile(arch, input, &functions).expect("the module is valid").expect("there is code for it")
}

/// The thunks of the types of a module, compiled.
fn thunk_object(arch: Arch, text: &str) -> Object {
    let bytes = wat::parse_str(text).expect("the test's module is well formed");
    let parsed = parse_full(&bytes).expect("the test's module is valid");
    super::thunks::compile(arch, parsed.info.types.iter()).expect("there is code for all types")
}

/// The code of all functions of a module in text form.
fn listing(arch: Arch, text: &str) -> String {
    listing_of(arch, &object(arch, text))
}

/// The code of the thunks of a module's types.
fn thunks(arch: Arch, text: &str) -> String {
    listing_of(arch, &thunk_object(arch, text))
}

/// Their call frame information.
fn thunk_frames(arch: Arch, text: &str) -> String {
    frames_of(&thunk_object(arch, text))
}

fn listing_of(arch: Arch, object: &Object) -> String {
    let Contents::Code(code) = &object.contents else { panic!("no code") };
    let mut listing = String::new();
    for symbol in &object.symbols {
        let start = symbol.offset as usize;
        let body = &code[start..start + symbol.size as usize];
        match symbol.kind {
            SymbolKind::Func(func) => writeln!(listing, "function {}:", func.0),
            kind => writeln!(listing, "{}:", kind.name()),
        }
        .expect("a text grows");
        for (at, line) in disassemble(arch, body) {
            writeln!(listing, "{at:4x}  {line}").expect("a text grows");
        }
    }
    listing
}

/// The call frame information of all functions of a module: from where on the frame's end and the saved registers are where.
fn frames(arch: Arch, text: &str) -> String {
    frames_of(&object(arch, text))
}

fn frames_of(object: &Object) -> String {
    let unwind = &object.unwind;
    let section = EhFrame::new(&unwind.eh_frame, LittleEndian);
    let bases = BaseAddresses::default().set_eh_frame(unwind.eh_frame_address);
    let mut entries = section.entries(&bases);
    let mut listing = String::new();
    while let Some(entry) = entries.next().expect("the section is well formed") {
        let CieOrFde::Fde(partial) = entry else { continue };
        let description = partial.parse(EhFrame::cie_from_offset).expect("the record is well formed");
        let mut context = UnwindContext::new();
        let mut rows = description.rows(&section, &bases, &mut context).expect("the instructions are well formed");
        let start = description.initial_address();
        while let Some(row) = rows.next_row().expect("the instructions are well formed") {
            let mut saved: Vec<_> = row.registers().map(|(reg, rule)| format!("{}: {rule:?}", reg.0)).collect();
            saved.sort();
            let (from, to) = (row.start_address() - start, row.end_address() - start);
            writeln!(listing, "{from:4x} to {to:4x}: {:?} {}", row.cfa(), saved.join(", ")).expect("a text grows");
        }
    }
    listing
}

const ARITHMETIC: &str = "(module (func (param i32 i64) (result i64) (local i32)
    local.get 0 i32.const 255 i32.and local.get 0 i32.const 7 i32.rotl i32.xor local.tee 2
    local.get 0 i32.popcnt i32.rem_s i64.extend_i32_s
    local.get 1 i64.const 0x123456789abcdef i64.mul i64.sub
    local.get 2 i32.eqz if (result i64) local.get 1 i64.ctz else local.get 1 i64.clz end i64.shl))";

const LOOP: &str = "(module (func $f (param i32) (result i32) local.get 0)
    (func (param i32) (result i32)
    loop
      local.get 0 call $f local.set 0
      local.get 0 i32.const 100000 i32.lt_s br_if 0
    end
    local.get 0))";

const TABLE: &str = "(module (func (param i32) (result i32)
    block block block
      local.get 0 br_table 0 1 2 0
    end i32.const 1 return
    end i32.const 2 return
    end i32.const 3))";

const MEMORY: &str = "(module (memory 1) (func (param i32 f64) (result i32)
    local.get 0 local.get 0 i32.load8_s offset=3 i32.store16 offset=70000
    i32.const 8 local.get 1 f64.store
    local.get 0 i32.const 5 i32.const 6 memory.fill
    memory.size))";

const FLOATS: &str = "(module (func (param f32 f64) (result f64)
    local.get 0 i32.trunc_f32_s f64.convert_i32_u
    local.get 1 f64.const 2.5 f64.min f64.copysign
    local.get 1 i64.trunc_sat_f64_u f64.convert_i64_s f64.mul
    local.get 0 f64.promote_f32 f64.nearest f64.add
    local.get 1 local.get 0 f32.const 1 f32.lt select))";

const INDIRECT: &str = "(module (type $t (func (param i32) (result i32))) (table 4 16 funcref)
    (func (param i32 i32) (result i32) local.get 0 local.get 1 call_indirect (type $t)))";

const MANY: &str =
    "(module (func (result i32) (local i32 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64 i64)
    local.get 0 return_call $h) (func $h (param i32) (result i32) local.get 0))";

const EVERY_TYPE: &str =
    "(module (type (func (param i32 i64 f32 f64 externref) (result f64 f32 i64 i32))) (type (func)))";

/// More values than travel in registers, of each class.
const MANY_VALUES: &str = "(module (type (func
    (param i32 i64 i32 i64 i32 i64 i32 i64 i32 i64 f32 f64 f32 f64 f32 f64 f32 f64 f32 f64)
    (result i32 i64 i32 i64 i32 i64 i32 i64 i32 f32 f64 f32 f64 f32 f64 f32 f64 f32))))";

/// A function with so many variables that its frame is large, and one that leaves its frame in two places.
fn with_frames() -> String {
    let variables = "i64 ".repeat(1000);
    format!(
        "(module (func (param i32) (result i32) (local {variables})
            loop local.get 0 call $h local.tee 0 br_if 0 end local.get 0 return_call $h)
        (func $h (param i32) (result i32) local.get 0 if local.get 0 return_call $h end local.get 0)
        (func (param i32 f64 f32) (result f64)
            loop
              local.get 0 call $h local.set 0
              local.get 1 local.get 2 f64.promote_f32 f64.add local.set 1
              local.get 0 br_if 0
            end
            local.get 1))"
    )
}

macro_rules! snapshots {
    ($($name:ident: $listing:ident($text:expr),)+) => {
        $(#[test]
        fn $name() {
            for arch in [Arch::X86_64, Arch::Aarch64] {
                insta::assert_snapshot!(name(stringify!($name), arch), $listing(arch, $text));
            }
        })+
    };
}

fn name(test: &str, arch: Arch) -> String {
    format!("{test}-{}", arch.triple().split('-').next().unwrap_or_default())
}

snapshots! {
    arithmetic: listing(ARITHMETIC),
    a_loop_with_a_call: listing(LOOP),
    a_branch_table: listing(TABLE),
    memory: listing(MEMORY),
    floats: listing(FLOATS),
    a_call_through_a_table: listing(INDIRECT),
    many_variables: listing(MANY),
    large_frames: listing(&with_frames()),
    frame_information: frames(&with_frames()),
    thunk: thunks(EVERY_TYPE),
    thunk_with_many_values: thunks(MANY_VALUES),
    thunk_frame_information: thunk_frames(MANY_VALUES),
}

/// What was written for each step.
struct Steps<M> {
    masm: M,
    steps: Vec<(String, usize, usize)>,
}

impl<M: Masm> Steps<M> {
    fn step<T>(&mut self, what: impl std::fmt::Debug, write: impl FnOnce(&mut M) -> T) -> T {
        let start = self.masm.code().len();
        let done = write(&mut self.masm);
        self.steps.push((format!("{what:?}"), start, self.masm.code().len()));
        done
    }

    fn listing(mut self, arch: Arch) -> String {
        self.masm.finish_labels().expect("all labels are near");
        let code = self.masm.into_code();
        let mut listing = String::new();
        for (what, start, end) in self.steps {
            writeln!(listing, "{what}").expect("a text grows");
            for (_, line) in disassemble(arch, &code[start..end]) {
                writeln!(listing, "    {line}").expect("a text grows");
            }
        }
        listing
    }
}

/// All that the generator can ask of a processor.
fn every_step<M: Masm>(arch: Arch) -> String {
    use Width::{W32, W64};
    let mut all = Steps { masm: M::default(), steps: Vec::new() };
    let (a, b, c) = (M::GPRS[0], M::GPRS[M::GPRS.len() - 1], M::GPRS[3]);
    let (f, g) = (M::FPRS[0], M::FPRS[M::FPRS.len() - 1]);
    let (near, far, beyond) = (FrameOffset(48), FrameOffset(40_000), FrameOffset(1 << 25));
    let offsets = [0, 1, 8, 255, 257, 4096, 16_380, 32_761, 70_000, 0x0102_0304, i32::MAX, -8, -4096];
    let numbers = [0, 1, -1, 12, 255, 4095, 4096, -4096, 0x00ff_0000, 0x0012_3456, i32::MIN, i32::MAX];
    for width in [W32, W64] {
        all.step(("mov", width), |masm| masm.mov(width, a, b));
        for at in [near, far, beyond] {
            all.step(("load_frame", width, at), |masm| masm.load_frame(width, b, at));
        }
        for op in [Alu::Add, Alu::Sub, Alu::And, Alu::Or, Alu::Xor] {
            for src in [Source::Gpr(c), Source::Frame(near)].into_iter().chain(numbers.map(Source::Imm)) {
                all.step((op, width, src), |masm| masm.alu(op, width, b, src));
            }
        }
        for src in [Source::Gpr(c), Source::Frame(far)].into_iter().chain(numbers.map(Source::Imm)) {
            all.step(("multiply", width, src), |masm| masm.multiply(width, b, src));
            all.step(("compare", width, src), |masm| masm.compare(width, b, src));
        }
        for op in [Shift::Left, Shift::RightSigned, Shift::RightUnsigned, Shift::RotateLeft, Shift::RotateRight] {
            for amount in [0, 5, 31] {
                all.step((op, width, amount), |masm| masm.shift_imm(op, width, b, amount));
            }
            all.step((op, width), |masm| masm.shift(op, width, b, M::SHIFT_AMOUNT.unwrap_or(a)));
        }
        for op in [Unary::Clz, Unary::Ctz, Unary::Popcnt, Unary::Extend8, Unary::Extend16, Unary::Extend32] {
            all.step((op, width), |masm| masm.unary(op, width, a, b));
        }
        for (signed, remainder) in [(true, false), (true, true), (false, false), (false, true)] {
            let (op, dividend) = (Division { signed, remainder }, M::DIVISION.map_or(a, |(dividend, _)| dividend));
            all.step((op, width), |masm| masm.divide(op, width, dividend, M::GPRS[5]));
        }
        all.step(("test", width), |masm| masm.test(width, b));
    }
    let values = [0, 1, 0xffff_ffff, 0x1234_5678, 0xffff_0000, 0xff00_ff00, 1 << 63, u64::MAX, u64::MAX - 0xffff];
    for value in values.into_iter().chain([0x0123_4567_89ab_cdef, 0xffff_1234_ffff_ffff, 0x0000_00ff_ff00_0000]) {
        all.step(("mov_imm", value), |masm| masm.mov_imm(b, value));
        all.step(("store_frame_imm", value), |masm| masm.store_frame_imm(near, value));
    }
    for at in [near, far, beyond] {
        all.step(("store_frame", at), |masm| masm.store_frame(at, b));
        all.step(("frame_address", at), |masm| masm.frame_address(b, at));
    }
    for count in [1, 2, 7, 40, 41] {
        all.step(("clear_frame", count), |masm| masm.clear_frame(near, count));
    }
    all.step(("clear_frame", far), |masm| masm.clear_frame(far, 3));
    let loads = [W32, W64].map(|width| [Load::Whole(width), Load::Signed8(width), Load::Signed16(width)]);
    for load in loads.into_iter().flatten().chain([Load::Unsigned8, Load::Unsigned16, Load::Signed32]) {
        all.step(load, |masm| masm.load(load, b, Address::new(M::MEMORY, 8)));
    }
    for store in [Store::Byte, Store::Half, Store::Word, Store::Double] {
        all.step(store, |masm| masm.store(store, Address { base: M::MEMORY, index: Some(a), offset: 0 }, b));
    }
    for offset in offsets {
        for index in [None, Some(a)] {
            let at = Address { base: M::MEMORY, index, offset };
            all.step(("load", at), |masm| masm.load(Load::Whole(W32), b, at));
            all.step(("address", at), |masm| masm.address(b, at));
        }
        let at = Address::new(M::SCRATCH, offset);
        all.step(("clear", at), |masm| masm.clear(at));
        all.step(("decrement", at), |masm| masm.decrement(at));
    }
    let conditions = [Compare::Eq, Compare::Ne, Compare::LtS, Compare::LtU, Compare::GtS, Compare::GtU];
    for compare in conditions.into_iter().chain([Compare::LeS, Compare::LeU, Compare::GeS, Compare::GeU]) {
        let cond = M::cond(compare);
        all.step(("set", compare), |masm| masm.set(cond, b));
        all.step(("mov_if not", compare), |masm| masm.mov_if(M::invert(cond), b, c));
    }
    for ty in [Float::F32, Float::F64] {
        let at = Address { base: M::MEMORY, index: Some(a), offset: 0 };
        all.step(("fload", ty), |masm| masm.fload(ty, g, at));
        all.step(("fstore", ty), |masm| masm.fstore(ty, at, g));
        all.step(("fload_frame", ty), |masm| masm.fload_frame(ty, g, far));
        all.step(("gpr_to_fpr", ty), |masm| masm.gpr_to_fpr(ty, g, b));
        all.step(("fpr_to_gpr", ty), |masm| masm.fpr_to_gpr(ty, b, g));
        all.step(("fmov_imm", ty, 0), |masm| masm.fmov_imm(ty, g, 0));
        all.step(("fmov_imm", ty, 1), |masm| masm.fmov_imm(ty, g, 1));
        for op in [FloatCompare::Eq, FloatCompare::Ne, FloatCompare::Lt, FloatCompare::Gt, FloatCompare::Le] {
            all.step((op, ty), |masm| masm.fcompare(op, ty, f, g, b).map(|cond| masm.set(cond, b)));
        }
        all.step((FloatCompare::Ge, ty), |masm| masm.fcompare(FloatCompare::Ge, ty, f, g, b));
        let arithmetic = [FloatBinary::Add, FloatBinary::Sub, FloatBinary::Mul, FloatBinary::Div];
        for op in arithmetic.into_iter().chain([FloatBinary::Min, FloatBinary::Max, FloatBinary::Copysign]) {
            all.step((op, ty), |masm| masm.fbinary(op, ty, f, g));
        }
        let rounding = [FloatUnary::Ceil, FloatUnary::Floor, FloatUnary::Trunc, FloatUnary::Nearest];
        for op in rounding.into_iter().chain([FloatUnary::Abs, FloatUnary::Neg, FloatUnary::Sqrt]) {
            all.step((op, ty), |masm| masm.funary(op, ty, f, g));
        }
        all.step(("convert_float", ty), |masm| masm.convert_float(ty, f, g));
        for (width, signed) in [(W32, true), (W32, false), (W64, true), (W64, false)] {
            let (to_float, to_int) = (ToFloat { from: width, signed, to: ty }, ToInt { from: ty, to: width, signed });
            all.step(to_float, |masm| masm.to_float(to_float, g, b));
            all.step(to_int, |masm| {
                let (invalid, overflow) = (masm.new_label(), masm.new_label());
                masm.to_int(to_int, b, g, invalid, overflow);
                masm.bind(invalid);
                masm.bind(overflow);
            });
            all.step(("saturating", to_int), |masm| masm.to_int_saturating(to_int, b, g));
        }
    }
    all.step("fmov", |masm| masm.fmov(f, g));
    all.step("fstore_frame", |masm| masm.fstore_frame(near, g));
    all.step("trap", |masm| masm.trap(TrapCode::IntegerOverflow));
    all.step("call", |masm| masm.call(Target::Gpr(M::CALLEE_CODE)));
    all.step("call_c", |masm| masm.call_c(Target::Memory(Address::new(M::SCRATCH, 16))));
    all.step("reload_context", M::reload_context);
    all.step("jump_to", |masm| masm.jump_to(M::CALLEE_CODE));
    all.step("ret", M::ret);
    all.step("jump_table", |masm| {
        let (first, second, default) = (masm.new_label(), masm.new_label(), masm.new_label());
        masm.bind(first);
        masm.bind(default);
        masm.jump_table(b, &[first, second, first], default);
        masm.jump(second);
        masm.bind(second);
    });
    all.listing(arch)
}

#[test]
fn every_step_is_the_instructions_that_it_should_be() {
    let name = |arch| name("every_step", arch);
    insta::assert_snapshot!(name(Arch::X86_64), every_step::<X86_64>(Arch::X86_64));
    insta::assert_snapshot!(name(Arch::Aarch64), every_step::<Aarch64>(Arch::Aarch64));
}
