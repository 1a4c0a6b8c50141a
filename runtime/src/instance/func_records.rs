//! The function records of an instance ([`VmFuncRef`]), and the elements of tables that are copies of them: a large program has thousands of either, and writing them is most
//! of what making an instance of it takes. So both are written in one pass, which reads the module's tables where they lie.

use super::Instance;
use super::segment::SegmentError;
use crate::error::Error;
use crate::module::Module;
use crate::table::Table;
use std::ops::Range;
use std::ptr::NonNull;
use wasmo_abi::index::{EntityIndex, FuncIndex, FuncRefIndex};
use wasmo_abi::vm::VmFuncRef;

impl Instance {
    /// Where the records of the functions that escape begin.
    fn func_records(&self, module: &Module) -> NonNull<VmFuncRef> {
        // SAFETY: the layout has all of them in a row, beginning with that of the first slot; where there are none, nothing is read there.
        unsafe { self.context.part(module.layout.func_ref(FuncRefIndex(0))) }
    }

    /// Writes the records of all functions that escape. What is imported was written before; nobody has any of the records yet.
    pub(super) fn fill_func_records(&self, module: &Module) {
        let (info, code) = (&module.info, &module.code);
        let (funcs, entries) = (info.funcs.rows(), code.entries.rows());
        let (first, context) = (self.func_records(module), self.context().cast());
        for (slot, func) in info.escaping.iter().enumerate() {
            // SAFETY: there is a record for each slot.
            let place = unsafe { first.add(slot) };
            let defined =
                info.defined_func(func).and_then(|position| entries.get(position)).zip(funcs.get(func.position()));
            let record = match defined {
                Some((entry, func)) => VmFuncRef {
                    type_id: module.type_id(func.ty),
                    code: (code.base + entry as usize) as *const u8,
                    context,
                    func_ref: place.as_ptr(),
                },
                None => self.func_record(func, place.as_ptr()),
            };
            // SAFETY: as above.
            unsafe { place.write(record) };
        }
    }

    /// Writes references to functions, those at `range` of [`wasmo_abi::module::ModuleInfo::elem_funcs`], to `to` in a table of functions. The instance is not that of a late
    /// module, whose imports have their records elsewhere.
    pub(super) fn write_funcs(&self, table: &mut Table, range: Range<usize>, to: u64) -> Result<(), SegmentError> {
        let module = self.module();
        let (funcs, slots) = (module.info.funcs.rows(), module.info.escaping.len());
        let missing = |func: FuncIndex| Error::Internal(format!("function {} has no record", func.0));
        let first = self.func_records(module);
        let listed = module.info.elem_funcs.iter().skip(range.start).take(range.len());
        if listed.len() < range.len() {
            return Err(SegmentError::Error(Error::Internal(
                "an element segment lists more functions than there are".into(),
            )));
        }
        let place = table.functions_at(to, range.len() as u64).map_err(SegmentError::Trap)?;
        for (position, func) in listed.enumerate() {
            let slot = funcs.get(func.position()).and_then(|func| func.func_ref).map(EntityIndex::position);
            let slot = slot.filter(|&slot| slot < slots).ok_or_else(|| SegmentError::Error(missing(func)))?;
            // SAFETY: both the record and the element exist, as was just compared.
            unsafe { place.add(position).copy_from_nonoverlapping(first.add(slot), 1) };
        }
        Ok(())
    }
}
