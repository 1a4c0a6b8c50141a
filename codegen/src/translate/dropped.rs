//! Values that nothing uses in the end.
//!
//! LLVM deletes a load whose value is not used, and what it deletes cannot trap. What the guest drops may have been computed with
//! first, so its uses are followed through instructions that have no other effect. Whether a use changes any outcome is not asked here: a loaded value
//! multiplied by zero and stored counts as used, and if LLVM finds out that it is not, the load does not trap (ARCHITECTURE.md, section 5: strict traps).

use inkwell::values::{AnyValueEnum, InstructionOpcode, InstructionValue};

/// How many uses are looked at for one value, which is taken for used when they are more.
const MAX_USES: usize = 64;

/// The instructions that compute a value and do nothing else, as far as the translator makes them of values.
#[rustfmt::skip]
const COMPUTES: &[InstructionOpcode] = {
    use InstructionOpcode::*;
    &[
        Add, Sub, Mul, And, Or, Xor, Shl, LShr, AShr, ICmp,
        FAdd, FSub, FMul, FDiv, FNeg, FCmp,
        ZExt, SExt, Trunc, BitCast, FPExt, FPTrunc, SIToFP, UIToFP, FPToSI, FPToUI,
        ExtractElement, InsertElement, ShuffleVector, Select,
    ]
};

/// Whether nothing but instructions without effect depends on what `instruction` computes.
pub(super) fn is_dropped(instruction: InstructionValue<'_>) -> bool {
    let mut left = MAX_USES;
    is_dropped_within(instruction, &mut left)
}

fn is_dropped_within(instruction: InstructionValue<'_>, left: &mut usize) -> bool {
    let mut next = instruction.get_first_use();
    while let Some(using) = next {
        if *left == 0 {
            return false;
        }
        *left -= 1;
        match computation(using.get_user()) {
            Some(user) if is_dropped_within(user, left) => next = using.get_next_use(),
            _ => return false,
        }
    }
    true
}

/// `user` as an instruction that does nothing but compute.
fn computation(user: AnyValueEnum<'_>) -> Option<InstructionValue<'_>> {
    let user = match user {
        AnyValueEnum::InstructionValue(user) => Some(user),
        AnyValueEnum::IntValue(user) => user.as_instruction(),
        AnyValueEnum::FloatValue(user) => user.as_instruction(),
        AnyValueEnum::VectorValue(user) => user.as_instruction(),
        _ => None,
    };
    user.filter(|user| COMPUTES.contains(&user.get_opcode()))
}
