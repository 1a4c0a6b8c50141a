//! Runs a module on wasmo.

use crate::compare::Mode;
use crate::observation::{Observation, Outcome, Step, Trap, Type, Value, argument, hash};
use anyhow::{Context, Result};
use std::time::Duration;
use wasmo::{
    Config, Engine, Error, Extern, Func, HeapType, Instance, Module, Profile, Ref, Store, Tier, Tuning, V128, Val,
    ValType,
};

/// What is seen of `wasm` on wasmo. An error says that wasmo refuses the module.
pub fn run(wasm: &[u8], mode: Mode) -> Result<Observation> {
    let mut config = Config::new();
    config.strict_traps(mode == Mode::Strict);
    if mode == Mode::Tiers {
        let tuning = Tuning {
            budget: 0,
            budget_while_waiting: 0,
            lasting_asks: 0,
            sample_period: Duration::ZERO,
            soon_asks: 20,
            synchronous: true,
            ahead: false,
            ..Tuning::default()
        };
        config.tier(Tier::Auto).tuning(tuning);
    }
    if mode == Mode::LiftOff {
        config.tier(Tier::LiftOff);
    }
    let engine = Engine::new(&config)?;
    if mode != Mode::Profiled {
        return observe(&engine, &Module::from_binary(&engine, wasm)?);
    }
    let counting = Engine::new(config.collect_profile(true))?;
    let module = Module::from_binary(&counting, wasm)?;
    observe(&counting, &module)?;
    let profile = module.profile().context("the module does not count")?;
    observe(&engine, &Module::new_with_profile(&engine, wasm, &Profile::from_bytes(&profile.to_bytes())?)?)
}

/// Calls all exported functions.
fn observe(engine: &Engine, module: &Module) -> Result<Observation> {
    let mut store = Store::new(engine, ());
    let mut observation = Observation::default();
    let instance = match Instance::new(&mut store, module, &[]) {
        Ok(instance) => instance,
        Err(error) => {
            let outcome = failure(&error);
            observation.0.push(Step { export: String::new(), outcome, globals: Vec::new(), memories: Vec::new() });
            return Ok(observation);
        }
    };
    observation.0.push(look(&mut store, instance, String::new(), Outcome::Returned(Vec::new())));
    let mut funcs: Vec<(String, Func)> = instance
        .exports(&mut store)
        .filter_map(|export| Some((export.name().to_owned(), export.into_func()?)))
        .collect();
    funcs.sort_by(|a, b| a.0.cmp(&b.0));
    for (call, (name, func)) in funcs.into_iter().enumerate() {
        let ty = func.ty(&store);
        let params: Vec<Val> =
            ty.params().enumerate().map(|(position, ty)| to_val(&ty, argument(type_of(&ty), call, position))).collect();
        let mut results = vec![Val::I32(0); ty.results().len()];
        let outcome = match func.call(&mut store, &params, &mut results) {
            Ok(()) => Outcome::Returned(results.iter().map(value).collect()),
            Err(error) => failure(&error),
        };
        observation.0.push(look(&mut store, instance, name, outcome));
    }
    Ok(observation)
}

fn look(store: &mut Store<()>, instance: Instance, export: String, outcome: Outcome) -> Step {
    let (mut globals, mut memories) = (Vec::new(), Vec::new());
    let mut exports: Vec<(String, Extern)> =
        instance.exports(&mut *store).map(|export| (export.name().to_owned(), export.into_extern())).collect();
    exports.sort_by(|a, b| a.0.cmp(&b.0));
    for (_, export) in exports {
        match export {
            Extern::Global(global) => globals.push(value(&global.get(&mut *store))),
            Extern::Memory(memory) => memories.push((memory.data_size(&*store), hash(memory.data(&*store)))),
            _ => {}
        }
    }
    Step { export, outcome, globals, memories }
}

fn type_of(ty: &ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::Ref(_) => Type::Ref,
    }
}

fn to_val(ty: &ValType, value: Value) -> Val {
    match value {
        Value::I32(value) => Val::I32(value),
        Value::I64(value) => Val::I64(value),
        Value::F32(bits) => Val::F32(bits),
        Value::F64(bits) => Val::F64(bits),
        Value::V128(bits) => Val::V128(V128::from(bits)),
        Value::Ref { .. } => match ty {
            ValType::Ref(ty) if matches!(ty.heap_type(), HeapType::Extern) => Val::from(Ref::Extern(None)),
            _ => Val::from(Ref::Func(None)),
        },
    }
}

fn value(val: &Val) -> Value {
    match val {
        Val::I32(value) => Value::I32(*value),
        Val::I64(value) => Value::I64(*value),
        Val::F32(bits) => Value::F32(*bits),
        Val::F64(bits) => Value::F64(*bits),
        Val::V128(value) => Value::V128(value.as_u128()),
        Val::FuncRef(func) => Value::Ref { null: func.is_none() },
        Val::ExternRef(object) => Value::Ref { null: object.is_none() },
    }
}

fn failure(error: &Error) -> Outcome {
    let Some(trap) = error.downcast_ref::<wasmo::Trap>() else { return Outcome::Failed(format!("{error:#}")) };
    Outcome::Trapped(match trap {
        wasmo::Trap::UnreachableCodeReached => Trap::Unreachable,
        wasmo::Trap::MemoryOutOfBounds => Trap::MemoryOutOfBounds,
        // wasmi has one name for both.
        wasmo::Trap::TableOutOfBounds | wasmo::Trap::UndefinedElement => Trap::TableOutOfBounds,
        wasmo::Trap::IndirectCallToNull => Trap::IndirectCallToNull,
        wasmo::Trap::BadSignature => Trap::IndirectCallTypeMismatch,
        wasmo::Trap::IntegerDivisionByZero => Trap::IntegerDivideByZero,
        wasmo::Trap::IntegerOverflow => Trap::IntegerOverflow,
        wasmo::Trap::BadConversionToInteger => Trap::InvalidConversionToInteger,
        wasmo::Trap::StackOverflow => Trap::StackOverflow,
        _ => Trap::Other,
    })
}
