//! [`DebugInfo`]: which operator an instruction belongs to, told to LLVM as line numbers.
//!
//! The line of an instruction is the offset of its operator in the module's bytes; 0, where no operator can be, means none. The file and
//! the names of functions are of no use to anyone but keep LLVM's verifier content.

use inkwell::debug_info::{
    AsDIScope, DICompileUnit, DIFlags, DIFlagsConstants, DIScope, DISubprogram, DISubroutineType, DWARFEmissionKind,
    DWARFSourceLanguage, DebugInfoBuilder,
};
use inkwell::module::FlagBehavior;
use inkwell::values::FunctionValue;

use wasmo_abi::trap::TrapCode;

use super::context::Ir;

/// The debug information of one LLVM module.
#[derive(Debug)]
pub struct DebugInfo<'ctx> {
    builder: DebugInfoBuilder<'ctx>,
    unit: DICompileUnit<'ctx>,
    subroutine: DISubroutineType<'ctx>,
}

impl<'ctx> DebugInfo<'ctx> {
    /// Debug information for `ir`'s module.
    pub fn new(ir: &Ir<'ctx>) -> Self {
        let module = ir.module();
        for (key, value) in
            [("Debug Info Version", inkwell::debug_info::debug_metadata_version()), ("Dwarf Version", 5)]
        {
            module.add_basic_value_flag(key, FlagBehavior::Warning, ir.i32(value));
        }
        let (builder, unit) = module.create_debug_info_builder(
            false,
            DWARFSourceLanguage::C,
            "wasm",
            "",
            "wasmo",
            true,
            "",
            0,
            "",
            // What makes object files (`shim/emitter.cpp`) reads the locations itself.
            DWARFEmissionKind::None,
            0,
            false,
            false,
            "",
            "",
        );
        let subroutine = builder.create_subroutine_type(unit.get_file(), None, &[], DIFlags::ZERO);
        Self { builder, unit, subroutine }
    }

    /// Makes `function`, whose body begins at `offset` in the module's bytes, a scope.
    pub fn describe(&self, function: FunctionValue<'ctx>, name: &str, offset: u32) -> DISubprogram<'ctx> {
        let subprogram = self.builder.create_function(
            self.unit.as_debug_info_scope(),
            name,
            None,
            self.unit.get_file(),
            offset,
            self.subroutine,
            false,
            true,
            offset,
            DIFlags::ZERO,
            true,
        );
        function.set_subprogram(subprogram);
        subprogram
    }

    /// From now on, instructions belong to the operator at `offset` of the function that is `scope`.
    pub fn set_location(&self, ir: &Ir<'ctx>, scope: DIScope<'ctx>, offset: u32) {
        let location = self.builder.create_debug_location(ir.context(), offset, 0, scope, None);
        ir.builder().set_current_debug_location(location);
    }

    /// From now on, instructions belong to the operator at `offset`, and traps of lift-off code have the reason `code` (`shim/emitter.cpp`).
    pub fn set_trap_location(&self, ir: &Ir<'ctx>, scope: DIScope<'ctx>, offset: u32, code: TrapCode) {
        let column = 1 + code as u32;
        let location = self.builder.create_debug_location(ir.context(), offset, column, scope, None);
        ir.builder().set_current_debug_location(location);
    }

    /// To be called when all functions are complete.
    pub fn finish(&self) {
        self.builder.finalize();
    }
}
