//! Barriers that other threads of the process pass without having asked for them (membarrier(2)).
//!
//! Where one thread does something rarely that others would have to guard against often, it makes them pass a barrier instead: they pay nothing until then.

use std::sync::OnceLock;

/// Commands of the system call, from `linux/membarrier.h`.
const PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;
#[cfg(target_arch = "aarch64")]
const PRIVATE_EXPEDITED_SYNC_CORE: libc::c_int = 1 << 5;
#[cfg(target_arch = "aarch64")]
const REGISTER_PRIVATE_EXPEDITED_SYNC_CORE: libc::c_int = 1 << 6;

fn membarrier(command: libc::c_int) -> bool {
    // SAFETY: the call takes numbers only, and changes no memory.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Has all running threads of the process pass a full memory barrier between the call and the return. What a thread does before its barrier, in the order of its
/// program, is seen by the caller afterwards; what it does after it sees what the caller did before. Answers `false`, and has done nothing, where the system has no such call.
pub(crate) fn all_threads() -> bool {
    static READY: OnceLock<bool> = OnceLock::new();
    *READY.get_or_init(|| membarrier(REGISTER_PRIVATE_EXPEDITED)) && membarrier(PRIVATE_EXPEDITED)
}

/// Has all running threads of the process forget what they have fetched of instructions that were overwritten, where processors need to be told.
#[cfg(target_arch = "aarch64")]
pub(crate) fn refetch() {
    static READY: OnceLock<bool> = OnceLock::new();
    // Where the system has no such call, what was fetched ahead of a branch long ago is gone by the time that the branch is taken.
    let _ = *READY.get_or_init(|| membarrier(REGISTER_PRIVATE_EXPEDITED_SYNC_CORE))
        && membarrier(PRIVATE_EXPEDITED_SYNC_CORE);
}

/// Has all running threads of the process forget what they have fetched of instructions that were overwritten: processors of this architecture see to it themselves.
#[cfg(not(target_arch = "aarch64"))]
pub(crate) fn refetch() {}
