//! Entering and leaving guests, traps, interruption, and host functions, with a guest in assembly.

mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use support::{Guest, func, functions_of, trap};
use wasmo_abi::trap::TrapCode;
use wasmo_abi::vm::{RawValue, VmHostFunc};
use wasmo_runtime::{CallError, Failure, Store, StoreHooks};

#[test]
fn a_call_answers() {
    let mut guest = Guest::plain();
    assert_eq!(guest.call(func::answer, [0]).unwrap(), 42);
}

#[test]
fn unreachable_traps_with_its_place() {
    let mut guest = Guest::plain();
    let error = guest.call(func::unreachable, [0]).unwrap_err();
    assert_eq!(functions_of(&error), [func::unreachable]);
    assert_eq!(error.backtrace.frames[0].wasm_offset, Some(201));
    assert_eq!(trap(Err::<(), _>(error)), TrapCode::Unreachable);
    assert_eq!(guest.call(func::answer, [0]).unwrap(), 42);
}

#[test]
fn accesses_beyond_a_memory_trap() {
    let mut guest = Guest::plain();
    let memory = guest.memory();
    assert_eq!(guest.call(func::load, [memory + 65_528]).unwrap(), 0);
    for address in [memory + 65_536, memory + 65_529, memory + (8 << 30)] {
        assert_eq!(trap(guest.call(func::load, [address])), TrapCode::MemoryOutOfBounds);
    }
    // A second memory is found as well as the first.
    let ty = wasmo_abi::types::MemoryType { limits: wasmo_abi::types::Limits { min: 0, max: None } };
    let other = guest.store.new_memory(ty).unwrap();
    let base = guest.store.memory_base(other) as u64;
    assert_eq!(trap(guest.call(func::load, [base])), TrapCode::MemoryOutOfBounds);
    assert_eq!(trap(guest.call(func::load, [memory + 65_536])), TrapCode::MemoryOutOfBounds);
}

#[test]
fn recursion_without_end_is_a_trap() {
    let mut guest = Guest::plain();
    for _ in 0..3 {
        let error = guest.call(func::recurse, []).unwrap_err();
        assert!(error.backtrace.frames.len() >= 50);
        assert!(error.backtrace.omitted > 1000);
        assert!(error.backtrace.frames.iter().all(|frame| frame.func.0 == func::recurse));
        assert_eq!(trap(Err::<(), _>(error)), TrapCode::StackOverflow);
    }
    assert_eq!(guest.call(func::answer, [0]).unwrap(), 42);
}

#[test]
fn a_loop_is_interrupted_from_another_thread() {
    let mut guest = Guest::plain();
    let handle = guest.store.interrupt_handle();
    assert!(!handle.interrupt(), "no call is under way");
    // What came before a call does not concern it.
    assert_eq!(guest.call(func::answer, [0]).unwrap(), 42);
    let stopper = thread::spawn(move || {
        thread::sleep(Duration::from_millis(20));
        handle.interrupt()
    });
    let error = guest.call(func::spin, []).unwrap_err();
    assert!(stopper.join().unwrap());
    assert_eq!(functions_of(&error), [func::spin]);
    assert_eq!(trap(Err::<(), _>(error)), TrapCode::Interrupt);
    assert_eq!(guest.call(func::answer, [0]).unwrap(), 42);
}

#[test]
fn a_handle_may_outlive_its_store() {
    let guest = Guest::plain();
    let handle = guest.store.interrupt_handle();
    drop(guest);
    assert!(!handle.interrupt());
}

/// However an interruption meets the stubs, it is not lost, and it harms nothing.
#[test]
fn interruptions_at_any_moment_are_seen() {
    let mut guest = Guest::plain();
    let handle = guest.store.interrupt_handle();
    let stop = Arc::new(AtomicBool::new(false));
    let stopper = thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            while !stop.load(Ordering::Relaxed) {
                handle.interrupt();
            }
        }
    });
    let mut ended = 0;
    for _ in 0..200 {
        // This one would never end by itself.
        assert_eq!(trap(guest.call(func::spin, [])), TrapCode::Interrupt);
        match guest.call(func::call_host_often, [0, 20]) {
            Ok(_) => ended += 1,
            outcome => assert_eq!(trap(outcome), TrapCode::Interrupt),
        }
    }
    stop.store(true, Ordering::Relaxed);
    stopper.join().unwrap();
    assert_eq!(guest.call(func::call_host_often, [0, 20]).unwrap(), 0);
    println!("{ended} of the short calls ended by themselves");
}

extern "C" fn fail_with_seven(host: *mut VmHostFunc, _: *mut RawValue) -> u32 {
    // SAFETY: the store lives and waits for this function.
    unsafe {
        assert!(!(*host).caller.is_null());
        (*Store::of_exec((*host).exec)).fail(Failure::Host(Box::new(7u32)));
    }
    1
}

#[test]
fn a_failure_of_the_host_reaches_the_caller() {
    let mut guest = Guest::new(fail_with_seven, std::ptr::null_mut());
    for _ in 0..3 {
        let error = guest.call(func::call_host, []).unwrap_err();
        assert_eq!(functions_of(&error), [func::call_host]);
        let Failure::Host(payload) = error.failure else { panic!("{error:?}") };
        assert_eq!(payload.downcast_ref::<u32>(), Some(&7));
    }
}

extern "C" fn fail_silently(_: *mut VmHostFunc, _: *mut RawValue) -> u32 {
    1
}

#[test]
fn a_failure_without_a_reason_is_an_internal_error() {
    let mut guest = Guest::new(fail_silently, std::ptr::null_mut());
    assert!(matches!(guest.call(func::call_host, []).unwrap_err().failure, Failure::Error(_)));
    // The host may call its own function through the store.
    let host = guest.host;
    // SAFETY: the store is exclusively borrowed; the function takes no values.
    let error = unsafe { Store::call(&raw mut *guest.store, host, None, std::ptr::null_mut()) }.unwrap_err();
    assert!(error.backtrace.frames.is_empty());
}

/// Calls `call_host` again until the first value is 0; then `unreachable`. The caller's error becomes its own.
extern "C" fn descend(host: *mut VmHostFunc, values: *mut RawValue) -> u32 {
    // SAFETY: the store lives and waits for this function.
    unsafe {
        let store = Store::of_exec((*host).exec);
        let instance = Store::instance_of((*host).caller);
        let left = (*values).as_u64();
        let outcome = match left {
            0 => support::call(store, instance, func::unreachable, &[]),
            left => support::call(store, instance, func::call_host, &[left - 1]),
        };
        match outcome {
            Ok(_) => 0,
            Err(error) => {
                (*store).fail_with(error);
                1
            }
        }
    }
}

#[test]
fn backtraces_go_through_nested_calls() {
    let mut guest = Guest::new(descend, std::ptr::null_mut());
    let error = guest.call(func::call_host, [3]).unwrap_err();
    let calls = [func::call_host; 4];
    assert_eq!(functions_of(&error), [&[func::unreachable], &calls[..]].concat());
    assert_eq!(trap(Err::<(), _>(error)), TrapCode::Unreachable);
}

/// Neither stack may overflow, whichever is smaller.
#[test]
fn recursion_through_the_host_is_a_trap() {
    for stack in [256 << 10, 1 << 20, 64 << 20] {
        let deep = thread::Builder::new().stack_size(stack).spawn(|| {
            let mut guest = Guest::new(descend, std::ptr::null_mut());
            for _ in 0..2 {
                assert_eq!(trap(guest.call(func::call_host, [u64::MAX])), TrapCode::StackOverflow);
            }
            assert_eq!(guest.call(func::answer, [0]).unwrap(), 42);
        });
        deep.unwrap().join().unwrap();
    }
}

extern "C" fn interrupt_myself(host: *mut VmHostFunc, _: *mut RawValue) -> u32 {
    // SAFETY: the store lives and waits for this function.
    unsafe {
        let store = Store::of_exec((*host).exec);
        assert!((*store).interrupt_handle().interrupt());
        assert!((*store).interrupted());
        assert_eq!((*store).backtrace().frames.len(), 1);
        // A nested call is stopped at once.
        let instance = Store::instance_of((*host).caller);
        let error = support::call(store, instance, func::spin, &[]).unwrap_err();
        assert_eq!(functions_of(&error), [func::call_host]);
        assert_eq!(trap(Err::<(), _>(error)), TrapCode::Interrupt);
    }
    0
}

#[test]
fn an_interruption_during_a_host_call_is_seen_afterwards() {
    let mut guest = Guest::new(interrupt_myself, std::ptr::null_mut());
    let error = guest.call(func::call_host, []).unwrap_err();
    assert_eq!(functions_of(&error), [func::call_host]);
    assert_eq!(trap(Err::<(), _>(error)), TrapCode::Interrupt);
    assert!(!Guest::plain().store.interrupted());
}

/// Refuses a third page, and panics at more fuel.
#[derive(Default)]
struct Hooks {
    asked: Vec<(u64, u64, Option<u64>)>,
}

impl StoreHooks for Hooks {
    fn memory_growing(&mut self, current: u64, desired: u64, max: Option<u64>) -> bool {
        self.asked.push((current, desired, max));
        desired <= 2 * 65_536
    }
    fn table_growing(&mut self, _: u64, _: u64, _: Option<u64>) -> bool {
        false
    }
    fn new_epoch(&mut self) -> Result<u64, Failure> {
        Ok(1)
    }
    fn out_of_fuel(&mut self) -> Result<u64, Failure> {
        panic!("no more")
    }
}

#[test]
fn helpers_ask_the_hooks() {
    let mut guest = Guest::plain();
    assert_eq!(trap(guest.call(func::fuel, [])), TrapCode::OutOfFuel);
    let mut hooks = Hooks::default();
    guest.store.set_hooks(Some(&raw mut hooks));
    assert_eq!(guest.call(func::grow, [0, 1]).unwrap(), 1);
    assert_eq!(guest.call(func::grow, [0, 1]).unwrap(), u64::from(u32::MAX));
    assert_eq!(guest.call(func::grow, [0, 9]).unwrap(), u64::from(u32::MAX));
    assert_eq!(guest.call(func::grow, [0, 0]).unwrap(), 2);
    let memory = guest.memory();
    assert_eq!(guest.call(func::load, [memory + 2 * 65_536 - 8]).unwrap(), 0);
    assert!(matches!(guest.call(func::fuel, []), Err(CallError { failure: Failure::Panic(_), .. })));
    guest.store.set_hooks(None);
    assert_eq!(guest.call(func::grow, [0, 1]).unwrap(), 2);
    let page = 65_536;
    assert_eq!(hooks.asked, [(page, 2 * page, Some(3 * page)), (2 * page, 3 * page, Some(3 * page))]);
}

#[test]
fn fuel_is_counted_down() {
    let mut store = Store::new(&support::options()).unwrap();
    assert_eq!(store.fuel(), 0);
    store.set_fuel(1000);
    assert_eq!(store.fuel(), 1000);
    store.set_fuel(u64::MAX);
    assert_eq!(store.fuel(), i64::MAX.unsigned_abs());
}

#[test]
fn a_store_may_go_to_another_thread() {
    struct Carried(Guest);
    // SAFETY: the guest has no host function that is bound to a thread.
    unsafe impl Send for Carried {}
    let mut carried = Carried(Guest::plain());
    for _ in 0..3 {
        carried = thread::spawn(move || {
            let mut carried = carried;
            let guest = &mut carried.0;
            assert_eq!(trap(guest.call(func::recurse, [])), TrapCode::StackOverflow);
            assert_eq!(guest.call(func::answer, [0]).unwrap(), 42);
            carried
        })
        .join()
        .unwrap();
    }
}

extern "C" fn read_null(_: *mut VmHostFunc, _: *mut RawValue) -> u32 {
    let address = std::hint::black_box(16usize) as *const u8;
    // SAFETY: there is none: the point is that the host's own faults are not taken for the guest's.
    u32::from(unsafe { address.read_volatile() })
}

#[allow(unconditional_recursion, clippy::only_used_in_recursion, reason = "the stack is to overflow")]
extern "C" fn overflow_the_host(host: *mut VmHostFunc, values: *mut RawValue) -> u32 {
    let mut room = [0u8; 4096];
    std::hint::black_box(&mut room);
    overflow_the_host(host, values) + u32::from(room[0])
}

/// Runs one of the `crash_…` tests below in a process of its own. Where this one is emulated, the system may not know how to start another of its kind:
/// `WASMO_TEST_EMULATOR` is the command that does, with its arguments.
fn crash(name: &str) -> (Option<i32>, String) {
    use std::os::unix::process::ExitStatusExt;
    let me = std::env::current_exe().unwrap();
    let emulator = std::env::var("WASMO_TEST_EMULATOR").unwrap_or_default();
    let mut words = emulator.split_whitespace();
    let mut command = match words.next() {
        Some(emulator) => {
            let mut command = Command::new(emulator);
            command.args(words).arg(me);
            command
        }
        None => Command::new(me),
    };
    let output = command.args(["--exact", name, "--ignored", "--nocapture"]).output().unwrap();
    (output.status.signal(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn faults_of_the_host_stay_faults() {
    assert_eq!(crash("crash_read_null").0, Some(11));
    let (signal, report) = crash("crash_overflow_the_host");
    assert_eq!(signal, Some(6), "{report}");
    assert!(report.contains("has overflowed its stack"), "{report}");
}

#[test]
#[ignore = "ends its process"]
fn crash_read_null() {
    let _crashes = Guest::new(read_null, std::ptr::null_mut()).call(func::call_host, []);
}

#[test]
#[ignore = "ends its process"]
fn crash_overflow_the_host() {
    let _crashes = Guest::new(overflow_the_host, std::ptr::null_mut()).call(func::call_host, []);
}

/// The time for which this thread had a processor.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is valid for a write.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

#[test]
#[ignore = "measures; run it in release"]
fn time_of_calls() {
    use wasmo_abi::index::FuncIndex;
    let mut guest = Guest::plain();
    let handle = guest.store.func(guest.instance, FuncIndex(func::answer)).unwrap();
    let enter = guest.store.enter_thunk(handle);
    let mut values = [RawValue::default(); 2];
    let count = 10_000_000u64;
    let start = cpu_time();
    for _ in 0..count {
        // SAFETY: the store is exclusively borrowed.
        unsafe { Store::call(&raw mut *guest.store, handle, enter, values.as_mut_ptr()) }.unwrap();
    }
    let host_to_guest = cpu_time() - start;
    let start = cpu_time();
    guest.call(func::call_host_often, [0, count]).unwrap();
    let guest_to_host = cpu_time() - start;
    let nanoseconds = |time: Duration| time.as_secs_f64() * 1e9 / count as f64;
    println!("host to guest {:.2} ns, guest to host {:.2} ns", nanoseconds(host_to_guest), nanoseconds(guest_to_host));
}
