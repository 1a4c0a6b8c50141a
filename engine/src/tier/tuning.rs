//! [`Tuning`]: the numbers by which functions change their tier.

use std::time::Duration;

/// When functions are compiled, and how. The defaults were found with CPython, CoreMark-like loops and the guests of the bench; tests set others to make every
/// function change its tier at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// How often a function is entered, and goes round its loops, taken together, before it is hot.
    ///
    /// LLVM takes some hundred times longer to optimise a function than a call of a small one takes in lift-off code, so that a few thousand rounds are what optimising must win back.
    pub budget: i32,
    /// How much of a budget a function gets each time that it asks for better code while that is being made.
    pub budget_while_waiting: i32,
    /// How often it asks for better code from loops of one call before that call is taken to last, and code is made that it can go on in.
    pub lasting_asks: u32,
    /// How long it is from one time that code which was made soon is asked where it is to the next. Zero: it always says so.
    ///
    /// Such code is nearly as fast as code can be, and there in a third of the time; so whoever is over soon is better off with it alone.
    pub sample_period: Duration,
    /// How often a function must have been found in that way before better code of it is made, if its body is small. 0: no code is made soon, hot functions are optimised as well as they can be at once.
    pub soon_asks: u32,
    /// For each so many bytes of its body it must have been found once more: so it has run about as long as LLVM then takes, and slows the guest down where two threads share a core.
    pub bytes_an_ask: usize,
    /// A callee of a hot function is optimised together with it when it has used up one in so many parts of its own budget, or of the times that it must be found; then it can be inlined.
    pub warm_part: i32,
    /// Of a callee with a body of no more bytes, each unit with a function that calls it gets a copy that can be inlined, warm or not and even if it was optimised before. Larger ones LLVM rarely
    /// inlines: then all that it brings is compiled again with each.
    pub inlined_bytes: usize,
    /// Likewise, of a function of a late module's host instance. Guests that generate code want it as good as it can be, at once.
    pub inlined_host_bytes: usize,
    /// The most bytes of bodies of either kind in a unit.
    pub inlined_unit_bytes: usize,
    /// The most bytes of bodies that are optimised together.
    pub unit_bytes: usize,
    /// Functions with a body of more bytes stay in lift-off code: LLVM would take seconds and hundreds of megabytes, and other functions wait for its threads.
    pub optimized_bytes: usize,
    /// What LLVM has not optimised after this time of a processor stays in lift-off code, for the same reason.
    pub optimizing_time: Duration,
    /// The most bytes of bodies that are compiled together when a function is first called: the function and those that it calls.
    pub lift_off_bytes: usize,
    /// The most functions that are.
    pub lift_off_functions: usize,
    /// Late modules with no more bytes of bodies than this are compiled as a whole when they are added, where that takes no longer than a call of a function without code: by the baseline compiler.
    pub small_module: usize,
    /// Whether threads in the background compile functions before they are called, in the order in which calls to them stand in the code.
    pub ahead: bool,
    /// How long a run that goes on with what earlier runs have compiled does without LLVM, unless a function has no code that is made without, or code that was made soon wants better code: an earlier
    /// run was long enough for that, or this one computes. LLVM takes long to load, and slows a guest on another thread down meanwhile: a program that is over by then is better optimised
    /// afterwards ([`crate::Module::optimize`]).
    pub without_compiler: Duration,
    /// How long nothing was compiled for a guest before what was learned is kept while the program runs: it may be killed. What is learned from then on would not be worth much.
    pub quiet: Duration,
    /// How long after that it is kept again, if there is more.
    pub kept_again: Duration,
    /// Whether the guest waits for optimised code instead of going on with what it has: for tests, which then find the same at each run.
    pub synchronous: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            budget: 3_000,
            budget_while_waiting: 1_000,
            lasting_asks: 8,
            sample_period: Duration::from_millis(1),
            soon_asks: 8,
            bytes_an_ask: 50,
            warm_part: 8,
            inlined_bytes: 100,
            inlined_host_bytes: 400,
            inlined_unit_bytes: 2 << 10,
            unit_bytes: 16 << 10,
            optimized_bytes: 128 << 10,
            optimizing_time: Duration::from_secs(10),
            lift_off_bytes: 2 << 10,
            lift_off_functions: 8,
            small_module: 16 << 10,
            ahead: true,
            without_compiler: Duration::from_millis(200),
            quiet: Duration::from_secs(3),
            kept_again: Duration::from_secs(30),
            synchronous: false,
        }
    }
}
