//! Calls with arguments and results in registers, both ways: the stubs of each architecture, without a compiler.

mod support;

use std::cell::Cell;
use std::ptr;
use support::{Guest, func, functions_of, trap};
use wasmo_abi::index::FuncIndex;
use wasmo_abi::trap::TrapCode;
use wasmo_abi::vm::VmHostFunc;
use wasmo_runtime::{Arguments, CallError, Failure, HostImport, InstanceId, Results, Store};

/// What a host function has been called with.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    integers: Vec<u64>,
    floats: Vec<f64>,
}

/// Host functions with some integers, as many floats as there are registers, and the context at the end; each notes what it gets. One answers an integer, the
/// other a float.
macro_rules! host_functions {
    ($($integer:ident $float:ident: $($name:ident)*;)*) => {$(
        #[allow(clippy::too_many_arguments, reason = "all registers are wanted")]
        extern "C" fn $integer(
            $($name: u64,)*
            x0: f64, x1: f64, x2: f64, x3: f64, x4: f64, x5: f64, x6: f64, x7: f64,
            host: *mut VmHostFunc,
        ) -> u64 {
            // SAFETY: the test has set the data, and the store lives.
            unsafe {
                assert!(!(*host).caller.is_null());
                *(*host).data.cast() = Seen { integers: vec![$($name),*], floats: vec![x0, x1, x2, x3, x4, x5, x6, x7] };
            }
            u64::MAX - 5
        }

        #[allow(clippy::too_many_arguments, reason = "all registers are wanted")]
        extern "C" fn $float(
            $($name: u64,)*
            x0: f64, x1: f64, x2: f64, x3: f64, x4: f64, x5: f64, x6: f64, x7: f64,
            host: *mut VmHostFunc,
        ) -> f64 {
            $integer($($name,)* x0, x1, x2, x3, x4, x5, x6, x7, host);
            -0.125
        }
    )*};
}

host_functions! {
    integer_0 float_0: ;
    integer_1 float_1: a;
    integer_2 float_2: a b;
    integer_3 float_3: a b c;
    integer_4 float_4: a b c d;
    integer_5 float_5: a b c d e;
}

fn guest(direct: *const u8, integers: usize, data: *mut u8) -> Guest {
    Guest::importing(HostImport::new(support::nothing, data).with_direct(direct, integers))
}

fn arguments() -> Arguments {
    let mut arguments = Arguments::new();
    (0..6).for_each(|position| arguments.set(false, position, 100 + position as u64));
    (0..8).for_each(|position| arguments.set(true, position, (position as f64 + 0.5).to_bits()));
    arguments
}

/// Calls the function that calls the host with the arguments that it got.
///
/// # Safety
/// The store lives and is not borrowed; the host's function takes and answers what is in the registers.
unsafe fn forward(store: *mut Store, instance: InstanceId, arguments: Arguments) -> Result<Results, CallError> {
    // SAFETY: as the caller promises.
    unsafe {
        let handle = (*store).func(instance, FuncIndex(func::forward)).unwrap();
        Store::call_direct(store, handle, arguments, |results| *results).map_err(|error| *error)
    }
}

#[test]
fn all_registers_go_both_ways() {
    let functions: [(*const u8, *const u8); 6] = [
        (integer_0 as *const u8, float_0 as *const u8),
        (integer_1 as *const u8, float_1 as *const u8),
        (integer_2 as *const u8, float_2 as *const u8),
        (integer_3 as *const u8, float_3 as *const u8),
        (integer_4 as *const u8, float_4 as *const u8),
        (integer_5 as *const u8, float_5 as *const u8),
    ];
    for (count, (integer, float)) in functions.into_iter().enumerate() {
        let expected = Seen {
            integers: (100..).take(count).collect(),
            floats: (0..8).map(|position| f64::from(position) + 0.5).collect(),
        };
        for (direct, is_float, bits) in [(integer, false, u64::MAX - 5), (float, true, (-0.125_f64).to_bits())] {
            let mut seen = Seen::default();
            let mut guest = guest(direct, count, (&raw mut seen).cast());
            for _ in 0..3 {
                // SAFETY: the store is exclusively borrowed, and the function is of that kind.
                let results = unsafe { forward(&raw mut *guest.store, guest.instance, arguments()) }.unwrap();
                assert_eq!(results.get(is_float, 0), bits);
                drop(guest.store.backtrace());
            }
            drop(guest);
            assert_eq!(seen, expected);
        }
    }
}

#[test]
fn a_sixth_integer_leaves_no_register_for_the_context() {
    let mut store = Store::new(&support::options()).unwrap();
    let host = HostImport::new(support::nothing, ptr::null_mut());
    let five = store.new_host_import(0, host.with_direct(integer_5 as *const u8, 5));
    let six = store.new_host_import(0, host.with_direct(integer_5 as *const u8, 6));
    assert!(!store.lacks_exit_thunk(five) && store.lacks_exit_thunk(six));
}

extern "C" fn leave(code: u64, host: *mut VmHostFunc) -> u64 {
    // SAFETY: the guest waits, and nothing here is to be dropped.
    unsafe { Store::leave((*host).exec, Failure::Host(Box::new(code))) }
}

#[test]
fn a_direct_function_leaves_with_its_reason() {
    let mut guest = guest(leave as *const u8, 1, ptr::null_mut());
    for _ in 0..3 {
        // SAFETY: the store is exclusively borrowed, and the function has these arguments.
        let error = unsafe { forward(&raw mut *guest.store, guest.instance, arguments()) }.unwrap_err();
        assert_eq!(functions_of(&error), [func::forward]);
        let Failure::Host(payload) = error.failure else { panic!("{error:?}") };
        assert_eq!(payload.downcast_ref::<u64>(), Some(&100));
        assert_eq!(guest.call(func::answer, []).unwrap(), 42);
    }
}

/// Calls itself through the guest until the first argument is 0, then what the data say; adds to the result on the way back.
extern "C" fn descend(left: u64, kept: u64, host: *mut VmHostFunc) -> u64 {
    // SAFETY: the store lives and waits for this function; nothing is left to be dropped where it leaves.
    unsafe {
        let store = Store::of_exec((*host).exec);
        let instance = Store::instance_of((*host).caller);
        let data = &*(*host).data.cast::<[Cell<u32>; 2]>();
        let outcome = if left == 0 {
            let frames = (*store).backtrace().frames.len();
            assert_eq!(frames as u64, kept + 1);
            match data[0].get() {
                u32::MAX => {
                    assert!((*store).interrupt_handle().interrupt());
                    Ok(0)
                }
                function => support::call(store, instance, function, &[0]),
            }
        } else {
            let mut arguments = Arguments::new();
            arguments.set(false, 0, left - 1);
            arguments.set(false, 1, kept + 1);
            forward(store, instance, arguments).map(|results| results.get(false, 0) + left * kept)
        };
        match outcome {
            Ok(result) => result,
            Err(CallError { failure, backtrace }) => {
                data[1].set(u32::try_from(backtrace.frames.len()).unwrap());
                drop(backtrace);
                Store::leave((*host).exec, failure)
            }
        }
    }
}

fn start(levels: u64) -> Arguments {
    let mut arguments = Arguments::new();
    arguments.set(false, 0, levels);
    arguments.set(false, 1, 0);
    arguments
}

#[test]
fn host_and_guest_alternate() {
    let data = [Cell::new(func::answer), Cell::new(0)];
    let mut guest = guest(descend as *const u8, 2, data.as_ptr().cast_mut().cast());
    for levels in [0, 1, 7] {
        // SAFETY: the store is exclusively borrowed, and the function has these arguments; likewise below.
        let results = unsafe { forward(&raw mut *guest.store, guest.instance, start(levels)) }.unwrap();
        let expected: u64 = (0..levels).map(|kept| (levels - kept) * kept).sum();
        assert_eq!(results.get(false, 0), expected + 42);
    }
    let ends = [(func::unreachable, TrapCode::Unreachable), (func::recurse, TrapCode::StackOverflow)];
    for (function, code) in ends.into_iter().chain([(u32::MAX, TrapCode::Interrupt)]) {
        data[0].set(function);
        for levels in [0, 1, 7] {
            data[1].set(0);
            // SAFETY: as above.
            let error = unsafe { forward(&raw mut *guest.store, guest.instance, start(levels)) }.unwrap_err();
            // The outermost call has only the frames that were left when the host gave up.
            assert_eq!(functions_of(&error), [func::forward], "{code:?} at {levels}");
            assert_eq!(trap(Err::<(), _>(error)), code);
            // Those of calls within it had theirs besides.
            assert!(data[1].get() >= 2 || (levels == 0 && function == u32::MAX), "{data:?}");
        }
    }
    data[0].set(func::answer);
    // SAFETY: as above.
    unsafe { forward(&raw mut *guest.store, guest.instance, start(2)) }.unwrap();
}

/// Neither stack may overflow, whichever is smaller.
#[test]
fn direct_recursion_is_a_trap() {
    for stack in [256 << 10, 1 << 20] {
        let deep = std::thread::Builder::new().stack_size(stack).spawn(|| {
            let data = [Cell::new(func::answer), Cell::new(0)];
            let mut guest = guest(descend as *const u8, 2, data.as_ptr().cast_mut().cast());
            for _ in 0..2 {
                // SAFETY: the store is exclusively borrowed, and the function has these arguments.
                let outcome = unsafe { forward(&raw mut *guest.store, guest.instance, start(u64::MAX)) };
                assert_eq!(trap(outcome), TrapCode::StackOverflow);
            }
            assert_eq!(guest.call(func::answer, [0]).unwrap(), 42);
        });
        deep.unwrap().join().unwrap();
    }
}
