//! [`TrapCode`]: the ways in which WebAssembly code may fail (core specification, appendix A.3 and the messages of its test suite).

use std::fmt;

macro_rules! trap_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $message:literal;)*) => {
        /// Why code trapped. The numbers are encoded in trapping instructions and so in artefacts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum TrapCode { $($(#[$doc])* $name = $code,)* }

        impl TrapCode {
            /// The trap with number `code`, if there is one.
            pub fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// What the specification's test suite calls the trap.
            pub fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }
        }
    };
}

trap_codes! {
    /// The guest's stack is used up.
    StackOverflow = 1, "call stack exhausted";
    /// An access outside of a memory.
    MemoryOutOfBounds = 2, "out of bounds memory access";
    /// An access outside of a table.
    TableOutOfBounds = 3, "out of bounds table access";
    /// `call_indirect` on an index outside of the table.
    UndefinedElement = 4, "undefined element";
    /// `call_indirect` on a null reference.
    UninitializedElement = 5, "uninitialized element";
    /// `call_indirect` on a function of another type.
    IndirectCallTypeMismatch = 6, "indirect call type mismatch";
    /// A quotient that does not fit, or a float that does not fit the integer type.
    IntegerOverflow = 7, "integer overflow";
    /// Division or remainder by zero.
    IntegerDivideByZero = 8, "integer divide by zero";
    /// A NaN converted to an integer.
    InvalidConversionToInteger = 9, "invalid conversion to integer";
    /// `unreachable` was executed.
    Unreachable = 10, "unreachable";
    /// A time limit, or another thread, ended the guest.
    Interrupt = 11, "interrupted";
    /// The guest has used its fuel.
    OutOfFuel = 12, "all fuel consumed";
    /// A null reference where a non-null one is needed.
    NullReference = 13, "null reference";
}

impl fmt::Display for TrapCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}
