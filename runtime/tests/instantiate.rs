//! Instantiation: imports, initial values, segments, limits. No code runs.

mod support;

use std::sync::Arc;
use support::{Guest, func, trap};
use wasmo_abi::index::{ElemIndex, FuncIndex, GlobalIndex, MemoryIndex, TableIndex, TypeIndex};
use wasmo_abi::module::{
    ConstOp, DataKind, DataSegment, ElemItems, ElemKind, ElemSegment, EntityRef, Export, Import, ModuleInfo,
};
use wasmo_abi::trap::TrapCode;
use wasmo_abi::types::{FuncType, GlobalType, Limits, MemoryType, RefType, TableType, ValType};
use wasmo_abi::vm::{RawValue, VmContext, VmFuncImport, VmFuncRef, VmHostFunc, VmTable};
use wasmo_runtime::{Error, Extern, Failure, InstantiateError, Module, Store, StoreHooks, TypeRegistry};

const IMMUTABLE_I32: GlobalType = GlobalType { content: ValType::I32, mutable: false };

fn import(name: &str, entity: EntityRef) -> Import {
    Import { module: "env".into(), name: name.into(), entity }
}

fn at(offset: i32) -> Box<[ConstOp]> {
    Box::new([ConstOp::I32Const(offset)])
}

fn table_type(element: RefType, min: u64) -> TableType {
    TableType { element, limits: Limits { min, max: None } }
}

/// The guest's description with a table of 4 functions and nothing else.
fn with_table() -> ModuleInfo {
    ModuleInfo {
        tables: [table_type(RefType::Func, 4)].into_iter().collect(),
        table_inits: vec![Box::new([ConstOp::RefNull(RefType::Func)])],
        ..support::info()
    }
}

/// An active segment with the functions at `funcs` of the module's list.
fn active_elems(table: u32, offset: i32, funcs: std::ops::Range<usize>) -> ElemSegment {
    ElemSegment {
        kind: ElemKind::Active { table: TableIndex(table), offset: at(offset) },
        element: RefType::Func,
        items: ElemItems::Funcs(funcs),
    }
}

fn active_data(memory: u32, offset: i32, bytes: std::ops::Range<usize>) -> DataSegment {
    DataSegment { kind: DataKind::Active { memory: MemoryIndex(memory), offset: at(offset) }, bytes }
}

struct Fixture {
    types: TypeRegistry,
    store: Box<Store>,
    host: Extern,
}

fn fixture() -> Fixture {
    let types = TypeRegistry::new();
    let mut store = Store::new(&support::options()).unwrap();
    let ty = types.register(&FuncType::default());
    let host = Extern::Func(store.new_host_func(ty, support::nothing, std::ptr::null_mut(), 0));
    Fixture { types, store, host }
}

fn read(store: &Store, memory: wasmo_runtime::MemoryId, start: usize, len: usize) -> Vec<u8> {
    assert!(start + len <= store.memory_len(memory));
    // SAFETY: the range is within the memory, and no guest runs.
    unsafe { std::slice::from_raw_parts(store.memory_base(memory).add(start), len) }.to_vec()
}

#[test]
fn the_context_holds_what_code_will_look_for() {
    let mut fixture = fixture();
    let store = &mut fixture.store;
    let memory = store.new_memory(MemoryType { limits: Limits { min: 2, max: None } }).unwrap();
    let table = store.new_table(table_type(RefType::Extern, 3), 7).unwrap();
    let global = store.new_global(IMMUTABLE_I32, RawValue::from_u32(5));
    let mut info = ModuleInfo {
        imported_memories: 1,
        tables: [table_type(RefType::Extern, 1)].into_iter().collect(),
        imported_tables: 1,
        globals: [IMMUTABLE_I32].into_iter().collect(),
        imported_globals: 1,
        ..support::info()
    };
    info.imports.extend([
        import("memory", EntityRef::Memory(MemoryIndex(0))),
        import("table", EntityRef::Table(TableIndex(0))),
        import("global", EntityRef::Global(GlobalIndex(0))),
    ]);
    let module = support::module(&fixture.types, info, b"");
    let imports = [fixture.host, Extern::Memory(memory), Extern::Table(table), Extern::Global(global)].map(Into::into);
    let instance = store.instantiate(&module, &imports).unwrap();
    let instance = store.instance(instance);
    let context = instance.context();
    let layout = &module.layout;
    // SAFETY: the layout says what lies where.
    unsafe {
        assert_eq!((*context).exec, store.exec());
        assert_eq!(Store::of_exec((*context).exec).cast_const(), &raw const **store);
        let base = context.cast::<u8>();
        assert_eq!(*base.add(layout.type_id(TypeIndex(0))).cast::<u32>(), module.type_ids[0]);
        assert_eq!(*base.add(layout.memory(MemoryIndex(0))).cast::<*mut u8>(), store.memory_base(memory));
        let wasmo_abi::layout::Place::Pointer(offset) = layout.table(TableIndex(0)) else { panic!("imported") };
        assert_eq!((**base.add(offset).cast::<*mut VmTable>()).len, 3);
        // The host function has a record of its own for this importer.
        let import = base.add(layout.func_import(FuncIndex(0))).cast::<VmFuncImport>();
        assert_eq!((*import).code as usize, module.code.thunks(TypeIndex(0)).unwrap().exit);
        assert_eq!((*(*import).context.cast::<VmHostFunc>()).caller, context);
    }
    assert_eq!(instance.entity(EntityRef::Memory(MemoryIndex(0))), Some(Extern::Memory(memory)));
    assert_eq!(instance.entity(EntityRef::Table(TableIndex(0))), Some(Extern::Table(table)));
    assert_eq!(instance.entity(EntityRef::Global(GlobalIndex(0))), Some(Extern::Global(global)));
    assert_eq!(instance.entity(EntityRef::Global(GlobalIndex(1))), None);
}

#[test]
fn constant_expressions_are_computed() {
    let mut fixture = fixture();
    let cases: Vec<(ValType, Vec<ConstOp>, u128)> = vec![
        (ValType::I32, vec![ConstOp::I32Const(-2)], 0xffff_fffe),
        (ValType::I64, vec![ConstOp::I64Const(-2)], 0xffff_ffff_ffff_fffe),
        (ValType::F32, vec![ConstOp::F32Const(0x7fc0_0001)], 0x7fc0_0001),
        (ValType::F64, vec![ConstOp::F64Const(1 << 63)], 1 << 63),
        (ValType::V128, vec![ConstOp::V128Const(3 << 100)], 3 << 100),
        (ValType::I32, vec![ConstOp::I32Const(5), ConstOp::I32Const(7), ConstOp::I32Sub], 0xffff_fffe),
        (ValType::I32, vec![ConstOp::I32Const(i32::MAX), ConstOp::I32Const(1), ConstOp::I32Add], 0x8000_0000),
        (ValType::I32, vec![ConstOp::I32Const(1 << 20), ConstOp::I32Const(1 << 20), ConstOp::I32Mul], 0),
        (ValType::I64, vec![ConstOp::I64Const(5), ConstOp::I64Const(7), ConstOp::I64Sub], 0xffff_ffff_ffff_fffe),
        (ValType::I64, vec![ConstOp::I64Const(-1), ConstOp::I64Const(2), ConstOp::I64Add], 1),
        (
            ValType::I64,
            vec![ConstOp::I64Const(3), ConstOp::GlobalGet(GlobalIndex(1)), ConstOp::I64Mul],
            0xffff_ffff_ffff_fffa,
        ),
        (ValType::EXTERNREF, vec![ConstOp::RefNull(RefType::Extern)], 0),
    ];
    let info = ModuleInfo {
        globals: cases.iter().map(|case| GlobalType { content: case.0, mutable: true }).collect(),
        global_inits: cases.iter().map(|case| case.1.clone().into_boxed_slice()).collect(),
        ..support::info()
    };
    let module = support::module(&fixture.types, info, b"");
    let instance = fixture.store.instantiate(&module, &[fixture.host.into()]).unwrap();
    for (position, case) in cases.iter().enumerate() {
        let global = fixture.store.instance(instance).global(GlobalIndex(u32::try_from(position).unwrap()));
        assert_eq!(fixture.store.global_get(global).as_u128(), case.2, "{case:?}");
    }
}

#[test]
fn an_ill_typed_expression_is_an_internal_error() {
    let mut fixture = fixture();
    let info = ModuleInfo {
        globals: [IMMUTABLE_I32].into_iter().collect(),
        global_inits: vec![Box::new([ConstOp::I32Add])],
        ..support::info()
    };
    let module = support::module(&fixture.types, info, b"");
    let outcome = fixture.store.instantiate(&module, &[fixture.host.into()]);
    assert!(matches!(outcome, Err(InstantiateError::Error(Error::Internal(_)))), "{outcome:?}");
}

#[test]
fn tables_hold_copies_of_function_records() {
    let mut fixture = fixture();
    let info = ModuleInfo {
        elems: [active_elems(0, 1, 1..3)].into_iter().collect(),
        elem_funcs: [FuncIndex(7), FuncIndex(0), FuncIndex(func::answer)].into_iter().collect(),
        ..with_table()
    };
    let module = support::module(&fixture.types, info, b"");
    let store = &mut fixture.store;
    let instance = store.instantiate(&module, &[fixture.host.into()]).unwrap();
    let table = store.instance(instance).table(TableIndex(0));
    let host = store.func(instance, FuncIndex(0)).unwrap();
    let answer = store.func(instance, FuncIndex(func::answer)).unwrap();
    let content = (0..5).map(|index| store.table_get(table, index)).collect::<Vec<_>>();
    assert_eq!(content, [Some(0), Some(host.to_raw()), Some(answer.to_raw()), Some(0), None]);
    let wasmo_abi::layout::Place::Inline(offset) = module.layout.table(TableIndex(0)) else { panic!("defined") };
    // SAFETY: the layout says that the table's record lies there; the table has 4 elements.
    unsafe {
        let record = store.instance(instance).context().cast::<u8>().add(offset).cast::<VmTable>();
        let elements = std::slice::from_raw_parts((*record).base.cast::<VmFuncRef>(), 4);
        assert_eq!(elements[0].type_id, wasmo_abi::vm::NULL_TYPE_ID);
        assert_eq!(elements[2].type_id, module.type_ids[0]);
        assert_eq!(elements[2].code as usize, module.code.entry(func::answer as usize - 1).unwrap());
        assert_eq!(elements[2].context.cast::<VmContext>(), store.instance(instance).context());
    }
    // A function imported from there into another instance is called with its own context.
    let second = store.instantiate(&module, &[Extern::Func(answer).into()]).unwrap();
    let imported = store.func(second, FuncIndex(0)).unwrap();
    let enter = store.enter_thunk(imported);
    let mut values = [RawValue::default(); 2];
    // SAFETY: the store is exclusively borrowed, the thunk is the guest's.
    unsafe { Store::call(&raw mut **store, imported, enter, values.as_mut_ptr()) }.unwrap();
    assert_eq!(values[0].as_u64(), 42);
}

#[test]
fn host_functions_without_a_thunk_trap_when_called_through_a_table() {
    let fixture = fixture();
    let Extern::Func(host) = fixture.host else { panic!("a function") };
    // SAFETY: the handle is the store's, which lives.
    let code = unsafe { (*(host.to_raw() as *const VmFuncRef)).code };
    // SAFETY: an instruction lies there.
    assert_eq!(unsafe { std::slice::from_raw_parts(code, support::TRAP.len()) }, support::TRAP);
}

#[test]
fn segments_before_one_that_does_not_fit_stay() {
    let mut fixture = fixture();
    let store = &mut fixture.store;
    let memory = store.new_memory(MemoryType { limits: Limits { min: 1, max: None } }).unwrap();
    let mut info = ModuleInfo {
        imported_memories: 1,
        data: [active_data(0, 65_532, 0..4), active_data(0, 65_533, 4..8), active_data(0, 0, 0..4)]
            .into_iter()
            .collect(),
        ..support::info()
    };
    info.imports.push(import("memory", EntityRef::Memory(MemoryIndex(0))));
    let module = support::module(&fixture.types, info, b"abcdefgh");
    let outcome = store.instantiate(&module, &[fixture.host.into(), Extern::Memory(memory).into()]);
    assert!(matches!(outcome, Err(InstantiateError::Trap(TrapCode::MemoryOutOfBounds))), "{outcome:?}");
    assert_eq!(read(store, memory, 65_530, 6), b"\0\0abcd");
    assert_eq!(read(store, memory, 0, 4), [0; 4]);

    let table = store.new_table(table_type(RefType::Func, 4), 0).unwrap();
    let mut info = ModuleInfo {
        imported_tables: 1,
        table_inits: Vec::new(),
        elems: [active_elems(0, 2, 0..2), active_elems(0, 3, 0..2)].into_iter().collect(),
        elem_funcs: [FuncIndex(1), FuncIndex(2)].into_iter().collect(),
        ..with_table()
    };
    info.imports.push(import("table", EntityRef::Table(TableIndex(0))));
    let module = support::module(&fixture.types, info, b"");
    let outcome = store.instantiate(&module, &[fixture.host.into(), Extern::Table(table).into()]);
    assert!(matches!(outcome, Err(InstantiateError::Trap(TrapCode::TableOutOfBounds))), "{outcome:?}");
    // The functions of the instance that failed can be called.
    let raw = store.table_get(table, 2).unwrap();
    // SAFETY: the value is of this store.
    let handle = unsafe { wasmo_runtime::FuncHandle::from_raw(raw) }.unwrap();
    drop(module);
    let enter = store.enter_thunk(handle);
    let mut values = [RawValue::default(); 2];
    // SAFETY: the store is exclusively borrowed, the thunk is the guest's.
    unsafe { Store::call(&raw mut **store, handle, enter, values.as_mut_ptr()) }.unwrap();
    assert_eq!(values[0].as_u64(), 42);
}

#[test]
fn active_segments_are_dropped_and_passive_ones_are_not() {
    let types = TypeRegistry::new();
    let passive = DataSegment { kind: DataKind::Passive, bytes: 2..6 };
    let info = ModuleInfo { data: [active_data(0, 8, 0..2), passive].into_iter().collect(), ..support::info() };
    let module = support::module(&types, info, b"abcdef");
    let mut guest = Guest::plain();
    guest.instance = guest.store.instantiate(&module, &[Extern::Func(guest.host).into()]).unwrap();
    let memory = guest.store.instance(guest.instance).memory(MemoryIndex(0));
    assert_eq!(read(&guest.store, memory, 6, 6), b"\0\0ab\0\0");
    // memory.init: memory, segment, to, from, count.
    guest.call(func::init, [0, 1, 20, 1, 3]).unwrap();
    assert_eq!(read(&guest.store, memory, 20, 4), b"def\0");
    assert_eq!(trap(guest.call(func::init, [0, 1, 0, 1, 4])), TrapCode::MemoryOutOfBounds);
    assert_eq!(trap(guest.call(func::init, [0, 1, 65_534, 0, 3])), TrapCode::MemoryOutOfBounds);
    assert_eq!(trap(guest.call(func::init, [0, 0, 0, 0, 1])), TrapCode::MemoryOutOfBounds);
    guest.call(func::init, [0, 0, 65_536, 0, 0]).unwrap();
    assert_eq!(trap(guest.call(func::init, [0, 0, 65_537, 0, 0])), TrapCode::MemoryOutOfBounds);
    // Artefacts leave out segments for which an image stands.
    guest.call(func::init, [0, 9, 0, 0, 0]).unwrap();
    assert_eq!(trap(guest.call(func::init, [0, 9, 0, 0, 1])), TrapCode::MemoryOutOfBounds);
}

#[test]
fn elements_may_be_expressions() {
    let mut fixture = fixture();
    let exprs: Vec<Box<[ConstOp]>> =
        vec![Box::new([ConstOp::RefFunc(FuncIndex(func::answer))]), Box::new([ConstOp::RefNull(RefType::Func)])];
    let segment = ElemSegment {
        kind: ElemKind::Active { table: TableIndex(0), offset: at(2) },
        element: RefType::Func,
        items: ElemItems::Exprs(exprs.into()),
    };
    let mut info = with_table();
    info.table_inits = vec![Box::new([ConstOp::RefFunc(FuncIndex(func::spin))])];
    info.elems = [segment].into_iter().collect();
    assert_eq!(info.elems[ElemIndex(0)].len(), 2);
    let module = support::module(&fixture.types, info, b"");
    let store = &mut fixture.store;
    let instance = store.instantiate(&module, &[fixture.host.into()]).unwrap();
    let table = store.instance(instance).table(TableIndex(0));
    let raw = |func| store.instance(instance).func(FuncIndex(func)).unwrap().to_raw();
    let content = (0..4).map(|index| store.table_get(table, index).unwrap()).collect::<Vec<_>>();
    assert_eq!(content, [raw(func::spin), raw(func::spin), raw(func::answer), 0]);
}

#[test]
fn imports_that_do_not_fit_are_refused() {
    let mut fixture = fixture();
    let module = support::module(&fixture.types, support::info(), b"");
    let global = Extern::Global(fixture.store.new_global(IMMUTABLE_I32, RawValue::default()));
    for imports in [&[][..], &[global.into()], &[fixture.host.into(), fixture.host.into()]] {
        let outcome = fixture.store.instantiate(&module, imports);
        assert!(matches!(outcome, Err(InstantiateError::Error(Error::Internal(_)))), "{outcome:?}");
    }
    // A memory of 4 GiB would make addresses wrap where code takes it that they cannot.
    let whole = fixture.store.new_memory(MemoryType { limits: Limits { min: 65_536, max: None } }).unwrap();
    let mut info = ModuleInfo { imported_memories: 1, ..support::info() };
    info.imports.push(import("memory", EntityRef::Memory(MemoryIndex(0))));
    let module = support::module(&fixture.types, info, b"");
    let outcome = fixture.store.instantiate(&module, &[fixture.host.into(), Extern::Memory(whole).into()]);
    assert!(matches!(outcome, Err(InstantiateError::Error(Error::Limit(_)))), "{outcome:?}");
}

struct Refuse;

impl StoreHooks for Refuse {
    fn memory_growing(&mut self, current: u64, desired: u64, _: Option<u64>) -> bool {
        (current, desired) != (0, 65_536)
    }
    fn table_growing(&mut self, current: u64, desired: u64, _: Option<u64>) -> bool {
        (current, desired) != (0, 4)
    }
    fn new_epoch(&mut self) -> Result<u64, Failure> {
        Ok(1)
    }
    fn out_of_fuel(&mut self) -> Result<u64, Failure> {
        Ok(1)
    }
}

#[test]
fn initial_sizes_are_asked_about() {
    let mut fixture = fixture();
    let mut refuse = Refuse;
    fixture.store.set_hooks(Some(&raw mut refuse));
    let module = support::module(&fixture.types, support::info(), b"");
    let outcome = fixture.store.instantiate(&module, &[fixture.host.into()]);
    assert!(
        matches!(&outcome, Err(InstantiateError::Error(Error::Limit(text))) if text.contains("65536")),
        "{outcome:?}"
    );
    let mut info = with_table();
    info.memories = [].into_iter().collect();
    let module = support::module(&fixture.types, info, b"");
    let outcome = fixture.store.instantiate(&module, &[fixture.host.into()]);
    assert!(matches!(&outcome, Err(InstantiateError::Error(Error::Limit(text))) if text.contains('4')), "{outcome:?}");
}

#[test]
fn functions_that_do_not_escape_have_handles_too() {
    let mut fixture = fixture();
    let mut info = support::info();
    info.funcs = info.funcs.iter().map(|func| wasmo_abi::module::Func { func_ref: None, ..func }).collect();
    info.escaping = [].into_iter().collect();
    info.exports = vec![Export { name: "memory".into(), entity: EntityRef::Memory(MemoryIndex(0)) }];
    let module: Arc<Module> = support::module(&fixture.types, info, b"");
    let store = &mut fixture.store;
    let instance = store.instantiate(&module, &[fixture.host.into()]).unwrap();
    assert_eq!(store.instance(instance).func(FuncIndex(func::answer)), None);
    let handle = store.func(instance, FuncIndex(func::answer)).unwrap();
    assert_eq!(store.func(instance, FuncIndex(func::answer)), Some(handle));
    assert_eq!(store.func(instance, FuncIndex(func::COUNT)), None);
    assert!(matches!(store.instance(instance).export("memory"), Some(Extern::Memory(_))));
    assert_eq!(store.instance(instance).export("other"), None);
    // SAFETY: the store is exclusively borrowed.
    assert_eq!(unsafe { support::call(&raw mut **store, instance, func::answer, &[0]) }.unwrap(), 42);
}
