//! Runs a module on wasmi.

use crate::observation::{Observation, Outcome, Step, Trap, Type, Value, argument, hash};
use wasmi::{Config, Engine, Error, Extern, Instance, Linker, Module, Nullable, Store, TrapCode, Val, ValType};

/// What is seen of `wasm` on wasmi. An error says that wasmi refuses the module.
pub fn run(wasm: &[u8]) -> Result<Observation, Error> {
    let mut config = Config::default();
    config.wasm_multi_memory(true).wasm_tail_call(true).wasm_extended_const(true);
    let engine = Engine::new(&config);
    let module = Module::new(&engine, wasm)?;
    let mut store = Store::new(&engine, ());
    let mut observation = Observation::default();
    let instance = match Linker::new(&engine).instantiate_and_start(&mut store, &module) {
        Ok(instance) => instance,
        Err(error) => {
            let outcome = failure(&error);
            observation.0.push(Step { export: String::new(), outcome, globals: Vec::new(), memories: Vec::new() });
            return Ok(observation);
        }
    };
    observation.0.push(look(&store, instance, String::new(), Outcome::Returned(Vec::new())));
    let mut funcs: Vec<_> =
        instance.exports(&store).filter_map(|export| Some((export.name().to_owned(), export.into_func()?))).collect();
    funcs.sort_by(|a, b| a.0.cmp(&b.0));
    for (call, (name, func)) in funcs.into_iter().enumerate() {
        let ty = func.ty(&store);
        let params: Vec<Val> = ty
            .params()
            .iter()
            .enumerate()
            .map(|(position, &ty)| to_val(ty, argument(type_of(ty), call, position)))
            .collect();
        let mut results: Vec<Val> = ty.results().iter().map(|&ty| Val::default_for_ty(ty)).collect();
        let outcome = match func.call(&mut store, &params, &mut results) {
            Ok(()) => Outcome::Returned(results.iter().map(value).collect()),
            Err(error) => failure(&error),
        };
        observation.0.push(look(&store, instance, name, outcome));
    }
    Ok(observation)
}

fn look(store: &Store<()>, instance: Instance, export: String, outcome: Outcome) -> Step {
    let (mut globals, mut memories) = (Vec::new(), Vec::new());
    let mut exports: Vec<_> = instance.exports(store).collect();
    exports.sort_by(|a, b| a.name().cmp(b.name()));
    for export in exports {
        match export.into_extern() {
            Extern::Global(global) => globals.push(value(&global.get(store))),
            Extern::Memory(memory) => memories.push((memory.data_size(store), hash(memory.data(store)))),
            _ => {}
        }
    }
    Step { export, outcome, globals, memories }
}

fn type_of(ty: ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::FuncRef | ValType::ExternRef => Type::Ref,
    }
}

fn to_val(ty: ValType, value: Value) -> Val {
    match value {
        Value::I32(value) => Val::I32(value),
        Value::I64(value) => Val::I64(value),
        Value::F32(bits) => Val::F32(wasmi::F32::from_bits(bits)),
        Value::F64(bits) => Val::F64(wasmi::F64::from_bits(bits)),
        Value::V128(bits) => Val::V128(bits.into()),
        Value::Ref { .. } => Val::default_for_ty(ty),
    }
}

fn value(val: &Val) -> Value {
    match val {
        Val::I32(value) => Value::I32(*value),
        Val::I64(value) => Value::I64(*value),
        Val::F32(value) => Value::F32(value.to_bits()),
        Val::F64(value) => Value::F64(value.to_bits()),
        Val::V128(value) => Value::V128(value.as_u128()),
        Val::FuncRef(func) => Value::Ref { null: matches!(func, Nullable::Null) },
        Val::ExternRef(object) => Value::Ref { null: matches!(object, Nullable::Null) },
    }
}

fn failure(error: &Error) -> Outcome {
    let Some(code) = error.as_trap_code() else {
        let text = error.to_string();
        // An element segment that does not fit is an error of wasmi's own and a trap in the specification.
        let trap = text.starts_with("out of bounds table access").then_some(Outcome::Trapped(Trap::TableOutOfBounds));
        return trap.unwrap_or(Outcome::Failed(text));
    };
    Outcome::Trapped(match code {
        TrapCode::UnreachableCodeReached => Trap::Unreachable,
        TrapCode::MemoryOutOfBounds => Trap::MemoryOutOfBounds,
        TrapCode::TableOutOfBounds => Trap::TableOutOfBounds,
        TrapCode::IndirectCallToNull => Trap::IndirectCallToNull,
        TrapCode::BadSignature => Trap::IndirectCallTypeMismatch,
        TrapCode::IntegerDivisionByZero => Trap::IntegerDivideByZero,
        TrapCode::IntegerOverflow => Trap::IntegerOverflow,
        TrapCode::BadConversionToInteger => Trap::InvalidConversionToInteger,
        TrapCode::StackOverflow => Trap::StackOverflow,
        _ => Trap::Other,
    })
}
