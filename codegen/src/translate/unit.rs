//! [`Unit`]: what functions of one LLVM module share.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use inkwell::GlobalVisibility;
use inkwell::module::Linkage;
use inkwell::values::FunctionValue;
use wasmo_abi::code::ModuleCode;
use wasmo_abi::index::{FuncIndex, MemoryIndex, TypeIndex};
use wasmo_abi::layout::VmContextLayout;
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::symbol;
use wasmo_abi::tier::{LoopIndex, Tier};
use wasmo_abi::tunables::MAX_GROWN_PAGES;

use crate::ir::Ir;
use crate::ir::debug::DebugInfo;
use crate::ir::signature::{SWIFT_TAIL_CC, Signature};
use crate::ir::tbaa::Region;
use crate::profile::Guide;

use super::neighbour::NeighbourUnit;

/// Whose functions there are in an LLVM module.
#[derive(Clone, Debug)]
pub(super) enum Side<'a> {
    /// The module's that is compiled. Copies, by their positions, are for the functions in this LLVM module only.
    Own { copies: BTreeSet<usize> },
    /// A neighbour's, to be inlined. Their operators have lines from here on. Where its functions have entries, that is where their code is found; else it stays where it is.
    Neighbour { first_line: u32, fixed: Option<&'a ModuleCode> },
}

/// What the functions of one LLVM module share that are of the same wasm module.
#[derive(Debug)]
pub struct Unit<'a, 'ctx> {
    /// The LLVM module.
    pub ir: &'a Ir<'ctx>,
    /// Its debug information.
    pub debug: &'a DebugInfo<'ctx>,
    /// The wasm module.
    pub info: &'a ModuleInfo,
    /// Where things lie in the instance's context.
    pub layout: VmContextLayout,
    /// Whether code counts, or is made with what was counted.
    pub(crate) guide: Guide<'a>,
    /// The functions that are defined in this LLVM module, by their positions among the defined ones.
    here: BTreeSet<usize>,
    /// The instance of another module whose functions may be called directly.
    pub(super) neighbour: Option<&'a NeighbourUnit<'a, 'ctx>>,
    /// Whose functions they are.
    side: Side<'a>,
    signatures: RefCell<HashMap<TypeIndex, Rc<Signature<'ctx>>>>,
    functions: RefCell<HashMap<FuncIndex, FunctionValue<'ctx>>>,
}

impl<'a, 'ctx> Unit<'a, 'ctx> {
    /// The functions of `info` in an LLVM module; `here` are those that will be defined in it.
    pub(super) fn new(
        (ir, debug): (&'a Ir<'ctx>, &'a DebugInfo<'ctx>),
        info: &'a ModuleInfo,
        here: BTreeSet<usize>,
        guide: Guide<'a>,
        neighbour: Option<&'a NeighbourUnit<'a, 'ctx>>,
        side: Side<'a>,
    ) -> Self {
        let layout = VmContextLayout::new(info);
        let (signatures, functions) = Default::default();
        Self { ir, debug, info, layout, guide, here, neighbour, side, signatures, functions }
    }

    /// The symbol of `func`.
    pub(super) fn symbol(&self, func: FuncIndex) -> String {
        match &self.side {
            Side::Own { copies } => match self.info.defined_func(func) {
                Some(position) if copies.contains(&position) => symbol::copy(func),
                _ => symbol::func(func),
            },
            Side::Neighbour { .. } => symbol::neighbour(func),
        }
    }

    /// The line that stands for the operator at `offset`.
    pub(super) fn line(&self, offset: u32) -> u32 {
        match self.side {
            Side::Own { .. } => offset,
            Side::Neighbour { first_line, .. } => first_line.saturating_add(offset),
        }
    }

    /// The position of an entity that the module defines, where no code in the LLVM module can reach it but as that: what one instance imports, its neighbour may define.
    pub fn alone(&self, defined: Option<usize>) -> Option<usize> {
        defined.filter(|_| matches!(self.side, Side::Own { .. }))
    }

    /// Where the code of the function at `position` is, if that is known.
    pub(super) fn fixed_code(&self, position: usize) -> Option<usize> {
        match self.side {
            Side::Neighbour { fixed: Some(code), .. } => code.entry(position),
            Side::Neighbour { fixed: None, .. } | Side::Own { .. } => None,
        }
    }

    /// Whether a function is defined in this LLVM module.
    pub(super) fn is_here(&self, position: usize) -> bool {
        self.here.contains(&position)
    }

    /// How functions of type `ty` are called.
    pub fn signature(&self, ty: TypeIndex) -> Rc<Signature<'ctx>> {
        let make = || Rc::new(Signature::new(self.ir, &self.info.types[ty]));
        Rc::clone(self.signatures.borrow_mut().entry(ty).or_insert_with(make))
    }

    /// Whether calls of the function at `position` among the defined ones go to the one place where its code is and stays, or the calling code is meant to stay with.
    pub fn calls_directly(&self, position: usize) -> bool {
        match self.ir.options.tier {
            None => true,
            Some(Tier::LiftOff) => false,
            Some(Tier::Optimized) => self.here.contains(&position),
        }
    }

    /// The variant of `func` that begins at the loop `at`, not defined yet.
    pub fn osr_function(&self, func: FuncIndex, at: LoopIndex, signature: &Signature<'ctx>) -> FunctionValue<'ctx> {
        self.add_function(&symbol::osr(func, at), signature)
    }

    fn add_function(&self, name: &str, signature: &Signature<'ctx>) -> FunctionValue<'ctx> {
        let function = self.ir.module().add_function(name, signature.ty, Some(Linkage::External));
        function.set_call_conventions(SWIFT_TAIL_CC);
        // Hidden symbols are called directly and not through a table of the linker's.
        function.as_global_value().set_visibility(GlobalVisibility::Hidden);
        self.ir.mark_function(function);
        self.ir.mark_context(function, self.layout.size());
        function
    }

    /// The defined function `func`, declared unless it is defined in this unit.
    pub fn function(&self, func: FuncIndex) -> FunctionValue<'ctx> {
        if let Some(&function) = self.functions.borrow().get(&func) {
            return function;
        }
        let signature = self.signature(self.info.func_type_index(func));
        let function = self.add_function(&self.symbol(func), &signature);
        if let Some(profile) = self.guide.profile() {
            self.ir.mark_entries(function, profile.function(func).map(|counted| counted.entries));
        }
        self.functions.borrow_mut().insert(func, function);
        function
    }

    /// The region of the content of `memory`.
    pub fn memory_region(&self, memory: MemoryIndex) -> Region {
        self.alone(self.info.defined_memory(memory)).map_or(Region::ImportedMemories, Region::Memory)
    }

    /// Whether no address within `memory` is so high that adding a little to it could wrap (ARCHITECTURE.md, section 5).
    pub fn stays_low(&self, memory: MemoryIndex) -> bool {
        self.info.memories[memory].limits.min <= MAX_GROWN_PAGES
    }
}
