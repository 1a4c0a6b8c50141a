//! [`Module`]: what is known of a module, and its live code.
//!
//! It is made once and shared by all its instances. While it exists, the code registry leads from addresses of its code
//! to it.

use crate::code::{self, AddedUnit, Owner};
use crate::memory::{Images, MemoryImage, in_memory};
use crate::pool::Idle;
use crate::tier::Tiers;
use crate::trap::unwind::UnwindRules;
use crate::type_registry::TypeRegistry;
use std::any::Any;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
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
    /// Code that was added since.
    pub(crate) added: Mutex<Vec<Arc<AddedUnit>>>,
    /// What goes before the code does.
    attached: Mutex<Vec<Box<dyn Any + Send + Sync>>>,
    /// See [`Module::set_neighbour`].
    neighbour: OnceLock<Arc<Module>>,
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

    /// Adds code to a module in tiers, and makes it the newest code of `functions`: positions among the defined functions, and addresses. `owner` frees it when dropped.
    pub fn publish(self: &Arc<Self>, code: CodeUnit, functions: &[(usize, usize)], owner: Arc<dyn Any + Send + Sync>) {
        let unit = AddedUnit { code, unwind_rules: UnwindRules::default(), _owner: Owner { _code: owner } };
        let unit = Arc::new(unit);
        // The code can be explained before it can be called.
        code::register_added(self, &unit);
        self.added.lock().unwrap_or_else(PoisonError::into_inner).push(unit);
        for &(position, address) in functions {
            if let Some(tiers) = &self.tiers {
                tiers.entries.set_code(position, address);
            }
        }
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
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        let units = self.code.units.iter().chain(added.iter().map(|unit| &unit.code));
        units.map(|unit| unit.start..unit.start + unit.size).collect()
    }

    /// The number of bytes of machine code at the moment.
    pub fn code_size(&self) -> usize {
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        self.code.code_size() + added.iter().map(|unit| unit.code.size).sum::<usize>()
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
