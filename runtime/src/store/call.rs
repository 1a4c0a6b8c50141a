//! Running the guest.
//!
//! Most calls come from a host that runs no guest yet, on the thread that called last, and are made by [`run`] with few
//! instructions, inlined to the embedder's code. All others go through [`run_with_care`].

use super::{FuncHandle, Store};
use crate::entry::{self, Activation, Arguments, Results};
use crate::error::{CallError, Error, Failure};
use crate::exec::Exec;
use crate::thread::{Room, THREAD, Thread, prepare};
use crate::trap::backtrace::{Backtrace, Start};
use std::ptr;
use std::sync::atomic::Ordering;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::vm::{EnterThunk, RawValue, VmContextKind, VmExecContext, VmHostFunc};

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
    #[inline]
    pub unsafe fn call(
        this: *mut Self,
        func: FuncHandle,
        enter: Option<EnterThunk>,
        values: *mut RawValue,
    ) -> Result<(), Box<CallError>> {
        // SAFETY: the store lives, as the caller promises.
        if !unsafe { (*this).is_live(func) } {
            // SAFETY: as above.
            return Err(unsafe { gone(this) });
        }
        let record = func.record_ptr();
        // SAFETY: records live as long as their functions, and so do both kinds of context, which begin with their kind.
        let (code, context) = unsafe { ((*record).code, (*record).context) };
        // SAFETY: as above.
        if unsafe { context.cast::<VmContextKind>().read() } == VmContextKind::HostFunc {
            // SAFETY: the context is a host function's, and the values are as the type wants.
            return unsafe { call_host(this, context.cast(), values) };
        }
        // SAFETY: as the caller promises.
        unsafe { call_through(this, enter, code, context, values) }
    }

    /// Calls `func`, of the guest, with its arguments in registers, and answers what `finish` makes of the results.
    ///
    /// # Errors
    /// As [`Store::call`].
    ///
    /// # Safety
    /// As [`Store::call`]; `func` is not the host's. All arguments and results of its type travel in registers on every
    /// architecture ([`wasmo_abi::vm::DIRECT_INTEGERS`], [`wasmo_abi::vm::DIRECT_RESULTS`]), and `arguments` are of these types.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "arguments and results must stay in registers")]
    pub unsafe fn call_direct<R>(
        this: *mut Self,
        func: FuncHandle,
        arguments: Arguments,
        finish: impl Fn(&Results) -> R,
    ) -> Result<R, Box<CallError>> {
        // SAFETY: the store lives, as the caller promises.
        if !unsafe { (*this).is_live(func) } {
            // SAFETY: as above.
            return Err(unsafe { gone(this) });
        }
        let record = func.record_ptr();
        // SAFETY: as the caller promises; records live as long as their functions.
        unsafe { run(this, (*record).code, (*record).context, arguments, finish) }
    }

    /// Leaves the reason for which a host function is about to answer 1; the last one counts.
    pub fn fail(&mut self, failure: Failure) {
        self.failure = Some((failure, None));
    }

    /// As [`Store::fail`], with the frames of a call that the host function made and whose failure it passes on.
    pub fn fail_with(&mut self, error: CallError) {
        self.failure = Some((error.failure, Some(error.backtrace)));
    }

    /// Ends a host function that was called directly ([`wasmo_abi::vm::VmHostFunc::direct`]) and has failed, and the
    /// guest that has called it, with `failure`.
    ///
    /// # Safety
    /// The context is that of the store whose guest waits for the running host function, and between the guest and here there
    /// is no frame with a destructor.
    #[cold]
    pub unsafe fn leave(exec: *mut VmExecContext, failure: Failure) -> ! {
        // SAFETY: as the caller promises.
        unsafe {
            (*Self::of_exec(exec)).fail(failure);
            entry::leave(exec)
        }
    }
}

/// Calls `code`, of the guest, with its arguments in memory, through the thunk of its type.
///
/// # Safety
/// As [`Store::call`]; `code` and `context` are those of a function of the guest.
#[inline(never)]
unsafe fn call_through(
    this: *mut Store,
    enter: Option<EnterThunk>,
    code: *const u8,
    context: *mut u8,
    values: *mut RawValue,
) -> Result<(), Box<CallError>> {
    let Some(enter) = enter else {
        let error = Error::Internal("a function of a guest was called without a thunk".into());
        // SAFETY: as the caller promises.
        return Err(unsafe { refused(this, Failure::Error(error)) });
    };
    // A thunk takes the code, its context and the values.
    let mut arguments = Arguments::new();
    arguments.set(false, 0, code as u64);
    arguments.set(false, 1, context as u64);
    arguments.set(false, 2, values as u64);
    // SAFETY: as the caller promises; thunks follow C's convention and want no context.
    unsafe { run(this, enter as *const u8, ptr::null_mut(), arguments, |_| ()) }
}

/// Calls `code` on the guest's stack, and answers what `finish` makes of the results. It gets them at once, so that the
/// registers that it does not want need not be kept.
///
/// # Safety
/// `this` is as for [`Store::call`]. `code` is code of a guest of the store that takes `context` and `arguments`, or a
/// thunk.
#[inline(always)]
#[allow(clippy::inline_always, reason = "arguments and results must stay in registers")]
unsafe fn run<R>(
    this: *mut Store,
    code: *const u8,
    context: *mut u8,
    arguments: Arguments,
    finish: impl Fn(&Results) -> R,
) -> Result<R, Box<CallError>> {
    // SAFETY: the record has no destructor, so it lives as long as the thread, and the thread is in this function.
    let thread = unsafe { &*THREAD.with(ptr::from_ref) };
    // SAFETY: the store lives, as the caller promises, and its context with it.
    let (pointer, exec) = unsafe { ((*this).exec.as_ptr(), (*this).exec.as_ref()) };
    let usual = entry::stack_pointer() > thread.stack_floor.get()
        && thread.current.get().is_null()
        && exec.slot.load(Ordering::Relaxed).cast_const() == thread.slot.get()
        && exec.vm.interrupt.load(Ordering::Relaxed) == 0;
    if !usual {
        // SAFETY: as the caller promises.
        return unsafe { run_with_care(this, thread, code, context, &{ arguments }) }.map(|results| finish(&results));
    }
    thread.current.set(pointer);
    let activation = Activation::below(exec.vm.guest_stack_high, 0);
    // SAFETY: as the caller promises. No guest runs on this thread, so none of this store does.
    let (reason, results) = unsafe { entry::enter(pointer, activation, code, context, &arguments) };
    if reason != entry::RETURNED {
        // SAFETY: as above; nothing has run on the guest's stack since.
        return Err(unsafe { unwound(this, reason, thread, (0, ptr::null_mut())) });
    }
    // Whoever finds that no call is under way finds everything to be over that the guest has done: see `crate::tier::retired`.
    exec.vm.host_sp.store(0, Ordering::Release);
    thread.current.set(ptr::null_mut());
    Ok(finish(&results))
}

/// As [`run`], on a thread that has never called a guest, or with other calls under way, or after an interruption.
///
/// # Safety
/// As [`run`]; `thread` is the running one's record.
#[cold]
#[inline(never)]
unsafe fn run_with_care(
    this: *mut Store,
    thread: &Thread,
    code: *const u8,
    context: *mut u8,
    arguments: &Arguments,
) -> Result<Results, Box<CallError>> {
    // SAFETY: the store lives, as the caller promises; likewise below.
    unsafe { check_room(this, thread) }?;
    // SAFETY: as above.
    let (pointer, exec) = unsafe { ((*this).exec.as_ptr(), (*this).exec.as_ref()) };
    let outer = exec.entry_frame();
    if outer == 0 {
        // The order matters: see `crate::interrupt`.
        exec.vm.interrupt.store(0, Ordering::Relaxed);
        exec.slot.store(thread.slot.get().cast_mut(), Ordering::Release);
    }
    let previous = thread.current.replace(pointer);
    // SAFETY: as the caller promises; the entry frame is the one of the call that is under way in the store.
    let (reason, results) = unsafe {
        let activation = exec.activation_within(outer);
        entry::enter(pointer, activation, code, context, arguments)
    };
    if reason != entry::RETURNED {
        // SAFETY: as above; nothing has run on the guest's stack since.
        return Err(unsafe { unwound(this, reason, thread, (outer, previous)) });
    }
    exec.vm.host_sp.store(outer, Ordering::Release);
    thread.current.set(previous);
    Ok(results)
}

/// Readies the thread, if it is not, and makes sure that enough of its stack is left.
///
/// # Safety
/// `this` is a store that lives, and `thread` is the running one's record.
#[inline]
unsafe fn check_room(this: *mut Store, thread: &Thread) -> Result<(), Box<CallError>> {
    let sp = entry::stack_pointer();
    if sp > thread.stack_floor.get() {
        return Ok(());
    }
    // SAFETY: as the caller promises.
    unsafe { make_room(this, sp) }
}

/// As [`check_room`], where the stack pointer `sp` is below the floor.
///
/// # Safety
/// `this` is a store that lives.
#[cold]
unsafe fn make_room(this: *mut Store, sp: usize) -> Result<(), Box<CallError>> {
    match prepare(sp) {
        Ok(Room::Enough) => Ok(()),
        // SAFETY: as the caller promises; likewise below.
        Ok(Room::Exhausted) => Err(unsafe { refused(this, TrapCode::StackOverflow.into()) }),
        // SAFETY: as above.
        Err(error) => Err(unsafe { refused(this, Failure::Error(error)) }),
    }
}

/// Calls a function of the host's from the host.
///
/// # Safety
/// As [`Store::call`]; `host` is the function's record.
#[inline]
unsafe fn call_host(this: *mut Store, host: *mut VmHostFunc, values: *mut RawValue) -> Result<(), Box<CallError>> {
    // SAFETY: the record has no destructor, so it lives as long as the thread, and the thread is in this function.
    let thread = unsafe { &*THREAD.with(ptr::from_ref) };
    // SAFETY: the store lives, as the caller promises; likewise below.
    unsafe { check_room(this, thread) }?;
    // SAFETY: as above.
    let answer = unsafe { ((*host).callback)(host, values) };
    // SAFETY: as above.
    if answer == 0 { Ok(()) } else { Err(unsafe { host_failed(this, Start::Waiting) }) }
}

/// The error of a call that was not begun.
///
/// # Safety
/// `this` is a store that lives.
#[cold]
unsafe fn refused(this: *mut Store, failure: Failure) -> Box<CallError> {
    // SAFETY: as the caller promises.
    Box::new(CallError { failure, backtrace: unsafe { (*this).backtrace() } })
}

/// The error of a call of a function of a late module that was removed.
///
/// # Safety
/// `this` is a store that lives.
#[cold]
#[inline(never)]
unsafe fn gone(this: *mut Store) -> Box<CallError> {
    // SAFETY: as the caller promises.
    unsafe { refused(this, TrapCode::UninitializedElement.into()) }
}

/// The error of a call whose host function failed.
///
/// # Safety
/// `this` is a store that lives, and nothing has run on its guest's stack since. `start` is where its guest was.
#[cold]
unsafe fn host_failed(this: *mut Store, start: Start) -> Box<CallError> {
    // SAFETY: as the caller promises.
    let store = unsafe { &mut *this };
    let (failure, backtrace) = store
        .failure
        .take()
        .unwrap_or_else(|| (Failure::Error(Error::Internal("a host function failed and left no reason".into())), None));
    // SAFETY: as the caller promises.
    let backtrace = backtrace.unwrap_or_else(|| unsafe { Backtrace::take(store.exec_ref(), start) });
    Box::new(CallError { failure, backtrace })
}

/// Ends a call whose guest was unwound for `reason`, on the thread with the record `thread`; answers its error. `before` is what was under way before the call: the entry frame, and the
/// thread's current context.
///
/// # Safety
/// As [`host_failed`].
#[cold]
#[inline(never)]
unsafe fn unwound(this: *mut Store, reason: usize, thread: &Thread, before: (usize, *mut Exec)) -> Box<CallError> {
    // SAFETY: the store lives, as the caller promises, and its context with it.
    let context: &Exec = unsafe { (*this).exec.as_ref() };
    // Code that the guest was in is looked at below, so it must not be freed as soon as the call has ended.
    context.unwinding.store(true, Ordering::Relaxed);
    context.vm.host_sp.store(before.0, Ordering::Release);
    thread.current.set(before.1);
    // SAFETY: as the caller promises.
    let error = unsafe { error_of(this, context, reason) };
    context.unwinding.store(false, Ordering::Release);
    error
}

/// The error of a call whose guest was unwound for `reason`, and is not under way any more.
///
/// # Safety
/// As [`host_failed`]; `context` is the store's.
unsafe fn error_of(this: *mut Store, context: &Exec, reason: usize) -> Box<CallError> {
    let exit = Start::Exit(context.unwound_from.get());
    let (failure, start) = match reason {
        entry::TRAPPED => {
            let code = context.trap_code.load(Ordering::Relaxed);
            let failure = TrapCode::from_code(code).map_or_else(
                || Failure::Error(Error::Internal(format!("the guest trapped with the unknown code {code}"))),
                Failure::Trap,
            );
            (failure, Start::Trap(context.trap_registers.get()))
        }
        entry::INTERRUPTED => (TrapCode::Interrupt.into(), exit),
        // SAFETY: as the caller promises.
        _ => return unsafe { host_failed(this, exit) },
    };
    // SAFETY: as the caller promises.
    let backtrace = unsafe { Backtrace::take(context, start) };
    Box::new(CallError { failure, backtrace })
}
