//! How a guest ends its program: [`I32Exit`], the error that `proc_exit` raises.
//!
//! It travels through the engine like any error of a host function, so an embedder finds it by
//! downcasting what the call into the guest returned.

/// The guest called `proc_exit` with this status.
///
/// ```
/// # fn call_start() -> Result<(), anyhow::Error> { Err(wasmo_wasi::I32Exit(3).into()) }
/// let error = call_start().unwrap_err();
/// let status = error.downcast_ref::<wasmo_wasi::I32Exit>().map(|exit| exit.0);
/// assert_eq!(status, Some(3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exited with status {0}")]
pub struct I32Exit(pub i32);

impl I32Exit {
    /// The status as a Unix parent process would see it: its low eight bits.
    #[must_use]
    pub fn process_exit_code(self) -> u8 {
        self.0.to_le_bytes()[0]
    }
}
