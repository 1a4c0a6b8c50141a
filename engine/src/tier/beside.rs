//! [`Beside`]: work that goes on while its thread does something else.

use std::panic::resume_unwind;
use std::thread::{Builder, Scope, ScopedJoinHandle};

/// What is done on another thread, or when it is asked for.
pub(super) enum Beside<'scope, T, F> {
    Thread(ScopedJoinHandle<'scope, T>),
    Later(F),
}

impl<'scope, T: Send + 'scope, F: FnOnce() -> T + Send + Clone + 'scope> Beside<'scope, T, F> {
    /// Begins `work`, if it is to be done on another thread of `scope`.
    pub(super) fn new<'env>(scope: &'scope Scope<'scope, 'env>, on_thread: bool, work: F) -> Self {
        let spawn = || Builder::new().name("wasmo-prepare".to_owned()).spawn_scoped(scope, work.clone());
        match on_thread.then(spawn) {
            Some(Ok(thread)) => Self::Thread(thread),
            // A system that has no thread to give is a slow one, and no more.
            Some(Err(_)) | None => Self::Later(work),
        }
    }

    /// The result, once it is there.
    ///
    /// # Panics
    /// When the work has panicked, with that panic.
    pub(super) fn get(self) -> T {
        match self {
            Self::Thread(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Self::Later(work) => work(),
        }
    }
}
