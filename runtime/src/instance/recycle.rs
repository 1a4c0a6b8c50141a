//! Instances as good as new: when a store goes, an instance that is like every other of its module is brought back to how it was made and kept by the
//! module ([`Instance::recycle`]); another store then takes it as it is ([`Store::revive`]).
//!
//! What stays in place: the context, with type numbers, function records and the addresses of memories and tables; memories with their images, tables with
//! their elements, unless somebody may have written to them. What is brought back: the content of memories, of tables that may have changed, of globals,
//! and which segments are dropped. What depends on the store is set when the next one takes the instance: the execution context, the host's functions, and numbers.
//!
//! Only instances of modules that import nothing but functions, all of the host, are kept. Their addresses, too, are the instance's own
//! ([`Instance::host_funcs`]), so whatever refers to them refers to the next store's. Functions that are called directly and those that are called through a
//! thunk are called by different code, which tables and records have copies of: an instance is not taken for other kinds than it had
//! ([`Instance::calls_alike`]).

use super::Instance;
use super::const_expr::evaluate;
use super::segment::SegmentError;
use crate::error::Error;
use crate::module::Module;
use crate::store::{Import, InstanceId, Store};
use std::ptr::NonNull;
use std::sync::Arc;
use wasmo_abi::index::{EntityIndex, GlobalIndex};
use wasmo_abi::layout::Place;
use wasmo_abi::module::{DataKind, ElemKind, EntityRef, ModuleInfo};
use wasmo_abi::vm::VmGlobal;

/// How an instance was made.
#[derive(Debug)]
pub(super) struct Initial {
    /// The content of the globals that it defines.
    globals: Box<[VmGlobal]>,
}

/// An instance cannot be brought back.
pub(super) struct Beyond;

impl From<std::io::Error> for Beyond {
    fn from(_: std::io::Error) -> Self {
        Self
    }
}

impl From<Error> for Beyond {
    fn from(_: Error) -> Self {
        Self
    }
}

impl From<SegmentError> for Beyond {
    fn from(_: SegmentError) -> Self {
        Self
    }
}

impl Instance {
    /// Where the globals lie that the instance defines, and how many there are.
    fn own_globals(&self, module: &Module) -> (NonNull<VmGlobal>, usize) {
        let first = GlobalIndex::from_position(module.info.imported_globals);
        let count = module.info.globals.len() - module.info.imported_globals;
        let offset = match module.layout.global(first) {
            Place::Inline(offset) if count > 0 => offset,
            _ => return (NonNull::dangling(), 0),
        };
        // SAFETY: the layout has the records of all defined globals in a row, beginning there.
        (unsafe { self.context.part(offset) }, count)
    }

    /// Takes the instance as it is, complete and not run yet, for what it is to be brought back to.
    pub(super) fn settle(&mut self) {
        let module = Arc::clone(self.module());
        let (place, count) = self.own_globals(&module);
        // SAFETY: as `own_globals` says; no code runs.
        let globals = unsafe { std::slice::from_raw_parts(place.as_ptr(), count) }.into();
        for mut memory in self.own_memories.iter() {
            // SAFETY: memories live as long as their instance; nobody else uses them here.
            unsafe { memory.as_mut() }.settle();
        }
        for mut table in self.own_tables.iter() {
            // SAFETY: as above.
            unsafe { table.as_mut() }.settle();
        }
        self.initial = Some(Initial { globals });
    }

    /// Brings the instance, whose store is going, back to how it was made, and lets its module keep it; or drops it. `tables_written`: generated
    /// code may have written to any table.
    pub(crate) fn recycle(mut self: Box<Self>, tables_written: bool) {
        let Some(module) = self.module.take() else { return };
        // What the module keeps goes with it, and then there is no use in it.
        if self.initial.is_none() || Arc::strong_count(&module) == 1 {
            return;
        }
        self.module = Some(module);
        if self.bring_back(tables_written).is_err() {
            return;
        }
        let Some(module) = self.module.take() else { return };
        let pool = Arc::clone(self.share.pool());
        module.idle.push(self, &pool);
    }

    fn bring_back(&mut self, tables_written: bool) -> Result<(), Beyond> {
        let module = Arc::clone(self.module());
        if let Some(initial) = &self.initial {
            let (place, count) = self.own_globals(&module);
            // SAFETY: as `own_globals` says; there were as many when the content was taken.
            unsafe {
                place.as_ptr().copy_from_nonoverlapping(initial.globals.as_ptr(), count.min(initial.globals.len()))
            };
        }
        self.bring_back_tables(&module, tables_written)?;
        self.bring_back_memories(&module)?;
        self.data.forget_guest();
        self.elems.forget_guest();
        self.late_func_refs.get_mut().clear();
        Ok(())
    }

    fn bring_back_tables(&mut self, module: &Module, written: bool) -> Result<(), Beyond> {
        let info = &module.info;
        let mut changed = written;
        for table in self.own_tables.iter() {
            // SAFETY: tables live as long as their instance; nobody else uses them here, likewise below.
            changed |= unsafe { table.as_ref() }.is_written();
        }
        if !changed {
            return Ok(());
        }
        for (mut table, init) in self.own_tables.iter().zip(&info.table_inits) {
            let init = evaluate(self, init)?.as_u64();
            // SAFETY: as above; the validator compared the type of the value.
            unsafe { table.as_mut().refill(init) }.ok_or(Beyond)?;
        }
        for (elem, segment) in info.elems.iter() {
            if let ElemKind::Active { table, offset } = &segment.kind {
                let start = u64::from(evaluate(self, offset)?.as_u32());
                let mut table = self.own_tables.get(table.0);
                // SAFETY: as above.
                self.write_elems(unsafe { table.as_mut() }, elem, start, 0..segment.len())?;
            }
        }
        for mut table in self.own_tables.iter() {
            // SAFETY: as above.
            unsafe { table.as_mut() }.settle();
        }
        Ok(())
    }

    fn bring_back_memories(&mut self, module: &Module) -> Result<(), Beyond> {
        let images = module.images();
        for (position, mut memory) in self.own_memories.iter().enumerate() {
            // SAFETY: memories live as long as their instance; nobody else uses them here.
            let memory = unsafe { memory.as_mut() };
            if memory.reset()? {
                continue;
            }
            if let Some(image) = images.get(position) {
                // The image came back with the reset, unless it could not be mapped.
                memory.restore(image)?;
            } else {
                for (data, segment) in module.info.data.iter() {
                    if let DataKind::Active { memory: index, offset } = &segment.kind
                        && index.position() == position
                    {
                        let start = u64::from(evaluate(self, offset)?.as_u32());
                        self.write_data(memory, data, start)?;
                    }
                }
            }
            memory.settle();
        }
        Ok(())
    }
}

impl Instance {
    /// Whether the instance, which was brought back, calls `imports` by the code by which it called the functions before, so that whatever holds that code is
    /// right for them.
    pub(super) fn calls_alike(&self, info: &ModuleInfo, imports: &[Import]) -> bool {
        info.imports.iter().zip(imports).all(|(import, given)| match (import.entity, given.host()) {
            (EntityRef::Func(func), Some(host)) => self
                .host_funcs
                .get(func.position())
                .is_some_and(|record| record.direct.is_null() == host.direct_exit().is_none()),
            _ => false,
        })
    }
}

impl Store {
    /// Takes over an instance that was brought back and [calls its imports alike](Instance::calls_alike).
    pub(super) fn revive(
        &mut self,
        mut instance: Box<Instance>,
        module: &Arc<Module>,
        imports: &[Import],
    ) -> Result<InstanceId, Error> {
        let info = &module.info;
        for &ty in info.memories.values() {
            if let Err(error) = self.ask_for_memory(ty) {
                return Self::refuse(instance, module, error);
            }
        }
        for &ty in info.tables.values() {
            if let Err(error) = self.ask_for_table(ty) {
                return Self::refuse(instance, module, error);
            }
        }
        self.exec_ref().users.enter(module);
        instance.module = Some(Arc::clone(module));
        instance.store = NonNull::from(&mut *self);
        instance.id = InstanceId(crate::arena::number(self.shell.instances.len()));
        // SAFETY: the context begins with its head.
        unsafe { (*instance.context.head().as_ptr()).exec = self.exec() };
        for (import, given) in info.imports.iter().zip(imports) {
            if let (EntityRef::Func(func), Some(host)) = (import.entity, given.host()) {
                let context = instance.context();
                if let Some(record) = instance.host_funcs.get_mut(func.position()) {
                    *record = host.record(self.exec(), context);
                }
            }
        }
        let parts = &mut *instance;
        for (number, memory) in parts.memories.iter_mut().zip(parts.own_memories.iter()) {
            *number = self.link_memory(memory, None);
        }
        for (number, table) in parts.tables.iter_mut().zip(parts.own_tables.iter()) {
            *number = self.link_table(table, None);
        }
        for (index, &ty) in info.globals.iter() {
            let number = self.add_global(instance.global_place(index), ty, None);
            instance.globals[index.position()] = number;
        }
        Ok(InstanceId(self.shell.instances.adopt(instance).1))
    }

    fn refuse(instance: Box<Instance>, module: &Module, error: Error) -> Result<InstanceId, Error> {
        let pool = Arc::clone(instance.share.pool());
        module.idle.push(instance, &pool);
        Err(error)
    }
}
