//! The module `spectest` that scripts import from (interpreter/README.md of the specification, "Scripts").

use std::sync::Arc;

use anyhow::Result;
use wasmo::{
    Caller, Func, FuncType, Global, GlobalType, HeapType, Linker, Memory, MemoryType, Mutability, Ref, RefType, Store,
    Table, TableType, Val, ValType,
};

/// Takes each line that a script's modules print.
pub(crate) type Printer = Arc<dyn Fn(&str) + Send + Sync>;

const MODULE: &str = "spectest";

/// Defines every item of `spectest`.
pub(crate) fn define(store: &mut Store<()>, linker: &mut Linker<()>, print: &Printer) -> Result<()> {
    let engine = store.engine().clone();
    let printers: [(&str, &[ValType]); 7] = [
        ("print", &[]),
        ("print_i32", &[ValType::I32]),
        ("print_i64", &[ValType::I64]),
        ("print_f32", &[ValType::F32]),
        ("print_f64", &[ValType::F64]),
        ("print_i32_f32", &[ValType::I32, ValType::F32]),
        ("print_f64_f64", &[ValType::F64, ValType::F64]),
    ];
    for (name, params) in printers {
        let print = Arc::clone(print);
        let ty = FuncType::new(&engine, params.iter().cloned(), []);
        let func = Func::new(&mut *store, ty, move |_: Caller<'_, ()>, params: &[Val], _: &mut [Val]| {
            print(&params.iter().map(printed).collect::<Vec<_>>().join(" "));
            Ok(())
        });
        linker.define(&mut *store, MODULE, name, func)?;
    }

    let globals = [
        ("global_i32", ValType::I32, Val::I32(666)),
        ("global_i64", ValType::I64, Val::I64(666)),
        ("global_f32", ValType::F32, Val::F32(666.6_f32.to_bits())),
        ("global_f64", ValType::F64, Val::F64(666.6_f64.to_bits())),
    ];
    for (name, ty, value) in globals {
        let global = Global::new(&mut *store, GlobalType::new(ty, Mutability::Const), value)?;
        linker.define(&mut *store, MODULE, name, global)?;
    }

    let table = Table::new(&mut *store, TableType::new(RefType::FUNCREF, 10, Some(20)), Ref::null(&HeapType::Func))?;
    linker.define(&mut *store, MODULE, "table", table)?;
    let memory = Memory::new(&mut *store, MemoryType::new(1, Some(2)))?;
    linker.define(&mut *store, MODULE, "memory", memory)?;
    Ok(())
}

/// As the reference interpreter prints values: the number, and its type.
fn printed(value: &Val) -> String {
    match value {
        Val::I32(value) => format!("{value} : i32"),
        Val::I64(value) => format!("{value} : i64"),
        Val::F32(bits) => format!("{} : f32", f32::from_bits(*bits)),
        Val::F64(bits) => format!("{} : f64", f64::from_bits(*bits)),
        other => format!("{other:?}"),
    }
}
