//! A guest written in assembly: it stands for generated code, so that the runtime is tested without a compiler.
//!
//! Its functions follow a convention of their own: the context in r13 (x20), as in compiled code, and the array of
//! values in rdi (x0). All have type `[] -> []` and, but for their first instruction, a frame of 16 bytes with the
//! return address, which is what the hand-made call frame information says.

#![allow(dead_code, reason = "each test file uses a part")]

use std::arch::global_asm;
use std::mem::offset_of;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};
use wasmo_abi::builtin::VmBuiltins;
use wasmo_abi::code::{CodeUnit, FunctionRange, ModuleCode, Thunks, UnwindTable};
use wasmo_abi::index::{DataIndex, EntityIndex, FuncIndex, FuncRefIndex, MemoryIndex, TypeIndex};
use wasmo_abi::module::{Body, EntityRef, Func, Import, ModuleInfo};
use wasmo_abi::offsets::WasmOffset;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::types::{FuncType, Limits, MemoryType};
use wasmo_abi::vm::{EnterThunk, RawValue, VmContext, VmExecContext, VmFuncImport, VmHostCallback, VmHostFunc};
use wasmo_runtime::{
    CallError, Failure, FuncHandle, HostImport, InstanceId, Module, Pool, Store, StoreOptions, TypeRegistry,
};

/// Where the first imported function lies in the guest's context: after the head and the number of one type.
const IMPORT: usize = (size_of::<VmContext>() + size_of::<u32>()).next_multiple_of(8);

macro_rules! guest {
    (begin: $begin:literal; end: $end:literal; $($index:literal $name:ident: $($line:literal),*;)*) => {
        global_asm!(
            ".pushsection .text.wasmo_test_guest, \"ax\", @progbits",
            ".p2align 4",
            ".globl test_guest_start", "test_guest_start:",
            $(
                concat!(".globl ", stringify!($name)), concat!(stringify!($name), ":"),
                $begin,
                $($line,)*
                $end,
                "ret",
            )*
            ".globl test_guest_end", "test_guest_end:",
            ".popsection",
            exec = const offset_of!(VmContext, exec),
            code = const IMPORT + offset_of!(VmFuncImport, code),
            context = const IMPORT + offset_of!(VmFuncImport, context),
            callback = const offset_of!(VmHostFunc, callback),
            builtins = const offset_of!(VmExecContext, builtins),
            exit = const offset_of!(VmBuiltins, exit),
            memory_grow = const offset_of!(VmBuiltins, memory_grow),
            memory_init = const offset_of!(VmBuiltins, memory_init),
            out_of_fuel = const offset_of!(VmBuiltins, out_of_fuel),
            unreachable = const TrapCode::Unreachable as u8,
        );
        unsafe extern "C" {
            fn test_guest_start();
            fn test_guest_end();
            $(fn $name();)*
        }
        /// The functions, by index.
        fn functions() -> Vec<(u32, usize)> {
            vec![$(($index, $name as *const () as usize)),*]
        }
    };
}

#[allow(non_upper_case_globals, reason = "named as the functions")]
pub mod func {
    //! Indices of the guest's functions.
    pub const host: u32 = 0;
    pub const answer: u32 = 1;
    pub const unreachable: u32 = 2;
    pub const load: u32 = 3;
    pub const recurse: u32 = 4;
    pub const spin: u32 = 5;
    pub const call_host: u32 = 6;
    pub const grow: u32 = 7;
    pub const init: u32 = 8;
    pub const call_host_often: u32 = 9;
    pub const fuel: u32 = 10;
    pub const forward: u32 = 11;
    pub const COUNT: u32 = 12;
}

#[cfg(target_arch = "x86_64")]
guest! {
    begin: "sub rsp, 8"; end: "add rsp, 8";
    1 test_answer: "mov qword ptr [rdi], 42";
    2 test_unreachable: ".byte 0x67, 0x0f, 0xb9, 0x40, {unreachable}";
    3 test_load: "mov rax, qword ptr [rdi]", "mov rax, qword ptr [rax]", "mov qword ptr [rdi], rax";
    4 test_recurse: "call test_recurse";
    5 test_spin: "8: jmp 8b";
    6 test_call_host: "mov [rsp], r13", "mov rax, [r13 + {code}]", "mov r13, [r13 + {context}]", "call rax", "mov r13, [rsp]";
    7 test_grow: "mov rcx, rdi", "mov rdx, r13", "mov rdi, [r13 + {exec}]", "mov rax, [rdi + {builtins}]",
        "mov rsi, [rax + {memory_grow}]", "call [rax + {exit}]";
    8 test_init: "mov rcx, rdi", "mov rdx, r13", "mov rdi, [r13 + {exec}]", "mov rax, [rdi + {builtins}]",
        "mov rsi, [rax + {memory_init}]", "call [rax + {exit}]";
    // The count is taken from the second value; rbx keeps it.
    9 test_call_host_often: "mov [rsp], rbx", "mov rbx, [rdi + 16]",
        "8: push r13", "push rdi", "mov rax, [r13 + {code}]", "mov r13, [r13 + {context}]", "call rax", "pop rdi", "pop r13",
        "dec rbx", "jnz 8b", "mov rbx, [rsp]";
    10 test_fuel: "mov rcx, rdi", "mov rdx, r13", "mov rdi, [r13 + {exec}]", "mov rax, [rdi + {builtins}]",
        "mov rsi, [rax + {out_of_fuel}]", "call [rax + {exit}]";
    // In the convention of compiled code: all arguments go on and the results come back, and 8 bytes are popped.
    11 test_forward: "mov rax, [r13 + {code}]", "mov r13, [r13 + {context}]", "call rax", "sub rsp, 8";
    // The thunks have no index of the guest's.
    4294967295 test_exit: "mov rcx, rdi", "mov rdx, r13", "mov rdi, [r13 + {exec}]", "mov rsi, [r13 + {callback}]",
        "mov rax, [rdi + {builtins}]", "call [rax + {exit}]";
    4294967294 test_enter: "mov [rsp], r13", "mov r13, rsi", "mov rax, rdi", "mov rdi, rdx", "sub rsp, 8", "call rax", "add rsp, 8",
        "mov r13, [rsp]";
}

#[cfg(target_arch = "aarch64")]
guest! {
    begin: "str x30, [sp, #-16]!"; end: "ldr x30, [sp], #16";
    1 test_answer: "mov x9, #42", "str x9, [x0]";
    2 test_unreachable: "brk #(0x5500 | {unreachable})";
    3 test_load: "ldr x9, [x0]", "ldr x9, [x9]", "str x9, [x0]";
    4 test_recurse: "bl test_recurse";
    5 test_spin: "8: b 8b";
    6 test_call_host: "str x20, [sp, #8]", "ldr x9, [x20, #{code}]", "ldr x20, [x20, #{context}]", "blr x9",
        "ldr x20, [sp, #8]";
    7 test_grow: "mov x3, x0", "mov x2, x20", "ldr x0, [x20, #{exec}]", "ldr x9, [x0, #{builtins}]",
        "ldr x1, [x9, #{memory_grow}]", "ldr x9, [x9, #{exit}]", "blr x9";
    8 test_init: "mov x3, x0", "mov x2, x20", "ldr x0, [x20, #{exec}]", "ldr x9, [x0, #{builtins}]",
        "ldr x1, [x9, #{memory_init}]", "ldr x9, [x9, #{exit}]", "blr x9";
    // The count is taken from the second value; x19 keeps it.
    9 test_call_host_often: "str x19, [sp, #8]", "ldr x19, [x0, #16]",
        "8: stp x20, x0, [sp, #-16]!", "ldr x9, [x20, #{code}]", "ldr x20, [x20, #{context}]", "blr x9",
        "ldp x20, x0, [sp], #16", "subs x19, x19, #1", "b.ne 8b", "ldr x19, [sp, #8]";
    10 test_fuel: "mov x3, x0", "mov x2, x20", "ldr x0, [x20, #{exec}]", "ldr x9, [x0, #{builtins}]",
        "ldr x1, [x9, #{out_of_fuel}]", "ldr x9, [x9, #{exit}]", "blr x9";
    // In the convention of compiled code: all arguments go on and the results come back.
    11 test_forward: "ldr x9, [x20, #{code}]", "ldr x20, [x20, #{context}]", "blr x9";
    // The thunks have no index of the guest's.
    4294967295 test_exit: "mov x3, x0", "mov x2, x20", "ldr x0, [x20, #{exec}]", "ldr x1, [x20, #{callback}]",
        "ldr x9, [x0, #{builtins}]", "ldr x9, [x9, #{exit}]", "blr x9";
    4294967294 test_enter: "str x20, [sp, #8]", "mov x20, x1", "mov x9, x0", "mov x0, x2", "blr x9", "ldr x20, [sp, #8]";
}

/// The instruction that traps as unreachable.
#[cfg(target_arch = "x86_64")]
pub const TRAP: &[u8] = &[0x67, 0x0f, 0xb9, 0x40, TrapCode::Unreachable as u8];
#[cfg(target_arch = "aarch64")]
pub const TRAP: &[u8] = &(0xd420_0000u32 | (0x5500 | TrapCode::Unreachable as u32) << 5).to_le_bytes();

/// Call frame instructions (DWARF 5, 6.4.2) at the start of every function and after its first instruction, and the
/// column of the return address.
#[cfg(target_arch = "x86_64")]
mod frame {
    /// CFA = rsp + 8, return address at CFA - 8.
    pub const AT_START: &[u8] = &[0x0c, 7, 8, 0x90, 1];
    /// After 4 bytes, CFA = rsp + 16.
    pub const INSIDE: &[u8] = &[0x44, 0x0e, 16];
    pub const RETURN_ADDRESS: u8 = 16;
}

#[cfg(target_arch = "aarch64")]
mod frame {
    /// CFA = sp.
    pub const AT_START: &[u8] = &[0x0c, 31, 0];
    /// After 4 bytes, CFA = sp + 16, x30 at CFA - 16.
    pub const INSIDE: &[u8] = &[0x44, 0x0e, 16, 0x9e, 2];
    pub const RETURN_ADDRESS: u8 = 30;
}

/// What the guest's `.eh_frame` would be: one description for each function, whose frame has 16 bytes after its first
/// instruction.
fn eh_frame(functions: &[FunctionRange]) -> Vec<u8> {
    let record = |body: &[u8]| {
        let mut body = body.to_vec();
        while !(body.len() + 4).is_multiple_of(8) {
            body.push(0);
        }
        let mut record = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        record.extend(body);
        record
    };
    // Version 1, no augmentation, factors 1 and -8.
    let mut section = record(&[&[0, 0, 0, 0, 1, 0, 1, 0x78, frame::RETURN_ADDRESS], frame::AT_START].concat());
    for function in functions {
        let back = u32::try_from(section.len() + 4).unwrap();
        let mut body = back.to_le_bytes().to_vec();
        body.extend(u64::from(function.offset).to_le_bytes());
        body.extend(u64::from(function.size).to_le_bytes());
        body.extend(frame::INSIDE);
        section.extend(record(&body));
    }
    section.extend([0; 4]);
    section
}

fn code(types: usize) -> ModuleCode {
    let start = test_guest_start as *const () as usize;
    let size = test_guest_end as *const () as usize - start;
    let mut list: Vec<_> = functions();
    list.sort_by_key(|&(_, address)| address);
    let ends = list.iter().skip(1).map(|&(_, address)| address).chain([start + size]).collect::<Vec<_>>();
    let functions: Vec<_> = list
        .iter()
        .zip(ends)
        .map(|(&(index, address), end)| FunctionRange {
            offset: u32::try_from(address - start).unwrap(),
            size: u32::try_from(end - address).unwrap(),
            func: (index < func::COUNT).then_some(FuncIndex(index)),
        })
        .collect();
    // Function n has its body at offset 100 n of the binary, and all its code belongs to the operator at 100 n + 1.
    let wasm_offsets = functions
        .iter()
        .map(|range| WasmOffset { code: range.offset, wasm: range.func.map_or(u32::MAX, |func| func.0 * 100 + 1) })
        .collect();
    let unwind =
        UnwindTable { eh_frame: eh_frame(&functions).into(), eh_frame_address: 1 << 30, text_address: 0, index: None };
    let address = |wanted: u32| list.iter().find(|&&(index, _)| index == wanted).unwrap().1;
    // SAFETY: the function has the signature of a thunk.
    let enter = unsafe { std::mem::transmute::<usize, EnterThunk>(address(u32::MAX - 1)) };
    ModuleCode {
        entries: (1..func::COUNT).map(|func| u32::try_from(address(func) - start).unwrap()).collect(),
        base: start,
        thunks: vec![Some(Thunks { enter, exit: address(u32::MAX) }); types],
        units: vec![CodeUnit { start, size, functions: functions.into_iter().collect(), wasm_offsets, unwind }],
        owner: Arc::new(()),
    }
}

/// Describes the guest: one type, one imported function, and the defined ones; a memory of one page, at most three.
pub fn info() -> ModuleInfo {
    let import = Import { module: "env".into(), name: "host".into(), entity: EntityRef::Func(FuncIndex(0)) };
    ModuleInfo {
        types: [FuncType::default()].into_iter().collect(),
        imports: vec![import],
        funcs: (0..func::COUNT).map(|index| Func { ty: TypeIndex(0), func_ref: Some(FuncRefIndex(index)) }).collect(),
        imported_funcs: 1,
        memories: [MemoryType { limits: Limits { min: 1, max: Some(3) } }].into_iter().collect(),
        escaping: (0..func::COUNT).map(FuncIndex).collect(),
        bodies: (1..func::COUNT).map(|index| Body { start: index * 100, end: index * 100 + 50 }).collect(),
        ..ModuleInfo::default()
    }
}

/// A module with the guest's code.
pub fn module(types: &TypeRegistry, info: ModuleInfo, bytes: &[u8]) -> Arc<Module> {
    let code = code(info.types.len());
    Module::new(info, code, bytes.to_vec().into(), types)
}

/// A store with an instance of the guest.
pub struct Guest {
    pub store: Box<Store>,
    pub instance: InstanceId,
    pub module: Arc<Module>,
    pub host: FuncHandle,
}

pub fn options() -> StoreOptions {
    StoreOptions { stack_size: 1 << 20, epoch: Arc::new(AtomicU64::new(0)), pool: Pool::new(None) }
}

impl Guest {
    /// A guest whose imported function is `callback` on `data`.
    pub fn new(callback: VmHostCallback<VmHostFunc>, data: *mut u8) -> Self {
        Self::importing(HostImport::new(callback, data))
    }

    /// A guest whose imported function is `host`.
    pub fn importing(host: HostImport) -> Self {
        // One for all tests: the registry of code knows one module for an address, and all modules here have the same
        // code.
        static MODULE: LazyLock<Arc<Module>> = LazyLock::new(|| module(&TypeRegistry::new(), info(), b"some data"));
        let module = Arc::clone(&MODULE);
        let mut store = Store::new(&options()).unwrap();
        let host = store.new_host_import(module.type_id(TypeIndex(0)), host);
        let instance = store.instantiate(&module, &[host.into()]).unwrap();
        Self { store, instance, module, host }
    }

    /// A guest whose imported function does nothing.
    pub fn plain() -> Self {
        Self::new(nothing, std::ptr::null_mut())
    }

    /// Calls a function of the guest with some values, and answers the first afterwards.
    pub fn call<const N: usize>(&mut self, func: u32, values: [u64; N]) -> Result<u64, CallError> {
        // SAFETY: the store is exclusively borrowed.
        unsafe { call(&raw mut *self.store, self.instance, func, &values) }
    }

    /// The address of the memory.
    pub fn memory(&self) -> u64 {
        let memory = self.store.instance(self.instance).memory(MemoryIndex(0));
        self.store.memory_base(memory) as u64
    }
}

/// Calls a function of the guest in `store`.
///
/// # Safety
/// As [`Store::call`].
pub unsafe fn call(store: *mut Store, instance: InstanceId, func: u32, values: &[u64]) -> Result<u64, CallError> {
    let mut slots = [RawValue::default(); 8];
    for (slot, &value) in slots.iter_mut().zip(values) {
        *slot = RawValue::from_u64(value);
    }
    // SAFETY: as the caller promises; the values suffice for all functions of the guest.
    unsafe {
        let handle = (*store).func(instance, FuncIndex(func)).unwrap();
        let enter = (*store).enter_thunk(handle);
        Store::call(store, handle, enter, slots.as_mut_ptr()).map_err(|error| *error)?;
    }
    Ok(slots[0].as_u64())
}

/// A host function that does nothing.
pub extern "C" fn nothing(_: *mut VmHostFunc, _: *mut RawValue) -> u32 {
    0
}

/// The trap that ended a call.
pub fn trap<T: std::fmt::Debug>(outcome: Result<T, CallError>) -> TrapCode {
    match outcome {
        Err(CallError { failure: Failure::Trap(code), .. }) => code,
        other => panic!("a trap was expected, and this came: {other:?}"),
    }
}

/// The functions in a backtrace.
pub fn functions_of(error: &CallError) -> Vec<u32> {
    error.backtrace.frames.iter().map(|frame| frame.func.0).collect()
}

/// Names an index, to keep the tests short.
pub fn data(index: u32) -> DataIndex {
    DataIndex::from_position(index as usize)
}
