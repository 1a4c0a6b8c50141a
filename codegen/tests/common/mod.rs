//! The least that compiled code needs to run: a context, an execution context and a table of helpers, without the runtime crate.
//!
//! Code runs on the test's own stack. That is enough as long as nothing traps and nothing leaves the guest other than by returning.

#![allow(dead_code, reason = "each test uses its part")]

use std::any::Any;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use wasmo_abi::builtin::VmBuiltins;
use wasmo_abi::code::ModuleCode;
use wasmo_abi::index::{FuncIndex, MemoryIndex};
use wasmo_abi::layout::VmContextLayout;
use wasmo_abi::module::{EntityRef, ModuleInfo};
use wasmo_abi::tunables::Tunables;
use wasmo_abi::vm::{
    RawValue, VmContext, VmContextKind, VmExecContext, VmFuncImport, VmHostCallback, VmHostFunc, VmMemorySlot,
};
use wasmo_codegen::{Compiler, TargetOptions};

/// A compiler with two threads.
pub fn compiler(tunables: Tunables) -> Compiler {
    Compiler::new(tunables, TargetOptions { threads: 2, ..TargetOptions::default() })
        .expect("this machine is supported")
}

/// Compiles and links a module given as text.
pub fn link(compiler: &Compiler, text: &str) -> (ModuleInfo, Vec<u8>, ModuleCode) {
    let bytes = wat::parse_str(text).expect("the text is well-formed");
    let info = wasmo_codegen::parse(&bytes).expect("the module is valid");
    let compiled = compiler.compile(&info, &bytes, &()).expect("the module compiles");
    let code = compiler.link(&info, compiled).expect("the module links");
    (info, bytes, code)
}

/// A function of the host: works on the values in place.
pub type HostFunc = fn(&mut [RawValue]);

extern "C" fn call_host(context: *mut VmHostFunc, values: *mut RawValue) -> u32 {
    // SAFETY: `data` is a HostFunc, and no test has more than 64 values.
    unsafe {
        let host = std::mem::transmute::<*mut u8, HostFunc>((*context).data);
        host(std::slice::from_raw_parts_mut(values, 64));
    }
    0
}

/// Calls on the same stack, where the runtime would change it.
extern "C" fn exit(_: *mut VmExecContext, callback: VmHostCallback<u8>, context: *mut u8, values: *mut RawValue) {
    assert_eq!(callback(context, values), 0, "no test's host function fails");
}

extern "C" fn no_helper(_: *mut VmContext, _: *mut RawValue) -> u32 {
    panic!("no test's module needs this helper");
}

/// Lets the deadline pass again in `epoch_step` ticks, and counts in `fuel`.
extern "C" fn new_epoch(context: *mut VmContext, _: *mut RawValue) -> u32 {
    // SAFETY: the contexts are those of an Instance.
    unsafe { (*(*context).exec).fuel += 1 };
    0
}

extern "C" fn memmove(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8 {
    // SAFETY: the caller's ranges are valid.
    unsafe { std::ptr::copy(from, to, bytes) };
    to
}

extern "C" fn memset(to: *mut u8, byte: i32, bytes: usize) -> *mut u8 {
    // SAFETY: the caller's range is valid.
    unsafe { std::ptr::write_bytes(to, byte.to_le_bytes()[0], bytes) };
    to
}

/// An instance of a module.
pub struct Instance {
    info: ModuleInfo,
    code: ModuleCode,
    context: Vec<u128>,
    /// The execution context; its `fuel` counts calls of the epoch helper.
    pub exec: Box<VmExecContext>,
    builtins: Box<VmBuiltins>,
    epoch: Box<AtomicU64>,
    memory: Vec<u8>,
    #[expect(clippy::vec_box, reason = "generated code keeps the addresses of the records")]
    hosts: Vec<Box<VmHostFunc>>,
    thunks: Vec<Arc<dyn Any + Send + Sync>>,
}

impl Instance {
    /// An instance, with `hosts` for the imported functions.
    pub fn new(info: ModuleInfo, code: ModuleCode, hosts: &[HostFunc]) -> Self {
        let layout = VmContextLayout::new(&info);
        // SAFETY: all fields are integers, atomics or raw pointers.
        let exec = unsafe { MaybeUninit::<VmExecContext>::zeroed().assume_init() };
        let builtins = VmBuiltins {
            exit,
            memmove,
            memset,
            memory_grow: no_helper,
            memory_init: no_helper,
            data_drop: no_helper,
            table_grow: no_helper,
            table_fill: no_helper,
            table_copy: no_helper,
            table_init: no_helper,
            elem_drop: no_helper,
            new_epoch,
            out_of_fuel: no_helper,
            compile: no_helper,
            tier_up: no_helper,
        };
        let mut this = Self {
            context: vec![0; layout.size() / 16],
            exec: Box::new(exec),
            builtins: Box::new(builtins),
            epoch: Box::new(AtomicU64::new(0)),
            memory: vec![0; 65_536],
            hosts: Vec::new(),
            thunks: Vec::new(),
            info,
            code,
        };
        this.exec.builtins = &raw const *this.builtins;
        this.exec.epoch = &raw const *this.epoch;
        let exec = &raw mut *this.exec;
        let head = VmContext {
            kind: VmContextKind::Instance,
            exec,
            instance: std::ptr::null_mut(),
            entries: std::ptr::null(),
        };
        // SAFETY: the context has the size and alignment of the layout, whose offsets lie within.
        unsafe {
            let context = this.context.as_mut_ptr().cast::<u8>();
            context.cast::<VmContext>().write(head);
            for index in 0..this.info.memories.len() {
                let offset = layout.memory(MemoryIndex(u32::try_from(index).expect("few memories")));
                let slot = VmMemorySlot { base: this.memory.as_mut_ptr(), memory: std::ptr::null_mut() };
                context.add(offset).cast::<VmMemorySlot>().write(slot);
            }
            for (index, &host) in hosts.iter().enumerate() {
                let func = FuncIndex(u32::try_from(index).expect("few functions"));
                let thunks = this.code.thunks(this.info.func_type_index(func)).expect("imported functions have thunks");
                let mut host = Box::new(VmHostFunc {
                    kind: VmContextKind::HostFunc,
                    exec,
                    callback: call_host,
                    data: host as *mut u8,
                    caller: context.cast(),
                    direct: std::ptr::null(),
                });
                let import = VmFuncImport { code: thunks.exit as *const u8, context: (&raw mut *host).cast() };
                context.add(layout.func_import(func)).cast::<VmFuncImport>().write(import);
                this.hosts.push(host);
            }
        }
        this
    }

    /// Calls the exported function `name`.
    pub fn call(&mut self, name: &str, arguments: &[RawValue]) -> Vec<RawValue> {
        let export = self.info.exports.iter().find(|export| *export.name == *name).expect("the function is exported");
        let EntityRef::Func(func) = export.entity else { panic!("{name} is not a function") };
        let ty = self.info.func_type(func);
        let mut values = vec![RawValue::default(); ty.params.len().max(ty.results.len()).max(1)];
        values[..arguments.len()].copy_from_slice(arguments);
        let thunks = self.code.thunks(self.info.func_type_index(func)).expect("exported functions have thunks");
        let entry = self
            .info
            .defined_func(func)
            .and_then(|position| self.code.entry(position))
            .expect("the function is defined");
        (thunks.enter)(entry as *const u8, self.context.as_mut_ptr().cast(), values.as_mut_ptr());
        values.truncate(ty.results.len());
        values
    }
}

/// Arguments of type i32.
pub fn i32s(values: &[u32]) -> Vec<RawValue> {
    values.iter().map(|&value| RawValue::from_u32(value)).collect()
}
