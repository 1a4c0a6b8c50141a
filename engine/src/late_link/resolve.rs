//! What a late module's imports stand for.

use crate::imports::{self, ImportError};
use crate::store::StoreOpaque;
use crate::{Extern, Instance, Module, Result};
use wasmo_runtime::InstanceId;

/// The namespace of the host instance.
pub(super) const HOST: &str = "env";

/// The namespaces of other late modules begin with this; their handle follows.
const LATE: &str = "late.";

/// The handle that a namespace names, in decimal and without leading zeros.
fn late_handle(namespace: &str) -> Option<u32> {
    let digits = namespace.strip_prefix(LATE)?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits.len() == 1 || !digits.starts_with('0'));
    plain.then(|| digits.parse().ok())?
}

/// Finds the imports of `module`, in order, for a late module of `host`.
///
/// # Errors
/// An [`ImportError`] that lists all imports that are missing or of the wrong type.
pub(super) fn resolve(store: &StoreOpaque, host: InstanceId, module: &Module) -> Result<Vec<Extern>> {
    let mut problems = Vec::new();
    let mut items = Vec::with_capacity(module.info().imports.len());
    for import in module.imports() {
        let instance = match import.module() {
            HOST => Some(host),
            namespace => late_handle(namespace).and_then(|handle| store.late.linked(host, handle)),
        };
        let item = instance.and_then(|id| Instance::new_handle(store.id(), id).export_in(store, import.name()));
        problems.extend(imports::check(&import, item.map(|item| item.current_type(store))));
        items.extend(item);
    }
    if problems.is_empty() { Ok(items) } else { Err(ImportError::new(problems).into()) }
}

#[cfg(test)]
mod tests {
    use super::late_handle;

    #[test]
    fn handles_are_plain_decimal_numbers() {
        assert_eq!(late_handle("late.0"), Some(0));
        assert_eq!(late_handle("late.4294967295"), Some(u32::MAX));
        for bad in ["late", "late.", "late.+1", "late.-1", "late.01", "late.1 ", "late.4294967296", "Late.1", "env"] {
            assert_eq!(late_handle(bad), None, "{bad:?}");
        }
    }
}
