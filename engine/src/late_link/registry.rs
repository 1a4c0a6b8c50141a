//! [`Registry`]: what a store knows of its late modules.

use super::limits::JitLimits;
use std::collections::HashMap;
use wasmo_runtime::InstanceId;

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
}

/// A late module.
#[derive(Debug)]
struct Entry {
    /// `None` while its start function has not returned: until then nobody can import from it.
    linked: Option<InstanceId>,
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
    /// The host instances of the late modules' instances.
    hosts: HashMap<InstanceId, InstanceId>,
    usage: Usage,
    last_error: String,
}

impl Registry {
    /// The instance to which a module is added that `instance` asks for: itself, or its host if it is itself a late module's.
    pub(super) fn host_of(&self, instance: InstanceId) -> InstanceId {
        self.hosts.get(&instance).copied().unwrap_or(instance)
    }

    /// The instance of a late module that is linked.
    pub(super) fn linked(&self, host: InstanceId, handle: u32) -> Option<InstanceId> {
        self.families.get(&host)?.modules.get(&handle)?.linked
    }

    /// What all late modules use.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes a handle for a module that is about to be linked; `None` when all were used.
    pub(super) fn reserve(&mut self, host: InstanceId, usage: Usage) -> Option<u32> {
        let family = self.families.entry(host).or_default();
        if family.next > MAX_HANDLE {
            return None;
        }
        let handle = family.next;
        family.next += 1;
        family.modules.insert(handle, Entry { linked: None, usage });
        self.usage = self.usage.plus(usage);
        Some(handle)
    }

    /// Records whose instance is a late module of `host`.
    pub(super) fn adopt(&mut self, host: InstanceId, instance: InstanceId) {
        self.hosts.insert(instance, host);
    }

    /// Makes a module whose start function has returned one that others can import from.
    pub(super) fn publish(&mut self, host: InstanceId, handle: u32, instance: InstanceId) {
        if let Some(entry) = self.families.get_mut(&host).and_then(|family| family.modules.get_mut(&handle)) {
            entry.linked = Some(instance);
        }
    }

    /// Forgets a module that could not be linked.
    pub(super) fn forget(&mut self, host: InstanceId, handle: u32) {
        let entry = self.families.get_mut(&host).and_then(|family| family.modules.remove(&handle));
        if let Some(Entry { usage, .. }) = entry {
            self.usage.modules -= usage.modules;
            self.usage.wasm_bytes -= usage.wasm_bytes;
            self.usage.code_bytes -= usage.code_bytes;
        }
    }

    pub(super) fn last_error(&self) -> &str {
        &self.last_error
    }

    pub(super) fn set_last_error(&mut self, text: String) {
        self.last_error = text;
    }
}
