//! [`Registry`]: what a store knows of its late modules.

use super::code::JitErrorCode;
use super::compile::Request;
use super::limits::JitLimits;
use crate::Module;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmo_runtime::{InstanceId, LateId};

/// The handles of one host instance go up to this.
const MAX_HANDLE: u32 = i32::MAX as u32;

/// What late modules use, all of a store's together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) modules: usize,
    pub(super) wasm_bytes: usize,
    pub(super) code_bytes: usize,
}

impl Usage {
    /// What of this is beyond `limits`.
    pub(super) fn beyond(&self, limits: &JitLimits) -> Option<String> {
        let each = [
            ("late modules", self.modules, limits.modules),
            ("bytes of late modules", self.wasm_bytes, limits.wasm_bytes),
            ("bytes of late modules' machine code", self.code_bytes, limits.code_bytes),
        ];
        let (what, used, limit) = each.into_iter().find(|(_, used, limit)| used > limit)?;
        Some(format!("too many {what}: {used} (the limit is {limit})"))
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            modules: self.modules.saturating_add(other.modules),
            wasm_bytes: self.wasm_bytes.saturating_add(other.wasm_bytes),
            code_bytes: self.code_bytes.saturating_add(other.code_bytes),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            modules: self.modules.saturating_sub(other.modules),
            wasm_bytes: self.wasm_bytes.saturating_sub(other.wasm_bytes),
            code_bytes: self.code_bytes.saturating_sub(other.code_bytes),
        }
    }
}

/// How far a late module has come.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// It is being compiled in the background; the limits are those of the guest that asked.
    Pending(Arc<Request>, Option<JitLimits>),
    /// It is being linked; its start function may be running. Nobody can import from it.
    Linking,
    /// It can be imported from.
    Linked(Linked),
    /// What was asked for in the background has failed, and this is why.
    Failed(JitErrorCode, String),
}

/// A late module's instance.
#[derive(Clone, Debug)]
pub(super) struct Linked {
    pub(super) instance: InstanceId,
    pub(super) late: LateId,
    pub(super) module: Module,
}

#[derive(Debug)]
struct Entry {
    state: State,
    usage: Usage,
}

/// The late modules of one host instance.
#[derive(Debug, Default)]
struct Family {
    next: u32,
    modules: HashMap<u32, Entry>,
}

/// What a store knows of its late modules.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    families: HashMap<InstanceId, Family>,
    /// The modules of the late modules' instances.
    modules: HashMap<InstanceId, Module>,
    usage: Usage,
    /// The bytes of machine code of modules in tiers, of which there may be more at any time.
    code: Arc<AtomicUsize>,
    last_error: String,
}

impl Registry {
    /// The instance of a late module that is linked.
    pub(super) fn linked(&self, host: InstanceId, handle: u32) -> Option<InstanceId> {
        match self.state(host, handle)? {
            State::Linked(linked) => Some(linked.instance),
            _ => None,
        }
    }

    /// How far a late module has come; `None` when there is none.
    pub(super) fn state(&self, host: InstanceId, handle: u32) -> Option<&State> {
        self.families.get(&host)?.modules.get(&handle).map(|entry| &entry.state)
    }

    /// The module of a late module's instance.
    pub(crate) fn module(&self, instance: InstanceId) -> Option<&Module> {
        self.modules.get(&instance)
    }

    /// Sets or takes away the module of a late module's instance.
    pub(super) fn set_module(&mut self, instance: InstanceId, module: Option<Module>) {
        match module {
            Some(module) => self.modules.insert(instance, module),
            None => self.modules.remove(&instance),
        };
    }

    /// What all late modules use.
    pub(super) fn usage(&self) -> Usage {
        let in_tiers = Usage { code_bytes: self.code.load(Ordering::Relaxed), ..Usage::default() };
        self.usage.plus(in_tiers)
    }

    /// What modules in tiers count their machine code by.
    pub(super) fn code(&self) -> &Arc<AtomicUsize> {
        &self.code
    }

    /// Takes a handle for a module; `None` when all were used.
    pub(super) fn reserve(&mut self, host: InstanceId, state: State, usage: Usage) -> Option<u32> {
        let family = self.families.entry(host).or_default();
        if family.next > MAX_HANDLE {
            return None;
        }
        let handle = family.next;
        family.next += 1;
        family.modules.insert(handle, Entry { state, usage });
        self.usage = self.usage.plus(usage);
        Some(handle)
    }

    fn entry(&mut self, host: InstanceId, handle: u32) -> Option<&mut Entry> {
        self.families.get_mut(&host)?.modules.get_mut(&handle)
    }

    /// A module has come further.
    pub(super) fn set_state(&mut self, host: InstanceId, handle: u32, state: State) {
        if let Some(entry) = self.entry(host, handle) {
            entry.state = state;
        }
    }

    /// What a module uses is known better.
    pub(super) fn set_usage(&mut self, host: InstanceId, handle: u32, usage: Usage) {
        if let Some(entry) = self.entry(host, handle) {
            let before = std::mem::replace(&mut entry.usage, usage);
            self.usage = self.usage.minus(before).plus(usage);
        }
    }

    /// Forgets a module.
    pub(super) fn forget(&mut self, host: InstanceId, handle: u32) {
        let entry = self.families.get_mut(&host).and_then(|family| family.modules.remove(&handle));
        if let Some(Entry { usage, .. }) = entry {
            self.usage = self.usage.minus(usage);
        }
    }

    /// Forgets a module that could not be added, and of whose handle nobody learnt.
    pub(super) fn withdraw(&mut self, host: InstanceId, handle: u32) {
        self.forget(host, handle);
        if let Some(family) = self.families.get_mut(&host)
            && family.next == handle + 1
        {
            family.next = handle;
        }
    }

    pub(super) fn last_error(&self) -> &str {
        &self.last_error
    }

    pub(super) fn set_last_error(&mut self, text: String) {
        self.last_error = text;
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        for entry in self.families.values().flat_map(|family| family.modules.values()) {
            if let State::Pending(request, _) = &entry.state {
                request.cancel();
            }
        }
    }
}
