//! [`Trap`]: why WebAssembly code failed.

use std::fmt;
use wasmo_abi::trap::TrapCode;

macro_rules! traps {
    ($($(#[$doc:meta])* $name:ident = $code:ident;)*) => {
        /// Why WebAssembly code trapped (core specification, 4.1).
        ///
        /// Errors of calls into a guest are downcast to it; a [`crate::WasmBacktrace`] comes along as the error's context. Host functions may
        /// return a trap as their error.
        ///
        /// ```
        /// # fn main() -> wasmo::Result<()> {
        /// use wasmo::{Engine, Instance, Module, Store, Trap};
        ///
        /// let engine = Engine::default();
        /// let module = Module::new(&engine, r#"(module (func (export "fail") unreachable))"#)?;
        /// let mut store = Store::new(&engine, ());
        /// let instance = Instance::new(&mut store, &module, &[])?;
        /// let fail = instance.get_typed_func::<(), ()>(&mut store, "fail")?;
        /// let error = fail.call(&mut store, ()).unwrap_err();
        /// assert_eq!(error.downcast_ref::<Trap>(), Some(&Trap::UnreachableCodeReached));
        /// # Ok(())
        /// # }
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Trap { $($(#[$doc])* $name,)* }

        impl Trap {
            /// What the specification's test suite calls the trap.
            pub fn message(self) -> &'static str {
                match self {
                    $(Self::$name => TrapCode::$code.message(),)*
                }
            }

            /// `None` for a code that this crate does not know, which is a bug of wasmo's.
            pub(crate) fn from_code(code: TrapCode) -> Option<Self> {
                match code {
                    $(TrapCode::$code => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

traps! {
    /// The guest's stack is used up; see [`crate::Config::max_wasm_stack`].
    StackOverflow = StackOverflow;
    /// An access outside of a memory.
    MemoryOutOfBounds = MemoryOutOfBounds;
    /// An access outside of a table.
    TableOutOfBounds = TableOutOfBounds;
    /// An indirect call through an index outside of the table.
    UndefinedElement = UndefinedElement;
    /// An indirect call through a null reference.
    IndirectCallToNull = UninitializedElement;
    /// An indirect call of a function of another type.
    BadSignature = IndirectCallTypeMismatch;
    /// A quotient that does not fit, or a float that does not fit the integer type.
    IntegerOverflow = IntegerOverflow;
    /// Division or remainder by zero.
    IntegerDivisionByZero = IntegerDivideByZero;
    /// A NaN converted to an integer.
    BadConversionToInteger = InvalidConversionToInteger;
    /// `unreachable` was executed.
    UnreachableCodeReached = Unreachable;
    /// A time limit, an epoch deadline, or another thread ended the guest.
    Interrupt = Interrupt;
    /// The guest has used its fuel.
    OutOfFuel = OutOfFuel;
    /// A null reference where a non-null one is needed.
    NullReference = NullReference;
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "wasm trap: {}", self.message())
    }
}

impl std::error::Error for Trap {}
