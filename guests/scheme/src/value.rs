//! The tagged 64-bit word that every Scheme value is, here, on the machine's stack, in the heap and
//! in the code that the JIT makes.
//!
//! | low bits | meaning | rest of the word |
//! |---|---|---|
//! | `0` | integer | the number, 63 bits, signed |
//! | `0001` | pair | address of two words |
//! | `0011` | closure | address of header, procedure, captured values |
//! | `0101` | other object | address of a header, which tells vector, string and box apart |
//! | `0111` | symbol | index of its name, which is also the index of its global variable |
//! | `1001` | character | code point |
//! | `1011` | constant | which one |
//! | `1101` | primitive | index into the table of primitives |
//!
//! Heap addresses are multiples of 16. Words are equal exactly when the values are the same in the
//! sense of `eq?`, because all numbers and characters are immediate. Only `heap` makes words with the
//! first three tags, so a word that carries one is the address of a live object of that kind as long
//! as the collector's rule in `heap` is kept.

/// One Scheme value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct Value(pub(crate) u64);

/// The low four bits of a word that is no integer.
pub(crate) mod tag {
    pub const MASK: u64 = 15;
    pub const PAIR: u64 = 1;
    pub const CLOSURE: u64 = 3;
    pub const OBJECT: u64 = 5;
    pub const SYMBOL: u64 = 7;
    pub const CHAR: u64 = 9;
    pub const CONSTANT: u64 = 11;
    pub const PRIMITIVE: u64 = 13;
}

const fn constant(index: u64) -> Value {
    Value(index << 4 | tag::CONSTANT)
}

/// The largest integer, 2^62 - 1.
pub const MAX_INTEGER: i64 = i64::MAX >> 1;
/// The smallest integer, -2^62.
pub const MIN_INTEGER: i64 = i64::MIN >> 1;

impl Value {
    /// `#f`, the only value that counts as false.
    pub const FALSE: Value = constant(0);
    /// `#t`.
    pub const TRUE: Value = constant(1);
    /// The empty list.
    pub const NULL: Value = constant(2);
    /// What expressions without a useful value return; printed as nothing at the top level.
    pub const UNSPECIFIED: Value = constant(3);
    /// What a variable holds before its definition has run. Never visible to programs.
    pub const UNDEFINED: Value = constant(4);
    /// Returned by compiled code to say that it left an error in the machine.
    pub const FAILED: Value = constant(5);
    /// Returned by compiled code to say that its frame now holds the callee and arguments of a tail call.
    pub const TAIL_CALL: Value = constant(6);
    /// What the two special results and values that are no results at all have in common, outside of [`Self::SPECIAL_BITS`].
    pub(crate) const SPECIAL: u64 = Self::FAILED.0 & !Self::SPECIAL_BITS;
    /// The bits in which special results differ.
    pub(crate) const SPECIAL_BITS: u64 = 0x30;
    /// The integer 0, also what unused stack words are filled with.
    pub const ZERO: Value = Value(0);

    /// The integer `number`, unless it needs more than 63 bits.
    #[inline]
    pub const fn integer(number: i64) -> Option<Value> {
        if number >= MIN_INTEGER && number <= MAX_INTEGER { Some(Value((number << 1).cast_unsigned())) } else { None }
    }

    /// The integer `number`, which always fits.
    #[inline]
    pub const fn small(number: i32) -> Value {
        Value(((number as i64) << 1).cast_unsigned())
    }

    /// A length or index as an integer.
    ///
    /// # Panics
    ///
    /// When `size` is beyond 2^62, which no length in memory is.
    pub fn size(size: usize) -> Value {
        i64::try_from(size).ok().and_then(Value::integer).expect("no object in memory is that long")
    }

    /// `#t` or `#f`.
    #[inline]
    pub const fn boolean(truth: bool) -> Value {
        if truth { Self::TRUE } else { Self::FALSE }
    }

    /// The symbol with this index.
    #[inline]
    pub const fn symbol(index: u32) -> Value {
        Value((index as u64) << 4 | tag::SYMBOL)
    }

    /// A character.
    #[inline]
    pub const fn character(character: char) -> Value {
        Value((character as u64) << 4 | tag::CHAR)
    }

    /// The primitive with this index.
    #[inline]
    pub const fn primitive(index: u16) -> Value {
        Value((index as u64) << 4 | tag::PRIMITIVE)
    }

    /// The low four bits; meaningful when this is no integer.
    #[inline]
    pub(crate) const fn tag(self) -> u64 {
        self.0 & tag::MASK
    }

    /// Whether this is the address of an object on the heap.
    #[inline]
    pub(crate) const fn is_address(self) -> bool {
        matches!(self.tag(), tag::PAIR | tag::CLOSURE | tag::OBJECT)
    }

    /// Whether this is an integer.
    #[inline]
    pub const fn is_integer(self) -> bool {
        self.0 & 1 == 0
    }

    /// Whether both words are integers, by one test.
    #[inline]
    pub(crate) const fn both_integers(self, other: Value) -> bool {
        (self.0 | other.0) & 1 == 0
    }

    /// The integer in this word.
    #[inline]
    pub const fn as_integer(self) -> Option<i64> {
        if self.is_integer() { Some(self.0.cast_signed() >> 1) } else { None }
    }

    /// The word as a signed number: twice the integer, when it is one. Order is the integers' order.
    #[inline]
    pub(crate) const fn raw(self) -> i64 {
        self.0.cast_signed()
    }

    /// The symbol's index.
    #[inline]
    pub fn as_symbol(self) -> Option<u32> {
        if self.tag() == tag::SYMBOL { u32::try_from(self.0 >> 4).ok() } else { None }
    }

    /// The character.
    #[inline]
    pub fn as_character(self) -> Option<char> {
        if self.tag() == tag::CHAR { u32::try_from(self.0 >> 4).ok().and_then(char::from_u32) } else { None }
    }

    /// The primitive's index.
    #[inline]
    pub fn as_primitive(self) -> Option<u16> {
        if self.tag() == tag::PRIMITIVE { u16::try_from(self.0 >> 4).ok() } else { None }
    }

    /// Whether this counts as true: everything but `#f` does.
    #[inline]
    pub const fn is_true(self) -> bool {
        self.0 != Self::FALSE.0
    }

    /// Whether this can be called.
    pub const fn is_procedure(self) -> bool {
        matches!(self.tag(), tag::CLOSURE | tag::PRIMITIVE)
    }
}

// The values that no procedure returns are UNDEFINED, FAILED, TAIL_CALL and one that does not exist.
const _: () = assert!(
    Value::UNDEFINED.0 & !Value::SPECIAL_BITS == Value::SPECIAL
        && Value::TAIL_CALL.0 & !Value::SPECIAL_BITS == Value::SPECIAL
        && Value::UNSPECIFIED.0 & !Value::SPECIAL_BITS != Value::SPECIAL
);
