//! wasmo runs WebAssembly at native speed: this is its embedding API.
//!
//! Names and meanings follow the `wasmtime` crate, which Rust embedders know. A program compiles a [`Module`] with an [`Engine`], says with a [`Linker`]
//! what the module may import, and instantiates it in a [`Store`], which holds the guest's whole world and the program's own data.
//!
//! ```
//! # fn main() -> wasmo::Result<()> {
//! use wasmo::{Caller, Engine, Linker, Module, Store};
//!
//! let engine = Engine::default();
//! let module = Module::new(&engine, r#"
//!     (module
//!         (import "host" "add" (func $add (param i32)))
//!         (func (export "count") (param $n i32)
//!             (loop $again
//!                 (call $add (local.get $n))
//!                 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))
//!                 (br_if $again))))
//! "#)?;
//!
//! // The guest may call `host::add`; the store's data is the sum.
//! let mut linker = Linker::new(&engine);
//! linker.func_wrap("host", "add", |mut caller: Caller<'_, i64>, n: i32| *caller.data_mut() += i64::from(n))?;
//!
//! let mut store = Store::new(&engine, 0);
//! let instance = linker.instantiate(&mut store, &module)?;
//! let count = instance.get_typed_func::<i32, ()>(&mut store, "count")?;
//! count.call(&mut store, 4)?;
//! assert_eq!(*store.data(), 4 + 3 + 2 + 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Handles
//!
//! [`Func`], [`Memory`], [`Table`], [`Global`], [`Instance`] and [`ExternRef`] are small and [`Copy`]: they name something of a store, which lives as long as
//! the store, and every operation on them takes the store. A handle used with another store than its own is a bug of the program's: operations
//! panic with "object used with the wrong store", except where they can answer an error.
//!
//! # When things go wrong
//!
//! Errors are [`anyhow::Error`]s. They are downcast to [`CompileError`] (with the offset) when a module is no good, to [`ImportError`] when
//! imports are missing or of the wrong type, to [`Trap`] when the guest traps, and to an error type of the program's own when one of
//! its host functions has failed. Errors of calls have a [`WasmBacktrace`] as context, which says where the guest was:
//!
//! ```
//! # fn main() -> wasmo::Result<()> {
//! # use wasmo::{Engine, Instance, Module, Store, Trap, WasmBacktrace};
//! # let engine = Engine::default();
//! let module = Module::new(&engine, r#"(module (func $f (export "f") (drop (i32.div_u (i32.const 1) (i32.const 0)))))"#)?;
//! let mut store = Store::new(&engine, ());
//! let instance = Instance::new(&mut store, &module, &[])?;
//! let error = instance.get_typed_func::<(), ()>(&mut store, "f")?.call(&mut store, ()).unwrap_err();
//! assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::IntegerDivisionByZero));
//! assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().frames()[0].func_name(), Some("f"));
//! # Ok(())
//! # }
//! ```
//!
//! A panic of a host function goes on in the function that has called the guest, once the guest's frames are gone.
//!
//! # Keeping a guest within bounds
//!
//! [`Store::set_timeout`] and [`Store::interrupt_handle`] stop a guest that runs too long, at no cost while it runs; [`Config::epoch_interruption`] lets it go on
//! afterwards; [`Config::consume_fuel`] counts what it does. [`Store::limiter`] bounds memories, tables and instances, [`Config::max_wasm_stack`] its
//! stack.
//!
//! # Code that guests add to themselves
//!
//! [`Instance::add_module`] links a module into an instance while its code may be running, [`late_link::add_to_linker`] lets guests do so.
//!
//! # Many short guests
//!
//! [`Linker::instantiate_pre`] looks up and checks imports once, and [`Config::pooling`] keeps what stores leave for the next ones: an instance then costs less than a
//! microsecond.
//!
//! # Profilers and debuggers
//!
//! [`Config::profiler`] and [`Config::debug_info`] tell `perf` and `gdb` the names of functions, of code that is made or replaced while a guest runs, too.
//!
//! # Reading the code
//!
//! The module `store` explains who owns what and how the borrow of a store is lent to host functions; `func` has calls both ways.

#![deny(missing_docs)]

mod artifact;
mod backtrace;
pub mod cache;
#[cfg(feature = "compiler")]
mod cached;
mod caller;
#[cfg(feature = "compiler")]
mod compile;
mod config;
mod engine;
mod error;
mod externref;
mod externs;
mod func;
mod global;
mod imports;
mod instance;
pub mod late_link;
mod limits;
mod linker;
mod listing;
mod memory;
mod module;
mod pooling;
pub mod profile;
mod store;
mod table;
#[cfg(feature = "compiler")]
mod tier;
mod trap;
mod types;
mod v128;
mod val;

pub use anyhow::{Context, Error, Result, anyhow, bail, ensure, format_err};
pub use artifact::{ArtifactContents, ArtifactFunction, ArtifactHalf, ArtifactInfo, Precompiled};
pub use backtrace::{FrameInfo, WasmBacktrace};
pub use cache::{Cache, CacheConfig};
pub use caller::Caller;
#[cfg(feature = "compiler")]
pub use compile::CompileObserver;
pub use config::{Config, OptLevel, ProfilingStrategy};
pub use engine::{Engine, EngineWeak};
pub use error::{CompileError, CompileErrorKind};
pub use externref::{ExternRef, Rooted};
pub use externs::{Export, Extern};
pub use func::{Func, IntoFunc, TypedFunc, WasmParams, WasmResults, WasmRet, WasmTy};
pub use global::Global;
pub use imports::{ImportError, ImportProblem};
pub use instance::Instance;
pub use late_link::{JitErrorCode, JitLimits, LateModule};
pub use limits::{DEFAULT_LIMIT, ResourceLimiter, StoreLimits, StoreLimitsBuilder};
pub use linker::{InstancePre, Linker, UnknownImportError};
pub use memory::{Memory, MemoryAccessError};
pub use module::{Module, ModuleFunction};
pub use pooling::{PoolConcurrencyLimitError, PoolingConfig};
pub use profile::Profile;
pub use store::{AsContext, AsContextMut, InterruptHandle, Store, StoreContext, StoreContextMut, UpdateDeadline};
pub use table::Table;
#[cfg(feature = "compiler")]
pub use tier::{ThreadTime, Tier, TierEvent, TierStats, Tuning};
pub use trap::Trap;
pub use types::{
    ExportType, ExternType, FuncType, GlobalType, HeapType, ImportType, MemoryType, Mutability, RefType, TableType,
    ValType,
};
pub use v128::V128;
pub use val::{Ref, Val};
