//! The operators (core specification, 4.3 and 4.4): which of the generator's methods each of them is, and arithmetic.

use super::function::Generator;
use super::masm::{
    Alu, Compare, Division, Float, FloatBinary, FloatCompare, FloatUnary, Gpr, Load, Masm, Shift, Source, Store,
    ToFloat, ToInt, Unary, Width,
};
use super::operands::{Place, Type};
use crate::error::Error;
use wasmo_abi::builtin::Builtin;
use wasmo_abi::index::{FuncIndex, GlobalIndex, MemoryIndex, TableIndex, TypeIndex};
use wasmo_abi::trap::TrapCode;
use wasmparser::Operator::{self, *};

/// Writes the code of an operator that control can reach; answers whether there is code for it.
pub(super) fn generate<M: Masm>(g: &mut Generator<'_, M>, operator: &Operator<'_>) -> Result<bool, Error> {
    // Only these make something of the flags as they are.
    if !matches!(operator, BrIf { .. } | If { .. } | Select | TypedSelect { .. } | I32Eqz) {
        g.settle_flags()?;
    }
    if let Some(done) = control(g, operator)? {
        return Ok(done);
    }
    Ok(values(g, operator)? || access(g, operator)? || integer(g, operator)? || float(g, operator)?)
}

/// Control and calls; `None` for all others.
fn control<M: Masm>(g: &mut Generator<'_, M>, operator: &Operator<'_>) -> Result<Option<bool>, Error> {
    let done = match operator {
        Nop => true,
        Block { blockty } => g.begin_block(*blockty)?,
        Loop { blockty } => g.begin_loop(*blockty)?,
        If { blockty } => g.begin_if(*blockty)?,
        Else => g.begin_else().map(|()| true)?,
        End => g.end().map(|()| true)?,
        Br { relative_depth } => g.branch(*relative_depth).map(|()| true)?,
        BrIf { relative_depth } => g.branch_if(*relative_depth).map(|()| true)?,
        BrTable { targets } => g.branch_table(targets).map(|()| true)?,
        Return => g.return_values().map(|()| true)?,
        Unreachable => {
            let trap = g.trap_label(TrapCode::Unreachable);
            g.masm.jump(trap);
            g.leave()?;
            true
        }
        Call { function_index } => g.call(FuncIndex(*function_index))?,
        CallIndirect { type_index, table_index } => {
            g.call_indirect(TypeIndex(*type_index), TableIndex(*table_index))?
        }
        ReturnCall { function_index } => g.tail_call(FuncIndex(*function_index))?,
        ReturnCallIndirect { type_index, table_index } => {
            g.tail_call_indirect(TypeIndex(*type_index), TableIndex(*table_index))?
        }
        _ => return Ok(None),
    };
    Ok(Some(done))
}

/// Variables, constants, and operators on values of any type.
fn values<M: Masm>(g: &mut Generator<'_, M>, operator: &Operator<'_>) -> Result<bool, Error> {
    match *operator {
        LocalGet { local_index } => {
            let ty = g.locals.get(local_index as usize).copied();
            let ty = ty.ok_or_else(|| Error::internal("a local variable is missing"))?;
            g.push(ty, Place::Local(local_index));
        }
        LocalSet { local_index } => g.set_local(local_index, false)?,
        LocalTee { local_index } => g.set_local(local_index, true)?,
        I32Const { value } => g.push(Type::I32, Place::Const(u64::from(value.cast_unsigned()))),
        I64Const { value } => g.push(Type::I64, Place::Const(value.cast_unsigned())),
        F32Const { value } => g.push(Type::F32, Place::Const(u64::from(value.bits()))),
        F64Const { value } => g.push(Type::F64, Place::Const(value.bits())),
        RefNull { .. } => g.push(Type::I64, Place::Const(0)),
        RefFunc { function_index } => g.ref_func(FuncIndex(function_index))?,
        RefIsNull => is_zero(g, Width::W64)?,
        Drop => {
            let popped = g.pop()?;
            g.release_place(popped.operand.place);
        }
        Select | TypedSelect { .. } => return select(g),
        _ => return Ok(false),
    }
    Ok(true)
}

fn select<M: Masm>(g: &mut Generator<'_, M>) -> Result<bool, Error> {
    let condition = g.pop()?;
    let condition = match condition.operand.place {
        Place::Flags(cond) => Ok(cond),
        _ => Err(g.read_gpr(condition)?),
    };
    let ty = g.top()?.ty;
    let settle = |g: &mut Generator<'_, M>| match condition {
        Ok(cond) => cond,
        Err(reg) => {
            g.masm.test(Width::W32, reg);
            g.release(reg);
            M::cond(Compare::Ne)
        }
    };
    if ty.float().is_some() {
        let (no, yes) = (g.pop_read_fpr()?, g.pop_fpr()?);
        let cond = settle(g);
        let done = g.masm.new_label();
        g.masm.jump_if(cond, done);
        g.masm.fmov(yes, no);
        g.masm.bind(done);
        g.release_fpr(no);
        g.push_fpr(ty, yes);
    } else {
        let (no, yes) = (g.pop_read_gpr()?, g.pop_gpr()?);
        let cond = settle(g);
        g.masm.mov_if(M::invert(cond), yes, no);
        g.release(no);
        g.push_gpr(ty, yes);
    }
    Ok(true)
}

/// Memories, tables and globals.
fn access<M: Masm>(g: &mut Generator<'_, M>, operator: &Operator<'_>) -> Result<bool, Error> {
    use Type::{I32, I64};
    use Width::{W32, W64};
    match operator {
        I32Load { memarg } => g.load(Load::Whole(W32), I32, memarg)?,
        I64Load { memarg } => g.load(Load::Whole(W64), I64, memarg)?,
        F32Load { memarg } => g.load_float(Float::F32, memarg)?,
        F64Load { memarg } => g.load_float(Float::F64, memarg)?,
        I32Load8S { memarg } => g.load(Load::Signed8(W32), I32, memarg)?,
        I32Load8U { memarg } => g.load(Load::Unsigned8, I32, memarg)?,
        I32Load16S { memarg } => g.load(Load::Signed16(W32), I32, memarg)?,
        I32Load16U { memarg } => g.load(Load::Unsigned16, I32, memarg)?,
        I64Load8S { memarg } => g.load(Load::Signed8(W64), I64, memarg)?,
        I64Load8U { memarg } => g.load(Load::Unsigned8, I64, memarg)?,
        I64Load16S { memarg } => g.load(Load::Signed16(W64), I64, memarg)?,
        I64Load16U { memarg } => g.load(Load::Unsigned16, I64, memarg)?,
        I64Load32S { memarg } => g.load(Load::Signed32, I64, memarg)?,
        I64Load32U { memarg } => g.load(Load::Whole(W32), I64, memarg)?,
        I32Store { memarg } | I64Store32 { memarg } => g.store(Store::Word, memarg)?,
        I64Store { memarg } => g.store(Store::Double, memarg)?,
        F32Store { memarg } => g.store_float(Float::F32, memarg)?,
        F64Store { memarg } => g.store_float(Float::F64, memarg)?,
        I32Store8 { memarg } | I64Store8 { memarg } => g.store(Store::Byte, memarg)?,
        I32Store16 { memarg } | I64Store16 { memarg } => g.store(Store::Half, memarg)?,
        MemorySize { mem } => g.memory_size(MemoryIndex(*mem))?,
        MemoryGrow { mem } => g.helper(Builtin::MemoryGrow, &[*mem], 1, true)?,
        MemoryCopy { dst_mem, src_mem } => g.memory_copy(MemoryIndex(*dst_mem), MemoryIndex(*src_mem))?,
        MemoryFill { mem } => g.memory_fill(MemoryIndex(*mem))?,
        MemoryInit { data_index, mem } => g.helper(Builtin::MemoryInit, &[*mem, *data_index], 3, false)?,
        DataDrop { data_index } => g.helper(Builtin::DataDrop, &[*data_index], 0, false)?,
        TableGet { table } => g.table_get(TableIndex(*table))?,
        TableSet { table } => g.table_set(TableIndex(*table))?,
        TableSize { table } => g.table_size(TableIndex(*table))?,
        TableGrow { table } => g.helper(Builtin::TableGrow, &[*table], 2, true)?,
        TableInit { elem_index, table } => g.helper(Builtin::TableInit, &[*table, *elem_index], 3, false)?,
        TableCopy { dst_table, src_table } => g.helper(Builtin::TableCopy, &[*dst_table, *src_table], 3, false)?,
        TableFill { table } => g.helper(Builtin::TableFill, &[*table], 3, false)?,
        ElemDrop { elem_index } => g.helper(Builtin::ElemDrop, &[*elem_index], 0, false)?,
        GlobalGet { global_index } => return g.global_get(GlobalIndex(*global_index)),
        GlobalSet { global_index } => return g.global_set(GlobalIndex(*global_index)),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Integer arithmetic and comparisons.
fn integer<M: Masm>(g: &mut Generator<'_, M>, operator: &Operator<'_>) -> Result<bool, Error> {
    use Width::{W32, W64};
    match operator {
        I32Add => alu(g, Alu::Add, W32)?,
        I64Add => alu(g, Alu::Add, W64)?,
        I32Sub => alu(g, Alu::Sub, W32)?,
        I64Sub => alu(g, Alu::Sub, W64)?,
        I32And => alu(g, Alu::And, W32)?,
        I64And => alu(g, Alu::And, W64)?,
        I32Or => alu(g, Alu::Or, W32)?,
        I64Or => alu(g, Alu::Or, W64)?,
        I32Xor => alu(g, Alu::Xor, W32)?,
        I64Xor => alu(g, Alu::Xor, W64)?,
        I32Mul => multiply(g, W32)?,
        I64Mul => multiply(g, W64)?,
        I32Shl => shift(g, Shift::Left, W32)?,
        I64Shl => shift(g, Shift::Left, W64)?,
        I32ShrS => shift(g, Shift::RightSigned, W32)?,
        I64ShrS => shift(g, Shift::RightSigned, W64)?,
        I32ShrU => shift(g, Shift::RightUnsigned, W32)?,
        I64ShrU => shift(g, Shift::RightUnsigned, W64)?,
        I32Rotl => shift(g, Shift::RotateLeft, W32)?,
        I64Rotl => shift(g, Shift::RotateLeft, W64)?,
        I32Rotr => shift(g, Shift::RotateRight, W32)?,
        I64Rotr => shift(g, Shift::RotateRight, W64)?,
        I32DivS => divide(g, Division { signed: true, remainder: false }, W32)?,
        I64DivS => divide(g, Division { signed: true, remainder: false }, W64)?,
        I32DivU => divide(g, Division { signed: false, remainder: false }, W32)?,
        I64DivU => divide(g, Division { signed: false, remainder: false }, W64)?,
        I32RemS => divide(g, Division { signed: true, remainder: true }, W32)?,
        I64RemS => divide(g, Division { signed: true, remainder: true }, W64)?,
        I32RemU => divide(g, Division { signed: false, remainder: true }, W32)?,
        I64RemU => divide(g, Division { signed: false, remainder: true }, W64)?,
        I32Clz => unary(g, Unary::Clz, W32)?,
        I64Clz => unary(g, Unary::Clz, W64)?,
        I32Ctz => unary(g, Unary::Ctz, W32)?,
        I64Ctz => unary(g, Unary::Ctz, W64)?,
        I32Popcnt => unary(g, Unary::Popcnt, W32)?,
        I64Popcnt => unary(g, Unary::Popcnt, W64)?,
        I32Extend8S => unary(g, Unary::Extend8, W32)?,
        I64Extend8S => unary(g, Unary::Extend8, W64)?,
        I32Extend16S => unary(g, Unary::Extend16, W32)?,
        I64Extend16S => unary(g, Unary::Extend16, W64)?,
        I64Extend32S => unary(g, Unary::Extend32, W64)?,
        I32Eqz => return equals_zero(g),
        I64Eqz => is_zero(g, W64)?,
        I32WrapI64 => {
            let (dst, src) = in_and_out(g)?;
            g.masm.mov(W32, dst, src);
            g.push_gpr(W32, dst);
        }
        I64ExtendI32U => {
            // Registers have it extended already.
            let reg = g.pop_gpr()?;
            g.push_gpr(W64, reg);
        }
        I64ExtendI32S => {
            let (dst, src) = in_and_out(g)?;
            g.masm.unary(Unary::Extend32, W64, dst, src);
            g.push_gpr(W64, dst);
        }
        _ => return compare(g, operator),
    }
    Ok(true)
}

fn compare<M: Masm>(g: &mut Generator<'_, M>, operator: &Operator<'_>) -> Result<bool, Error> {
    let (width, compare) = match operator {
        I32Eq => (Width::W32, Compare::Eq),
        I64Eq => (Width::W64, Compare::Eq),
        I32Ne => (Width::W32, Compare::Ne),
        I64Ne => (Width::W64, Compare::Ne),
        I32LtS => (Width::W32, Compare::LtS),
        I64LtS => (Width::W64, Compare::LtS),
        I32LtU => (Width::W32, Compare::LtU),
        I64LtU => (Width::W64, Compare::LtU),
        I32GtS => (Width::W32, Compare::GtS),
        I64GtS => (Width::W64, Compare::GtS),
        I32GtU => (Width::W32, Compare::GtU),
        I64GtU => (Width::W64, Compare::GtU),
        I32LeS => (Width::W32, Compare::LeS),
        I64LeS => (Width::W64, Compare::LeS),
        I32LeU => (Width::W32, Compare::LeU),
        I64LeU => (Width::W64, Compare::LeU),
        I32GeS => (Width::W32, Compare::GeS),
        I64GeS => (Width::W64, Compare::GeS),
        I32GeU => (Width::W32, Compare::GeU),
        I64GeU => (Width::W64, Compare::GeU),
        _ => return Ok(false),
    };
    let b = g.pop_source()?;
    let a = g.pop_read_gpr()?;
    g.masm.compare(width, a, b);
    g.release(a);
    g.release_source(b);
    g.push(Type::I32, Place::Flags(M::cond(compare)));
    Ok(true)
}

/// `i32.eqz`, of a comparison the contrary.
fn equals_zero<M: Masm>(g: &mut Generator<'_, M>) -> Result<bool, Error> {
    if let Place::Flags(cond) = g.top()?.place {
        g.pop()?;
        g.push(Type::I32, Place::Flags(M::invert(cond)));
    } else {
        is_zero(g, Width::W32)?;
    }
    Ok(true)
}

fn is_zero<M: Masm>(g: &mut Generator<'_, M>, width: Width) -> Result<(), Error> {
    let reg = g.pop_read_gpr()?;
    g.masm.test(width, reg);
    g.release(reg);
    g.push(Type::I32, Place::Flags(M::cond(Compare::Eq)));
    Ok(())
}

/// The operands of an operation whose result is where its first operand was; either may be the first if they `commute`.
fn operands<M: Masm>(g: &mut Generator<'_, M>, commute: bool) -> Result<(Gpr, Source), Error> {
    let b = g.pop_source()?;
    match (b, g.top()?.place) {
        (Source::Gpr(b), Place::Local(_) | Place::Slot | Place::Const(_)) if commute && g.is_free_to_change(b) => {
            Ok((b, g.pop_source()?))
        }
        _ => Ok((g.pop_gpr()?, b)),
    }
}

fn alu<M: Masm>(g: &mut Generator<'_, M>, op: Alu, width: Width) -> Result<(), Error> {
    let (dst, src) = operands(g, op != Alu::Sub)?;
    g.masm.alu(op, width, dst, src);
    g.release_source(src);
    g.push_gpr(width, dst);
    Ok(())
}

fn multiply<M: Masm>(g: &mut Generator<'_, M>, width: Width) -> Result<(), Error> {
    let (dst, src) = operands(g, true)?;
    g.masm.multiply(width, dst, src);
    g.release_source(src);
    g.push_gpr(width, dst);
    Ok(())
}

fn shift<M: Masm>(g: &mut Generator<'_, M>, op: Shift, width: Width) -> Result<(), Error> {
    let amount = g.pop()?;
    if let Place::Const(bits) = amount.operand.place {
        let dst = g.pop_gpr()?;
        let mask = if width == Width::W32 { 31 } else { 63 };
        #[allow(clippy::cast_possible_truncation, reason = "it is below 64")]
        g.masm.shift_imm(op, width, dst, (bits & mask) as u8);
        g.push_gpr(width, dst);
        return Ok(());
    }
    let amount = match M::SHIFT_AMOUNT {
        None => g.read_gpr(amount)?,
        Some(reg) if amount.operand.place == Place::Gpr(reg) => reg,
        Some(reg) => {
            g.take_this(reg)?;
            g.load_gpr(reg, amount);
            g.release_place(amount.operand.place);
            reg
        }
    };
    let dst = g.pop_gpr()?;
    g.masm.shift(op, width, dst, amount);
    g.release(amount);
    g.push_gpr(width, dst);
    Ok(())
}

fn unary<M: Masm>(g: &mut Generator<'_, M>, op: Unary, width: Width) -> Result<(), Error> {
    let (dst, src) = in_and_out(g)?;
    g.masm.unary(op, width, dst, src);
    g.push_gpr(width, dst);
    Ok(())
}

/// Pops an integer; answers a register for the result, which may be the same, and the one in which the integer is.
fn in_and_out<M: Masm>(g: &mut Generator<'_, M>) -> Result<(Gpr, Gpr), Error> {
    let src = g.pop_read_gpr()?;
    if g.is_free_to_change(src) {
        return Ok((src, src));
    }
    let dst = g.take_gpr()?;
    g.release(src);
    Ok((dst, src))
}

fn divide<M: Masm>(g: &mut Generator<'_, M>, op: Division, width: Width) -> Result<(), Error> {
    let constant = match g.top()?.place {
        Place::Const(bits) => Some(if width == Width::W32 { bits & u64::from(u32::MAX) } else { bits }),
        _ => None,
    };
    if let Some((first, second)) = M::DIVISION {
        g.take_this(first)?;
        g.take_this(second)?;
    }
    let divisor = g.pop_read_gpr()?;
    let dividend = match M::DIVISION {
        Some((first, _)) => {
            let popped = g.pop()?;
            g.load_gpr(first, popped);
            g.release_place(popped.operand.place);
            first
        }
        None => g.pop_gpr()?,
    };
    if constant.is_none_or(|constant| constant == 0) {
        let trap = g.trap_label(TrapCode::IntegerDivideByZero);
        g.masm.test(width, divisor);
        g.masm.jump_if(M::cond(Compare::Eq), trap);
    }
    let minus_one = if width == Width::W32 { u64::from(u32::MAX) } else { u64::MAX };
    let done = g.masm.new_label();
    let result = match M::DIVISION {
        Some((first, second)) => {
            if op.remainder {
                second
            } else {
                first
            }
        }
        None => dividend,
    };
    if op.signed && constant.is_none_or(|constant| constant == minus_one) {
        // By −1, the remainder is 0; and the quotient of the least number does not fit.
        let go_on = g.masm.new_label();
        g.masm.compare(width, divisor, Source::Imm(-1));
        g.masm.jump_if(M::cond(Compare::Ne), go_on);
        if op.remainder {
            g.masm.mov_imm(result, 0);
            g.masm.jump(done);
        } else {
            let least = if width == Width::W32 { 1 << 31 } else { 1 << 63 };
            g.masm.mov_imm(M::SCRATCH, least);
            g.masm.compare(width, dividend, Source::Gpr(M::SCRATCH));
            let trap = g.trap_label(TrapCode::IntegerOverflow);
            g.masm.jump_if(M::cond(Compare::Eq), trap);
        }
        g.masm.bind(go_on);
    }
    g.masm.divide(op, width, dividend, divisor);
    g.masm.bind(done);
    g.release(divisor);
    if let Some((first, second)) = M::DIVISION {
        g.release(if result == first { second } else { first });
    }
    g.push_gpr(width, result);
    Ok(())
}

/// Floating-point arithmetic, comparisons and conversions.
fn float<M: Masm>(g: &mut Generator<'_, M>, operator: &Operator<'_>) -> Result<bool, Error> {
    use Float::{F32, F64};
    match operator {
        F32Add => float_binary(g, FloatBinary::Add, F32)?,
        F64Add => float_binary(g, FloatBinary::Add, F64)?,
        F32Sub => float_binary(g, FloatBinary::Sub, F32)?,
        F64Sub => float_binary(g, FloatBinary::Sub, F64)?,
        F32Mul => float_binary(g, FloatBinary::Mul, F32)?,
        F64Mul => float_binary(g, FloatBinary::Mul, F64)?,
        F32Div => float_binary(g, FloatBinary::Div, F32)?,
        F64Div => float_binary(g, FloatBinary::Div, F64)?,
        F32Min => float_binary(g, FloatBinary::Min, F32)?,
        F64Min => float_binary(g, FloatBinary::Min, F64)?,
        F32Max => float_binary(g, FloatBinary::Max, F32)?,
        F64Max => float_binary(g, FloatBinary::Max, F64)?,
        F32Copysign => float_binary(g, FloatBinary::Copysign, F32)?,
        F64Copysign => float_binary(g, FloatBinary::Copysign, F64)?,
        F32Abs => float_unary(g, FloatUnary::Abs, F32)?,
        F64Abs => float_unary(g, FloatUnary::Abs, F64)?,
        F32Neg => float_unary(g, FloatUnary::Neg, F32)?,
        F64Neg => float_unary(g, FloatUnary::Neg, F64)?,
        F32Sqrt => float_unary(g, FloatUnary::Sqrt, F32)?,
        F64Sqrt => float_unary(g, FloatUnary::Sqrt, F64)?,
        F32Ceil => float_unary(g, FloatUnary::Ceil, F32)?,
        F64Ceil => float_unary(g, FloatUnary::Ceil, F64)?,
        F32Floor => float_unary(g, FloatUnary::Floor, F32)?,
        F64Floor => float_unary(g, FloatUnary::Floor, F64)?,
        F32Trunc => float_unary(g, FloatUnary::Trunc, F32)?,
        F64Trunc => float_unary(g, FloatUnary::Trunc, F64)?,
        F32Nearest => float_unary(g, FloatUnary::Nearest, F32)?,
        F64Nearest => float_unary(g, FloatUnary::Nearest, F64)?,
        F32Eq => float_compare(g, FloatCompare::Eq, F32)?,
        F64Eq => float_compare(g, FloatCompare::Eq, F64)?,
        F32Ne => float_compare(g, FloatCompare::Ne, F32)?,
        F64Ne => float_compare(g, FloatCompare::Ne, F64)?,
        F32Lt => float_compare(g, FloatCompare::Lt, F32)?,
        F64Lt => float_compare(g, FloatCompare::Lt, F64)?,
        F32Gt => float_compare(g, FloatCompare::Gt, F32)?,
        F64Gt => float_compare(g, FloatCompare::Gt, F64)?,
        F32Le => float_compare(g, FloatCompare::Le, F32)?,
        F64Le => float_compare(g, FloatCompare::Le, F64)?,
        F32Ge => float_compare(g, FloatCompare::Ge, F32)?,
        F64Ge => float_compare(g, FloatCompare::Ge, F64)?,
        _ => return convert(g, operator),
    }
    Ok(true)
}

fn float_binary<M: Masm>(g: &mut Generator<'_, M>, op: FloatBinary, ty: Float) -> Result<(), Error> {
    let (b, a) = (g.pop_read_fpr()?, g.pop_fpr()?);
    g.masm.fbinary(op, ty, a, b);
    g.release_fpr(b);
    g.push_fpr(ty, a);
    Ok(())
}

fn float_unary<M: Masm>(g: &mut Generator<'_, M>, op: FloatUnary, ty: Float) -> Result<(), Error> {
    let reg = g.pop_fpr()?;
    g.masm.funary(op, ty, reg, reg);
    g.push_fpr(ty, reg);
    Ok(())
}

fn float_compare<M: Masm>(g: &mut Generator<'_, M>, op: FloatCompare, ty: Float) -> Result<(), Error> {
    let (b, a) = (g.pop_read_fpr()?, g.pop_read_fpr()?);
    let dst = g.take_gpr()?;
    let cond = g.masm.fcompare(op, ty, a, b, dst);
    g.release_fpr(a);
    g.release_fpr(b);
    match cond {
        Some(cond) => {
            g.release(dst);
            g.push(Type::I32, Place::Flags(cond));
        }
        None => g.push_gpr(Type::I32, dst),
    }
    Ok(())
}

fn convert<M: Masm>(g: &mut Generator<'_, M>, operator: &Operator<'_>) -> Result<bool, Error> {
    use Float::{F32, F64};
    use Width::{W32, W64};
    match operator {
        F32ConvertI32S => to_float(g, ToFloat { from: W32, signed: true, to: F32 })?,
        F32ConvertI32U => to_float(g, ToFloat { from: W32, signed: false, to: F32 })?,
        F32ConvertI64S => to_float(g, ToFloat { from: W64, signed: true, to: F32 })?,
        F32ConvertI64U => to_float(g, ToFloat { from: W64, signed: false, to: F32 })?,
        F64ConvertI32S => to_float(g, ToFloat { from: W32, signed: true, to: F64 })?,
        F64ConvertI32U => to_float(g, ToFloat { from: W32, signed: false, to: F64 })?,
        F64ConvertI64S => to_float(g, ToFloat { from: W64, signed: true, to: F64 })?,
        F64ConvertI64U => to_float(g, ToFloat { from: W64, signed: false, to: F64 })?,
        I32TruncF32S => to_int(g, ToInt { from: F32, to: W32, signed: true }, false)?,
        I32TruncF32U => to_int(g, ToInt { from: F32, to: W32, signed: false }, false)?,
        I32TruncF64S => to_int(g, ToInt { from: F64, to: W32, signed: true }, false)?,
        I32TruncF64U => to_int(g, ToInt { from: F64, to: W32, signed: false }, false)?,
        I64TruncF32S => to_int(g, ToInt { from: F32, to: W64, signed: true }, false)?,
        I64TruncF32U => to_int(g, ToInt { from: F32, to: W64, signed: false }, false)?,
        I64TruncF64S => to_int(g, ToInt { from: F64, to: W64, signed: true }, false)?,
        I64TruncF64U => to_int(g, ToInt { from: F64, to: W64, signed: false }, false)?,
        I32TruncSatF32S => to_int(g, ToInt { from: F32, to: W32, signed: true }, true)?,
        I32TruncSatF32U => to_int(g, ToInt { from: F32, to: W32, signed: false }, true)?,
        I32TruncSatF64S => to_int(g, ToInt { from: F64, to: W32, signed: true }, true)?,
        I32TruncSatF64U => to_int(g, ToInt { from: F64, to: W32, signed: false }, true)?,
        I64TruncSatF32S => to_int(g, ToInt { from: F32, to: W64, signed: true }, true)?,
        I64TruncSatF32U => to_int(g, ToInt { from: F32, to: W64, signed: false }, true)?,
        I64TruncSatF64S => to_int(g, ToInt { from: F64, to: W64, signed: true }, true)?,
        I64TruncSatF64U => to_int(g, ToInt { from: F64, to: W64, signed: false }, true)?,
        F64PromoteF32 | F32DemoteF64 => {
            let to = if matches!(operator, F64PromoteF32) { F64 } else { F32 };
            let reg = g.pop_fpr()?;
            g.masm.convert_float(to, reg, reg);
            g.push_fpr(to, reg);
        }
        I32ReinterpretF32 | I64ReinterpretF64 => {
            let ty = if matches!(operator, I32ReinterpretF32) { F32 } else { F64 };
            let src = g.pop_read_fpr()?;
            let dst = g.take_gpr()?;
            g.masm.fpr_to_gpr(ty, dst, src);
            g.release_fpr(src);
            g.push_gpr(if ty == F32 { W32 } else { W64 }, dst);
        }
        F32ReinterpretI32 | F64ReinterpretI64 => {
            let ty = if matches!(operator, F32ReinterpretI32) { F32 } else { F64 };
            let src = g.pop_read_gpr()?;
            let dst = g.take_fpr()?;
            g.masm.gpr_to_fpr(ty, dst, src);
            g.release(src);
            g.push_fpr(ty, dst);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn to_float<M: Masm>(g: &mut Generator<'_, M>, op: ToFloat) -> Result<(), Error> {
    let src = g.pop_gpr()?;
    let dst = g.take_fpr()?;
    g.masm.to_float(op, dst, src);
    g.release(src);
    g.push_fpr(op.to, dst);
    Ok(())
}

fn to_int<M: Masm>(g: &mut Generator<'_, M>, op: ToInt, saturating: bool) -> Result<(), Error> {
    let src = g.pop_fpr()?;
    let dst = g.take_gpr()?;
    if saturating {
        g.masm.to_int_saturating(op, dst, src);
    } else {
        let invalid = g.trap_label(TrapCode::InvalidConversionToInteger);
        let overflow = g.trap_label(TrapCode::IntegerOverflow);
        g.masm.to_int(op, dst, src, invalid, overflow);
    }
    g.release_fpr(src);
    g.push_gpr(op.to, dst);
    Ok(())
}
