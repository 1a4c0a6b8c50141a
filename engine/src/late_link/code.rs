//! [`JitErrorCode`]: what the functions of `wasmo_jit` answer when they fail.

use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// What the functions of the import module `wasmo_jit` answer when they fail: negative numbers. `last_error` has the whole story.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum JitErrorCode { $($(#[$doc])* $name = $code,)* }

        impl JitErrorCode {
            /// All codes, by descending number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// What the code means, in a few words.
            pub fn message(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// Late linking is switched off, or this build of wasmo has no compiler.
    Disabled = -1, "late linking is not available";
    /// The bytes that were pointed to do not lie in the caller's memory, or the caller exports no 32-bit memory `memory`.
    BadPointer = -2, "the bytes do not lie in the exported memory";
    /// The bytes are not a valid module, or need what wasmo does not have.
    Invalid = -3, "the bytes are not a valid module";
    /// Imports are missing or of the wrong type.
    Import = -4, "imports do not match";
    /// The start function, or an active segment, trapped.
    Trap = -5, "the start function trapped";
    /// A limit on modules, bytes, code or compile time, or the store's limits on memories and tables.
    Limit = -6, "a limit is reached";
    /// There is no late module with this handle: it was never given out, its module is removed, or it has failed.
    BadHandle = -7, "there is no late module with this handle";
    /// The module cannot be removed: its code is running, or waits for a call to return.
    Running = -8, "the module's code is running";
    /// The module cannot be removed: another one imports from it.
    Imported = -9, "another module imports from it";
    /// A bug of wasmo's.
    Internal = -10, "internal error";
}

impl JitErrorCode {
    /// The number that the guest gets.
    pub fn to_i32(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for JitErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

#[cfg(test)]
mod tests {
    use super::JitErrorCode;

    #[test]
    fn codes_are_negative_and_different() {
        let mut codes: Vec<_> = JitErrorCode::ALL.iter().map(|code| code.to_i32()).collect();
        assert!(codes.iter().all(|&code| code < 0));
        codes.dedup();
        assert_eq!(codes.len(), JitErrorCode::ALL.len());
    }
}
