//! [`Module`]: what is known of a module, and its live code.
//!
//! It is made once and shared by all its instances. While it exists, the code registry leads from addresses of its code
//! to it.

use crate::code::{self, AddedUnit, Owner};
use crate::memory::{Images, MemoryImage, in_memory};
use crate::pool::Idle;
use crate::tier::{Tiers, retired};
use crate::trap::unwind::UnwindRules;
use crate::type_registry::TypeRegistry;
use std::any::Any;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use wasmo_abi::code::{CodeUnit, ModuleCode};
use wasmo_abi::index::{EntityIndex, FuncIndex, MemoryIndex, TypeIndex};
use wasmo_abi::layout::VmContextLayout;
use wasmo_abi::module::{EntityRef, ModuleInfo};
use wasmo_abi::table::Bytes;
use wasmo_abi::tier::{NO_CODE, VmEntry};
use wasmo_abi::vm::EnterThunk;

/// A module: what is known of it, and its code, ready to run.
#[derive(Debug)]
pub struct Module {
    /// What is known of it.
    pub info: ModuleInfo,
    /// Where the parts of its instances' contexts lie.
    pub layout: VmContextLayout,
    /// Engine-wide numbers of its types, in order.
    pub type_ids: Vec<u32>,
    /// Its code.
    pub code: ModuleCode,
    /// What the ranges of data segments are ranges of: the binary, or an artefact's data.
    pub bytes: Bytes,
    /// For each code unit, what was found in its call frame information so far.
    pub(crate) unwind_rules: Vec<UnwindRules>,
    /// Initial contents of memories; made at the first instantiation unless they came with the code.
    images: OnceLock<Images>,
    /// Instances that are kept for reuse.
    pub(crate) idle: Arc<Idle>,
    imports_functions_only: bool,
    /// What a module in tiers has besides.
    pub tiers: Option<Tiers>,
    /// Code that was added since, by its first address.
    pub(crate) added: Mutex<BTreeMap<usize, Added>>,
    /// What goes before the code does.
    attached: Mutex<Vec<Box<dyn Any + Send + Sync>>>,
    /// See [`Module::set_neighbour`].
    neighbour: OnceLock<Arc<Module>>,
}

/// Code that was added to a module.
#[derive(Debug)]
pub(crate) struct Added {
    unit: Arc<AddedUnit>,
    /// How many entries lead to it, and one more if it is to stay.
    leading: usize,
}

/// Code to be added to a module in tiers: see [`Module::publish`].
pub struct NewUnit<'a> {
    /// The code.
    pub code: CodeUnit,
    /// The functions that it is the newest code of: positions among the defined functions, and addresses.
    pub functions: &'a [(usize, usize)],
    /// Whether it stays until the module goes, even when all these functions have newer code: when it is known to somebody by another way than the entries.
    pub stays: bool,
    /// Frees the code when dropped.
    pub owner: Arc<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for NewUnit<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewUnit").field("functions", &self.functions).finish_non_exhaustive()
    }
}

impl Module {
    /// Puts a module together and enters its code in the registry that explains addresses; it leaves it when dropped.
    ///
    /// `code` was compiled from `info`, and `info` was parsed from `bytes`.
    pub fn new(info: ModuleInfo, code: ModuleCode, bytes: Bytes, types: &TypeRegistry) -> Arc<Self> {
        Self::make(info, code, bytes, OnceLock::new(), types, None)
    }

    /// As [`Module::new`], with images of memories that stand for all active data segments of these memories: what [`wasmo_abi::memory_image::memory_images`]
    /// says, and nothing else, may be given here. The bytes of these segments are not looked at.
    pub fn with_images(
        info: ModuleInfo,
        code: ModuleCode,
        bytes: Bytes,
        images: impl IntoIterator<Item = (MemoryIndex, MemoryImage)>,
        types: &TypeRegistry,
    ) -> Arc<Self> {
        let images = Images::new(&info, images);
        Self::make(info, code, bytes, OnceLock::from(images), types, None)
    }

    /// As [`Module::new`], for a module whose functions are compiled while it runs. `code` has its thunks; where its functions are is found here.
    pub fn in_tiers(info: ModuleInfo, code: ModuleCode, bytes: Bytes, types: &TypeRegistry, tiers: Tiers) -> Arc<Self> {
        Self::make_in_tiers(info, code, bytes, OnceLock::new(), types, tiers)
    }

    /// As [`Module::in_tiers`], with images as for [`Module::with_images`], and code for those functions that `code` has an entry for.
    pub(crate) fn resumed(
        info: ModuleInfo,
        code: ModuleCode,
        bytes: Bytes,
        images: impl IntoIterator<Item = (MemoryIndex, MemoryImage)>,
        types: &TypeRegistry,
        tiers: Tiers,
    ) -> Arc<Self> {
        let images = Images::new(&info, images);
        for (position, distance) in code.entries.iter().enumerate().filter(|&(_, distance)| distance != NO_CODE) {
            tiers.entries.set_code(position, code.base + distance as usize);
        }
        Self::make_in_tiers(info, code, bytes, OnceLock::from(images), types, tiers)
    }

    fn make_in_tiers(
        info: ModuleInfo,
        mut code: ModuleCode,
        bytes: Bytes,
        images: OnceLock<Images>,
        types: &TypeRegistry,
        tiers: Tiers,
    ) -> Arc<Self> {
        code.entries = tiers.entries.stub_offsets();
        code.base = tiers.entries.stubs();
        code.units.push(tiers.entries.code_unit());
        Self::make(info, code, bytes, images, types, Some(tiers))
    }

    fn make(
        info: ModuleInfo,
        code: ModuleCode,
        bytes: Bytes,
        images: OnceLock<Images>,
        types: &TypeRegistry,
        tiers: Option<Tiers>,
    ) -> Arc<Self> {
        let layout = VmContextLayout::new(&info);
        let type_ids = types.register_all(info.types.as_slice());
        let unwind_rules = code.units.iter().map(|_| UnwindRules::default()).collect();
        let imports_functions_only = info.imports.iter().all(|import| matches!(import.entity, EntityRef::Func(_)));
        let module = Arc::new(Self {
            info,
            layout,
            type_ids,
            code,
            bytes,
            unwind_rules,
            images,
            idle: Arc::default(),
            imports_functions_only,
            tiers,
            added: Mutex::default(),
            attached: Mutex::default(),
            neighbour: OnceLock::new(),
        });
        code::register(&module);
        module
    }

    /// The images of the module's memories.
    pub(crate) fn images(&self) -> &Images {
        self.images.get_or_init(|| in_memory(&self.info, &self.bytes))
    }

    /// Whether the module imports neither memories nor tables nor globals.
    pub(crate) fn imports_functions_only(&self) -> bool {
        self.imports_functions_only
    }

    /// Adds code to a module in tiers. Code that it replaces, as a whole, is freed when no store can come back to it ([`crate::tier::reclaim`]).
    pub fn publish(self: &Arc<Self>, new: NewUnit<'_>) {
        let Some(tiers) = &self.tiers else { return };
        let unit =
            AddedUnit { code: new.code, unwind_rules: UnwindRules::default(), _owner: Owner { _code: new.owner } };
        let (start, unit) = (unit.code.start, Arc::new(unit));
        // The code can be explained before it can be called.
        code::register_added(self, &unit);
        let mut replaced = Vec::new();
        let mut added = self.added();
        added.insert(start, Added { unit, leading: new.functions.len() + usize::from(new.stays) });
        for &(position, address) in new.functions {
            let Some(old) = tiers.entries.replace_code(position, address) else { continue };
            let Some((&start, before)) = added.range_mut(..=old).next_back() else { continue };
            let size = before.unit.code.size;
            // What it was made with, or the stub of a function without code, is not among these.
            if old - start < size {
                before.leading -= 1;
                if before.leading == 0 {
                    replaced.push(start..start + size);
                }
            }
        }
        drop(added);
        for code in replaced {
            retired::retire(self, code);
        }
    }

    /// Frees code that was added and begins at `start`. Whoever is explaining an address in it keeps it until that is done.
    ///
    /// No store may come back to it.
    pub(crate) fn free(&self, start: usize) {
        let Some(old) = self.added().remove(&start) else { return };
        code::unregister_added(start);
        if let Some(tiers) = &self.tiers {
            tiers.compiler.freed(old.unit.code.size);
        }
    }

    fn added(&self) -> MutexGuard<'_, BTreeMap<usize, Added>> {
        self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps `what` until the module goes, and drops it before code is freed.
    pub fn attach(&self, what: impl Any + Send + Sync) {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(what));
    }

    /// The entries of a module in tiers; null for others.
    pub(crate) fn entries(&self) -> *const VmEntry {
        self.tiers.as_ref().map_or(std::ptr::null(), |tiers| tiers.entries.base())
    }

    /// Where all its code is at the moment. What is added later is in no frame that is there by now.
    pub(crate) fn code_ranges(&self) -> Vec<Range<usize>> {
        let added = self.added();
        let units = self.code.units.iter().chain(added.values().map(|added| &added.unit.code));
        units.map(|unit| unit.start..unit.start + unit.size).collect()
    }

    /// The number of bytes of machine code at the moment.
    pub fn code_size(&self) -> usize {
        self.code.code_size() + self.added().values().map(|added| added.unit.code.size).sum::<usize>()
    }

    /// The engine-wide number of the type `ty`.
    pub fn type_id(&self, ty: TypeIndex) -> u32 {
        self.type_ids[ty.position()]
    }

    /// The thunk through which functions of the type with the engine-wide number `type_id` are entered, if the module
    /// has one.
    pub fn enter_thunk(&self, type_id: u32) -> Option<EnterThunk> {
        let equal = self.type_ids.iter().enumerate().filter(|&(_, &id)| id == type_id);
        let mut thunks = equal.filter_map(|(position, _)| self.code.thunks(TypeIndex::from_position(position)));
        thunks.next().map(|thunks| thunks.enter)
    }

    /// Lets code of this module contain code of `neighbour`, whose operators have the offsets that follow those of this module. There is one such module at most: that of
    /// the first call stays.
    pub fn set_neighbour(&self, neighbour: &Arc<Self>) {
        let _ = self.neighbour.set(Arc::clone(neighbour));
    }

    /// The function that has the operator at `wasm_offset`, its module, and the operator's offset in that module's bytes. Where there is none, the offset is not known either.
    pub(crate) fn operator_at(self: &Arc<Self>, wasm_offset: u32) -> Option<(Arc<Self>, FuncIndex, u32)> {
        let beyond = wasm_offset.checked_sub(u32::try_from(self.bytes.len()).ok()?);
        match (beyond, self.neighbour.get()) {
            (Some(offset), Some(neighbour)) => Some((Arc::clone(neighbour), neighbour.func_at(offset)?, offset)),
            _ => Some((Arc::clone(self), self.func_at(wasm_offset)?, wasm_offset)),
        }
    }

    /// The defined function, by its position, whose code is at `address` as others call it: in a module in tiers, whose stub.
    pub fn defined_at(&self, address: usize) -> Option<usize> {
        if let Some(tiers) = &self.tiers {
            return tiers.entries.at_stub(address);
        }
        let distance = u32::try_from(address.checked_sub(self.code.base)?).ok()?;
        self.code.entries.iter().position(|entry| entry == distance)
    }

    /// The function whose body has the operator at `wasm_offset` in the module's bytes.
    pub fn func_at(&self, wasm_offset: u32) -> Option<FuncIndex> {
        let position = self.info.bodies.partition_point(|body| body.start <= wasm_offset).checked_sub(1)?;
        (wasm_offset < self.info.bodies.get(position)?.end).then(|| self.info.func_of_defined(position))
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.attached.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
        code::unregister(self);
    }
}
