//! [`Lanes`]: vector instructions with the lane types spelled out, on top of LLVM's builder.
//!
//! The methods here know LLVM's vectors, not WebAssembly's operators; those are in the sibling modules, as more methods of [`Lanes`] that
//! take and give vectors of the lane type they work on. Every method can be used on any number of lanes, so that an operator may pass
//! through wider vectors: the code generator recognises, say, a multiplication in twice the width as the instruction that does
//! just that.

use inkwell::builder::Builder;
use inkwell::context::ContextRef;
use inkwell::types::{BasicType, BasicTypeEnum, VectorType};
use inkwell::values::{BasicValue, BasicValueEnum, IntValue, VectorValue};

use super::shape::{Shape, Sign};
use crate::error::Error;
use crate::ir::Ir;
use crate::ir::context::Arch;

/// A builder of vector instructions at the place where a function is being translated.
pub(super) struct Lanes<'a, 'ctx> {
    ir: &'a Ir<'ctx>,
}

/// A function that makes the instructions of an operator with one vector operand.
pub(super) type Unary<'a, 'ctx> = fn(&Lanes<'a, 'ctx>, VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error>;
/// A function that makes the instructions of an operator with two vector operands.
pub(super) type Binary<'a, 'ctx> =
    fn(&Lanes<'a, 'ctx>, VectorValue<'ctx>, VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error>;
/// A function that makes the instructions of an operator with three vector operands.
pub(super) type Ternary<'a, 'ctx> =
    fn(&Lanes<'a, 'ctx>, VectorValue<'ctx>, VectorValue<'ctx>, VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error>;
/// A function that makes the instructions of a shift, which takes an i32 amount.
pub(super) type Shift<'a, 'ctx> =
    fn(&Lanes<'a, 'ctx>, VectorValue<'ctx>, IntValue<'ctx>) -> Result<VectorValue<'ctx>, Error>;
/// A function that makes the instructions of an operator that sums up a vector in an i32.
pub(super) type Test<'a, 'ctx> = fn(&Lanes<'a, 'ctx>, VectorValue<'ctx>) -> Result<IntValue<'ctx>, Error>;

impl<'a, 'ctx> Lanes<'a, 'ctx> {
    /// A builder at the place where `ir` builds.
    pub(super) fn new(ir: &'a Ir<'ctx>) -> Self {
        Self { ir }
    }

    /// LLVM's own builder.
    pub(super) fn builder(&self) -> &'a Builder<'ctx> {
        self.ir.builder()
    }

    /// The layer below.
    pub(super) fn ir(&self) -> &'a Ir<'ctx> {
        self.ir
    }

    /// The context of all types.
    pub(super) fn context(&self) -> ContextRef<'ctx> {
        self.ir.context()
    }

    /// What the code is for: its own vector instructions are named where LLVM has no portable form, or a worse one.
    /// SSE4.1 and Advanced SIMD are the floor.
    pub(super) fn arch(&self) -> Arch {
        self.ir.options.arch
    }

    /// Whether a multiplication and an addition are one instruction.
    pub(super) fn has_fused_multiply_add(&self) -> bool {
        self.ir.options.fused_multiply_add
    }

    /// The type of `count` integers of `bits` bits.
    pub(super) fn ints(&self, bits: u32, count: u32) -> VectorType<'ctx> {
        let context = self.context();
        match bits {
            1 => context.bool_type().vec_type(count),
            8 => context.i8_type().vec_type(count),
            16 => context.i16_type().vec_type(count),
            32 => context.i32_type().vec_type(count),
            _ => context.i64_type().vec_type(count),
        }
    }

    /// The integer vector with lanes as many and as wide as those of `ty`, whatever they are.
    pub(super) fn as_ints(&self, ty: VectorType<'ctx>) -> VectorType<'ctx> {
        self.ints(lane_bits(ty), ty.get_size())
    }

    /// `ty` with lanes twice as wide.
    pub(super) fn widened(&self, ty: VectorType<'ctx>) -> VectorType<'ctx> {
        self.ints(lane_bits(ty) * 2, ty.get_size())
    }

    /// The bits of `value`, which has 128 of them, as a vector of type `ty`.
    pub(super) fn cast(&self, value: impl BasicValue<'ctx>, ty: VectorType<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        if let BasicValueEnum::VectorValue(value) = value.as_basic_value_enum()
            && let Some(bits) = self.known_bits(value)?
        {
            return self.vector_of_bits(ty, bits);
        }
        Ok(self.builder().build_bit_cast(value, ty, "")?.into_vector_value())
    }

    /// The type of a lane of `shape`.
    pub(super) fn lane_type(&self, shape: Shape) -> BasicTypeEnum<'ctx> {
        shape.ty(self).get_element_type()
    }

    /// `value` as the stack and block parameters hold vectors, whatever their lanes.
    pub(super) fn canonical(&self, value: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        self.cast(value, self.ints(64, 2))
    }

    /// A scalar of WebAssembly as a lane of `shape`: the low bits of an i32 where lanes are narrower.
    pub(super) fn narrowed(&self, scalar: BasicValueEnum<'ctx>, shape: Shape) -> Result<BasicValueEnum<'ctx>, Error> {
        Ok(match (scalar, self.lane_type(shape)) {
            (BasicValueEnum::IntValue(scalar), BasicTypeEnum::IntType(lane)) => {
                self.builder().build_int_truncate_or_bit_cast(scalar, lane, "")?.into()
            }
            _ => scalar,
        })
    }

    /// A vector with `lane` in every lane.
    pub(super) fn splat(&self, ty: VectorType<'ctx>, lane: BasicValueEnum<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let first = self.insert(ty.get_poison(), lane, 0)?;
        self.shuffle(first, ty.get_poison(), &vec![0; ty.get_size() as usize])
    }

    /// The lane at `index`, which validation has checked.
    pub(super) fn extract(&self, value: VectorValue<'ctx>, index: u8) -> Result<BasicValueEnum<'ctx>, Error> {
        Ok(self.builder().build_extract_element(value, self.index(index), "")?)
    }

    /// `value` with `lane` at `index`, which validation has checked.
    pub(super) fn insert(
        &self,
        value: VectorValue<'ctx>,
        lane: BasicValueEnum<'ctx>,
        index: u8,
    ) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_insert_element(value, lane, self.index(index), "")?)
    }

    fn index(&self, index: u8) -> IntValue<'ctx> {
        self.context().i32_type().const_int(index.into(), false)
    }

    /// The lanes of `a` followed by those of `b`, in the order in which `order` names them.
    pub(super) fn shuffle(
        &self,
        a: VectorValue<'ctx>,
        b: VectorValue<'ctx>,
        order: &[u32],
    ) -> Result<VectorValue<'ctx>, Error> {
        let i32_type = self.context().i32_type();
        let order: Vec<_> = order.iter().map(|&lane| i32_type.const_int(lane.into(), false)).collect();
        Ok(self.builder().build_shuffle_vector(a, b, VectorType::const_vector(&order), "")?)
    }

    /// The lanes of `value` that `order` names.
    pub(super) fn pick(&self, value: VectorValue<'ctx>, order: &[u32]) -> Result<VectorValue<'ctx>, Error> {
        self.shuffle(value, value.get_type().get_poison(), order)
    }

    /// All lanes of `a` followed by all lanes of `b`.
    pub(super) fn concat(&self, a: VectorValue<'ctx>, b: VectorValue<'ctx>) -> Result<VectorValue<'ctx>, Error> {
        let order: Vec<u32> = (0..2 * a.get_type().get_size()).collect();
        self.shuffle(a, b, &order)
    }

    /// Every lane as an integer of the width of `ty`'s lanes, which is greater.
    pub(super) fn extend(
        &self,
        value: VectorValue<'ctx>,
        ty: VectorType<'ctx>,
        sign: Sign,
    ) -> Result<VectorValue<'ctx>, Error> {
        Ok(match sign {
            Sign::Signed => self.builder().build_int_s_extend(value, ty, "")?,
            Sign::Unsigned => self.builder().build_int_z_extend(value, ty, "")?,
        })
    }

    /// Lane by lane, `yes` where `condition` holds and `no` elsewhere.
    pub(super) fn select(
        &self,
        condition: VectorValue<'ctx>,
        yes: VectorValue<'ctx>,
        no: VectorValue<'ctx>,
    ) -> Result<VectorValue<'ctx>, Error> {
        Ok(self.builder().build_select(condition, yes, no, "")?.into_vector_value())
    }

    /// What intrinsic function `name`, overloaded for the type of the first argument, makes of vectors.
    pub(super) fn lanewise(&self, name: &str, arguments: &[VectorValue<'ctx>]) -> Result<VectorValue<'ctx>, Error> {
        let types: Vec<_> = arguments.iter().take(1).map(|argument| argument.get_type().as_basic_type_enum()).collect();
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.into()).collect();
        Ok(self.ir.intrinsic(name, &types, &arguments)?.into_vector_value())
    }

    /// What intrinsic function `name` of the target's own, which is not overloaded, makes of vectors.
    pub(super) fn machine(&self, name: &str, arguments: &[VectorValue<'ctx>]) -> Result<VectorValue<'ctx>, Error> {
        let arguments: Vec<_> = arguments.iter().map(|&argument| argument.into()).collect();
        Ok(self.ir.intrinsic(name, &[], &arguments)?.into_vector_value())
    }
}

/// Bits in a lane of `ty`.
pub(super) fn lane_bits(ty: VectorType<'_>) -> u32 {
    match ty.get_element_type() {
        BasicTypeEnum::IntType(lane) => lane.get_bit_width(),
        BasicTypeEnum::FloatType(lane) => lane.get_bit_width(),
        other => unreachable!("{other:?} is no type of lanes"),
    }
}
