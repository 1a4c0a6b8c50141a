//! [`Profile`]: what a module did in earlier runs, for code that is made for that.
//!
//! A module of an engine with [`Config::collect_profile`] counts what it does: calls, rounds of loops, which way branches go, what calls through tables call.
//! [`Module::profile`] says what it has counted so far, and [`Module::new_with_profile`] and [`Engine::precompile_module_with_profile`] make code of it: functions that were called are
//! laid out and inlined by how often they were, those that were not are small, and where a call through a table nearly always called one function, that one is called directly
//! when it is found again.
//!
//! A profile is advice: where it is not true, code is slower, and nothing worse.
//!
//! ```
//! # #[cfg(feature = "compiler")]
//! # fn main() -> wasmo::Result<()> {
//! use wasmo::{Config, Engine, Instance, Module, Profile, Store};
//!
//! let text = r#"(module (func (export "f") (param i32) (result i32) (if (result i32) (local.get 0) (then i32.const 1) (else i32.const 2))))"#;
//! let counting = Engine::new(Config::new().collect_profile(true))?;
//! let module = Module::new(&counting, text)?;
//! let mut store = Store::new(&counting, ());
//! let instance = Instance::new(&mut store, &module, &[])?;
//! instance.get_typed_func::<i32, i32>(&mut store, "f")?.call(&mut store, 7)?;
//! let bytes = module.profile().expect("it counts").to_bytes();
//!
//! let profile = Profile::from_bytes(&bytes)?;
//! assert_eq!(profile.functions()[0].entries, 1);
//! let module = Module::new_with_profile(&Engine::default(), text, &profile)?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "compiler"))]
//! # fn main() {}
//! ```
//!
//! [`Config::collect_profile`]: crate::Config::collect_profile
//! [`Module::profile`]: crate::Module::profile
//! [`Module::new_with_profile`]: crate::Module::new_with_profile
//! [`Engine::precompile_module_with_profile`]: crate::Engine::precompile_module_with_profile

use crate::Result;
use wasmo_abi::artifact::checksum;
use wasmo_abi::profile;

pub use profile::{Counts, FunctionProfile, ProfileError, Site};

/// What was counted in runs of one module; see [the module](self).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub(crate) inner: profile::Profile,
}

impl Profile {
    /// Whether `bytes` begin as profiles do, of whatever version.
    pub fn detect(bytes: &[u8]) -> bool {
        profile::Profile::detect(bytes)
    }

    /// The profile that [`Profile::to_bytes`] gave these bytes for. They may come from anybody: the worst that they can do is to make code slow.
    ///
    /// # Errors
    /// A [`ProfileError`] when they are no profile, of another version of the format, or damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        Ok(Self { inner: profile::Profile::from_bytes(bytes)? })
    }

    /// The profile as a file has it.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.inner.to_bytes()
    }

    /// Whether it is one of the module with this binary.
    pub fn is_of(&self, binary: &[u8]) -> bool {
        self.inner.wasm == checksum(binary)
    }

    /// What was counted in the functions that were called, by ascending index.
    pub fn functions(&self) -> &[FunctionProfile] {
        &self.inner.functions
    }
}
