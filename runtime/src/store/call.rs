//! Running the guest.

use super::{FuncHandle, Shell, Store};
use crate::entry;
use crate::error::{CallError, Error, Failure};
use crate::exec::Exec;
use crate::thread::{Room, THREAD, prepare};
use crate::trap::backtrace::{Backtrace, Start};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::vm::{EnterThunk, RawValue, VmContextKind, VmHostFunc};

impl Store {
    /// Calls `func`: arguments are taken from `values` and results are written there. Calls nest: a host function may
    /// call again.
    ///
    /// `enter` may be `None` for functions of the host, which are called on the spot.
    ///
    /// # Errors
    /// When the guest traps, is interrupted, or a host function it called fails. What the guest did before remains.
    /// Also when too little of the host's stack is left, as a stack overflow of the guest.
    ///
    /// # Safety
    /// `this` is a store that lives and that nobody else borrows during the call, except host functions that the call
    /// runs. `func` belongs to it. `enter` is a thunk for the type of `func`, whose code stays until the call ends.
    /// `values` has room for the parameters and for the results, and holds the arguments; references among them are of
    /// this store.
    pub unsafe fn call(
        this: *mut Self,
        func: FuncHandle,
        enter: Option<EnterThunk>,
        values: *mut RawValue,
    ) -> Result<(), CallError> {
        // The address of a local is near enough to the stack pointer.
        let here = 0u8;
        let sp = &raw const here as usize;
        // SAFETY: the record has no destructor, so it lives as long as the thread, and the thread is in this function.
        let thread = unsafe { &*THREAD.with(ptr::from_ref) };
        if sp <= thread.stack_floor.get() {
            match prepare(sp) {
                Ok(Room::Enough) => {}
                // SAFETY: the store lives, as the caller promises; likewise below.
                Ok(Room::Exhausted) => return Err(unsafe { refused(this, TrapCode::StackOverflow.into()) }),
                // SAFETY: as above.
                Err(error) => return Err(unsafe { refused(this, Failure::Error(error)) }),
            }
        }
        // SAFETY: the store lives, as the caller promises.
        if !unsafe { (*this).is_live(func) } {
            // SAFETY: as above.
            return Err(unsafe { refused(this, TrapCode::UninitializedElement.into()) });
        }
        let record = func.record();
        // SAFETY: both kinds of context begin with their kind and live as long as the store.
        if unsafe { record.context.cast::<VmContextKind>().read() } == VmContextKind::HostFunc {
            let host = record.context.cast::<VmHostFunc>();
            // SAFETY: the record is a host function's, and the values are as the type wants.
            let answer = unsafe { ((*host).callback)(host, values) };
            // SAFETY: as above.
            return if answer == 0 { Ok(()) } else { Err(unsafe { host_failed(this, Start::Waiting) }) };
        }
        let Some(enter) = enter else {
            let error = Error::Internal("a function of a guest was called without a thunk".into());
            // SAFETY: as above.
            return Err(unsafe { refused(this, Failure::Error(error)) });
        };
        // SAFETY: as above; the shared record lives as long as the store.
        let (exec, running) = unsafe {
            let shell: &Shell = &(*this).shell;
            ((*this).exec.as_ptr(), &(*Arc::as_ptr(&shell.shared)).running)
        };
        // SAFETY: as the caller promises; the context is made this thread's current one.
        let answer = unsafe {
            let depth = (*exec).depth.get();
            if depth == 0 {
                // The flag is cleared before the slot is published: see `crate::interrupt`.
                (*exec).vm.interrupt.store(0, Ordering::Relaxed);
                running.store(thread.slot.get().cast_mut(), Ordering::Release);
            }
            (*exec).depth.set(depth + 1);
            (*exec).entered.set(true);
            let previous = thread.current.replace(exec);
            let answer = entry::enter(exec, enter, record.code, record.context.cast(), values);
            thread.current.set(previous);
            (*exec).depth.set(depth);
            if depth == 0 {
                running.store(ptr::null_mut(), Ordering::Release);
            }
            answer
        };
        // SAFETY: as above; nothing has run on the guest's stack since.
        if answer == entry::RETURNED { Ok(()) } else { Err(unsafe { unwound(this, exec, answer) }) }
    }

    /// Leaves the reason for which a host function is about to answer 1; the last one counts.
    pub fn fail(&mut self, failure: Failure) {
        self.failure = Some((failure, None));
    }

    /// As [`Store::fail`], with the frames of a call that the host function made and whose failure it passes on.
    pub fn fail_with(&mut self, error: CallError) {
        self.failure = Some((error.failure, Some(error.backtrace)));
    }
}

/// The error of a call that was not begun.
///
/// # Safety
/// `this` is a store that lives.
#[cold]
unsafe fn refused(this: *mut Store, failure: Failure) -> CallError {
    // SAFETY: as the caller promises.
    CallError { failure, backtrace: unsafe { (*this).backtrace() } }
}

/// The error of a call whose host function failed.
///
/// # Safety
/// `this` is a store that lives, and nothing has run on its guest's stack since. `start` is where its guest was.
#[cold]
unsafe fn host_failed(this: *mut Store, start: Start) -> CallError {
    // SAFETY: as the caller promises.
    let store = unsafe { &mut *this };
    let (failure, backtrace) = store
        .failure
        .take()
        .unwrap_or_else(|| (Failure::Error(Error::Internal("a host function failed and left no reason".into())), None));
    // SAFETY: as the caller promises.
    let backtrace = backtrace.unwrap_or_else(|| unsafe { Backtrace::take(store.exec_ref(), start) });
    CallError { failure, backtrace }
}

/// The error of a call whose guest was unwound with `answer`.
///
/// # Safety
/// As [`host_failed`]; `exec` is the store's.
#[cold]
unsafe fn unwound(this: *mut Store, exec: *mut Exec, answer: u32) -> CallError {
    // SAFETY: as the caller promises.
    let context = unsafe { &*exec };
    let exit = Start::Exit(context.unwound_from.get());
    match answer {
        entry::TRAPPED => {
            let code = context.trap_code.load(Ordering::Relaxed);
            let failure = TrapCode::from_code(code).map_or_else(
                || Failure::Error(Error::Internal(format!("the guest trapped with the unknown code {code}"))),
                Failure::Trap,
            );
            // SAFETY: as the caller promises.
            let backtrace = unsafe { Backtrace::take(context, Start::Trap(context.trap_registers.get())) };
            CallError { failure, backtrace }
        }
        entry::INTERRUPTED => {
            // SAFETY: as the caller promises.
            let backtrace = unsafe { Backtrace::take(context, exit) };
            CallError { failure: TrapCode::Interrupt.into(), backtrace }
        }
        // SAFETY: as the caller promises.
        _ => unsafe { host_failed(this, exit) },
    }
}
