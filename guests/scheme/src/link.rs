//! How the command links late modules: it asks its engine. Where it is built without that, or natively, it cannot.

#[cfg(all(feature = "late-linking", target_family = "wasm"))]
mod here {
    /// Whether there is an engine to ask; it may still refuse.
    pub const IS_POSSIBLE: bool = true;

    /// Links `module` into this instance, for good.
    ///
    /// # Errors
    ///
    /// The engine's reason.
    pub fn link(module: &[u8]) -> Result<(), String> {
        wasmo_jit::add_module(module).map(wasmo_jit::Module::keep).map_err(|error| error.to_string())
    }
}

#[cfg(not(all(feature = "late-linking", target_family = "wasm")))]
mod here {
    pub const IS_POSSIBLE: bool = false;

    pub fn link(_: &[u8]) -> Result<(), String> {
        Err("this program was built without late linking".into())
    }
}

pub use here::{IS_POSSIBLE, link};
