//! An interpreter loop of ours: a small stack machine that runs a prime sieve and a recursive
//! function; one `match` per instruction, as interpreters in Rust are written.

use guest_crates::measure;
use std::process::ExitCode;

/// An instruction; jump and call targets are indices into the program.
#[derive(Clone, Copy)]
enum Op {
    /// Pushes a constant.
    Push(i64),
    /// Pushes a local of the current call.
    Local(usize),
    /// Pops into a local of the current call.
    SetLocal(usize),
    Add,
    Sub,
    /// Pops two, pushes 1 when the lower is less than the upper, else 0.
    Less,
    /// Pops an address, pushes the cell there.
    Load,
    /// Pops a value, then an address, and writes the cell.
    Store,
    Jump(usize),
    /// Pops a condition and jumps when it is 0.
    JumpIfZero(usize),
    /// Calls with one argument, popped into local 0 of the callee.
    Call(usize),
    /// Returns the top of the stack.
    Return,
    Halt,
}

/// How many locals a call has.
const LOCALS: usize = 4;

/// Runs `program` from its start and returns the top of the stack at `Halt`.
fn run(program: &[Op], cells: &mut [i64]) -> i64 {
    let mut stack: Vec<i64> = Vec::with_capacity(256);
    let mut locals: Vec<i64> = vec![0; LOCALS];
    let mut returns: Vec<usize> = Vec::new();
    let mut pc = 0;
    macro_rules! pop {
        () => {
            stack.pop().expect("the program below keeps its stack balanced")
        };
    }
    macro_rules! cell {
        ($address:expr) => {
            cells[usize::try_from($address).expect("the program below uses addresses of cells")]
        };
    }
    loop {
        let op = program[pc];
        pc += 1;
        let base = locals.len() - LOCALS;
        match op {
            Op::Push(value) => stack.push(value),
            Op::Local(index) => stack.push(locals[base + index]),
            Op::SetLocal(index) => locals[base + index] = pop!(),
            Op::Add => {
                let right = pop!();
                let left = pop!();
                stack.push(left.wrapping_add(right));
            }
            Op::Sub => {
                let right = pop!();
                let left = pop!();
                stack.push(left.wrapping_sub(right));
            }
            Op::Less => {
                let right = pop!();
                let left = pop!();
                stack.push(i64::from(left < right));
            }
            Op::Load => {
                let address = pop!();
                stack.push(cell!(address));
            }
            Op::Store => {
                let value = pop!();
                let address = pop!();
                cell!(address) = value;
            }
            Op::Jump(target) => pc = target,
            Op::JumpIfZero(target) => {
                if pop!() == 0 {
                    pc = target;
                }
            }
            Op::Call(target) => {
                returns.push(pc);
                let argument = pop!();
                locals.extend_from_slice(&[argument, 0, 0, 0]);
                pc = target;
            }
            Op::Return => {
                locals.truncate(base);
                pc = returns.pop().expect("the program below returns only from calls");
            }
            Op::Halt => return pop!(),
        }
    }
}

/// Sieves the numbers below `limit` and returns how many are prime, plus fib(`depth`).
fn program(limit: i64, depth: i64) -> Vec<Op> {
    use Op::*;
    vec![
        // 0: i = 2, count = 0
        Push(2),
        SetLocal(0),
        Push(0),
        SetLocal(1),
        // 4: while i < limit
        Local(0),
        Push(limit),
        Less,
        JumpIfZero(37),
        // 8: if cells[i] == 0 (a JumpIfZero over a jump past the body)
        Local(0),
        Load,
        JumpIfZero(12),
        Jump(32),
        // 12: count += 1; j = i + i
        Local(1),
        Push(1),
        Add,
        SetLocal(1),
        Local(0),
        Local(0),
        Add,
        SetLocal(2),
        // 20: while j < limit { cells[j] = 1; j += i }
        Local(2),
        Push(limit),
        Less,
        JumpIfZero(32),
        Local(2),
        Push(1),
        Store,
        Local(2),
        Local(0),
        Add,
        SetLocal(2),
        Jump(20),
        // 32: i += 1
        Local(0),
        Push(1),
        Add,
        SetLocal(0),
        Jump(4),
        // 37: count + fib(depth)
        Push(depth),
        Call(42),
        Local(1),
        Add,
        Halt,
        // 42: fib(n) = n < 2 ? n : fib(n - 1) + fib(n - 2)
        Local(0),
        Push(2),
        Less,
        JumpIfZero(48),
        Local(0),
        Return,
        Local(0),
        Push(1),
        Sub,
        Call(42),
        Local(0),
        Push(2),
        Sub,
        Call(42),
        Add,
        Return,
    ]
}

fn main() -> ExitCode {
    let mut cells = vec![0; 100_000];
    measure(48, |index, checksum| {
        let limit = 99_000 + (index % 1_000).cast_signed();
        cells.fill(0);
        let result = run(&program(limit, 23), &mut cells);
        checksum.word(result.cast_unsigned());
    })
}
