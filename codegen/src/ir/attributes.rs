//! [`Attributes`]: what functions, parameters and calls are marked with.
//!
//! Functions are never marked `mustprogress`, nor `willreturn`: a loop without end is a right of the guest. They are marked `no-builtins`, since
//! there is no C library to call: LLVM may not make a `memset` or `strlen` of a loop.

use inkwell::attributes::{Attribute, AttributeLoc};
use inkwell::context::ContextRef;
use inkwell::values::{CallSiteValue, FunctionValue};

use super::context::Ir;

/// Unwind tables are needed at every instruction, since a trap may be at any.
const UWTABLE_ASYNC: u64 = 2;

/// Attributes made once for a context.
#[derive(Debug)]
pub(super) struct Attributes {
    function: Vec<Attribute>,
    call: Vec<Attribute>,
    swift_self: Attribute,
    nomerge: Attribute,
}

fn flag(context: ContextRef<'_>, name: &str, value: u64) -> Attribute {
    context.create_enum_attribute(Attribute::get_named_enum_kind_id(name), value)
}

impl Attributes {
    pub(super) fn new(context: ContextRef<'_>) -> Self {
        let function = vec![
            flag(context, "nounwind", 0),
            flag(context, "uwtable", UWTABLE_ASYNC),
            context.create_string_attribute("probe-stack", "inline-asm"),
            // Else LLVM turns loops into calls of C's `memset`, `strlen` and the like, which generated code has no way to reach, and in which
            // a fault would be hard to trace back.
            context.create_string_attribute("no-builtins", ""),
        ];
        Self {
            function,
            call: vec![flag(context, "nounwind", 0)],
            swift_self: flag(context, "swiftself", 0),
            nomerge: flag(context, "nomerge", 0),
        }
    }
}

impl<'ctx> Ir<'ctx> {
    /// Marks a function that is defined here with what all have in common, thunks included.
    pub fn mark_function(&self, function: FunctionValue<'ctx>) {
        for &attribute in &self.attributes.function {
            function.add_attribute(AttributeLoc::Function, attribute);
        }
    }

    /// Marks a function that is hardly ever called.
    pub fn mark_cold(&self, function: FunctionValue<'ctx>) {
        for name in ["cold", "optsize"] {
            function.add_attribute(AttributeLoc::Function, flag(self.context(), name, 0));
        }
    }

    /// Marks the first parameter as the context, in the register that keeps it: `size` bytes can be read from it at any time.
    pub fn mark_context(&self, function: FunctionValue<'ctx>, size: usize) {
        let context = self.context();
        let first = AttributeLoc::Param(0);
        function.add_attribute(first, self.attributes.swift_self);
        for name in ["nonnull", "noundef"] {
            function.add_attribute(first, flag(context, name, 0));
        }
        function.add_attribute(first, flag(context, "align", wasmo_abi::layout::CONTEXT_ALIGN as u64));
        function.add_attribute(first, flag(context, "dereferenceable", size as u64));
    }

    /// Marks a call in the wasm convention.
    pub fn mark_wasm_call(&self, call: CallSiteValue<'ctx>) {
        call.add_attribute(AttributeLoc::Param(0), self.attributes.swift_self);
        self.mark_call(call);
    }

    /// Marks a call of anything but an intrinsic function.
    pub fn mark_call(&self, call: CallSiteValue<'ctx>) {
        for &attribute in &self.attributes.call {
            call.add_attribute(AttributeLoc::Function, attribute);
        }
    }

    /// Marks a call that must not be merged with others like it, since its address says where the guest was.
    pub fn mark_unmerged(&self, call: CallSiteValue<'ctx>) {
        call.add_attribute(AttributeLoc::Function, self.attributes.nomerge);
    }
}
