//! [`Ir`]: one LLVM module under construction, with a builder and what is looked up all the time.

use std::cell::RefCell;
use std::collections::HashMap;

use inkwell::builder::Builder;
use inkwell::context::{Context, ContextRef};
use inkwell::module::Module;
use inkwell::values::FunctionValue;
use wasmo_abi::tier::Tier;
use wasmo_abi::tunables::Tunables;

use super::attributes::Attributes;
use super::tbaa::{Kinds, Region, Tag};
use super::types::Types;
use crate::unit::Soon;

/// The processor that code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// x86-64
    X86_64,
    /// AArch64
    Aarch64,
}

/// What the translator must know besides the module.
#[derive(Clone, Debug)]
pub struct Options {
    /// The choices that change code.
    pub tunables: Tunables,
    /// What the code is for, when it is code of a module in tiers.
    pub tier: Option<Tier>,
    /// Whether the code is to be made quickly ([`crate::pipeline::Effort::LiftOff`]): nothing optimises it, so nothing is said that only LLVM's optimising passes would read.
    pub quick: bool,
    /// When optimised code is made soon ([`crate::pipeline::Effort::Soon`]), and better code may follow: how it is entered and left.
    pub soon: Option<Soon>,
    /// The processor's architecture.
    pub arch: Arch,
    /// Whether the processor multiplies and adds in one instruction that rounds once.
    pub fused_multiply_add: bool,
    /// LLVM's name of the target; empty to leave it to whoever compiles the module.
    pub triple: String,
}

/// One LLVM module under construction.
#[derive(Debug)]
pub struct Ir<'ctx> {
    module: Module<'ctx>,
    builder: Builder<'ctx>,
    /// The types in use.
    pub types: Types<'ctx>,
    /// What the code is for, and the choices that change it.
    pub options: Options,
    pub(super) attributes: Attributes,
    pub(super) kinds: Kinds,
    pub(super) intrinsics: RefCell<HashMap<String, FunctionValue<'ctx>>>,
    pub(super) tags: RefCell<HashMap<Region, Tag<'ctx>>>,
}

impl<'ctx> Ir<'ctx> {
    /// An empty module called `name`, for the target that `options` names.
    pub fn new(context: &'ctx Context, name: &str, options: &Options) -> Self {
        let module = context.create_module(name);
        if !options.triple.is_empty() {
            module.set_triple(&inkwell::targets::TargetTriple::create(&options.triple));
        }
        let builder = context.create_builder();
        let reference = module.get_context();
        Self {
            types: Types::new(reference),
            attributes: Attributes::new(reference),
            kinds: Kinds::new(reference),
            intrinsics: RefCell::default(),
            tags: RefCell::default(),
            options: options.clone(),
            module,
            builder,
        }
    }

    /// The context that owns all types.
    pub fn context(&self) -> ContextRef<'ctx> {
        self.module.get_context()
    }

    /// The module.
    pub fn module(&self) -> &Module<'ctx> {
        &self.module
    }

    /// LLVM's own builder, for what this layer has no verb for.
    pub fn builder(&self) -> &Builder<'ctx> {
        &self.builder
    }

    /// Ends construction.
    pub fn finish(self) -> Module<'ctx> {
        self.module
    }
}
