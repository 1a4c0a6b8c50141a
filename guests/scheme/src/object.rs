//! Handles to objects on the heap: what a word with a heap tag gives access to.
//!
//! A handle is made only from a word whose tag (and header) say what it is. Methods read and write the
//! object in place; "the rule" in their `SAFETY` sentences is the collector's rule in `heap`.

use crate::heap::{address_bits, address_of};
use crate::proto::Proto;
use crate::value::{Value, tag};

/// What an object with a header is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Closure,
    Vector,
    String,
    Box,
}

/// The first word of every object but pairs.
#[repr(C, align(8))]
pub(crate) struct Header {
    kind: Kind,
    large: bool,
    marked: bool,
    /// Words of a vector or box, captured values of a closure, bytes of a string.
    length: u32,
}

impl Header {
    pub fn new(kind: Kind, length: usize, large: bool) -> Self {
        let length = u32::try_from(length).expect("callers check sizes against the heap's limit");
        Header { kind, large, marked: false, length }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn is_large(&self) -> bool {
        self.large
    }

    pub fn is_marked(&self) -> bool {
        self.marked
    }

    pub fn set_marked(&mut self, marked: bool) {
        self.marked = marked;
    }

    pub fn length(&self) -> usize {
        self.length as usize
    }

    /// The object's size with its header, in bytes.
    pub fn bytes(&self) -> usize {
        8 + match self.kind {
            Kind::Closure => 8 + 8 * self.length(),
            Kind::Vector | Kind::Box => 8 * self.length(),
            Kind::String => self.length(),
        }
    }
}

/// A pair.
#[derive(Clone, Copy)]
pub struct Pair(*mut Value);

impl Pair {
    /// The pair that `value` is.
    #[inline]
    pub fn of(value: Value) -> Option<Pair> {
        (value.tag() == tag::PAIR).then(|| Pair(address_of(value)))
    }

    /// The first half.
    #[inline]
    pub fn car(self) -> Value {
        // SAFETY: the handle is the address of two words, live by the rule.
        unsafe { self.0.read() }
    }

    /// The second half.
    #[inline]
    pub fn cdr(self) -> Value {
        // SAFETY: the handle is the address of two words, live by the rule.
        unsafe { self.0.add(1).read() }
    }

    /// Changes the first half.
    pub fn set_car(self, value: Value) {
        // SAFETY: the handle is the address of two words, live by the rule.
        unsafe { self.0.write(value) }
    }

    /// Changes the second half.
    pub fn set_cdr(self, value: Value) {
        // SAFETY: the handle is the address of two words, live by the rule.
        unsafe { self.0.add(1).write(value) }
    }
}

/// The header behind `value` when it is an object of `kind`.
#[inline]
fn object(value: Value, kind: Kind) -> Option<*mut Header> {
    if value.tag() != tag::OBJECT {
        return None;
    }
    let header = address_of::<Header>(value);
    // SAFETY: the tag is given only to addresses of headers, live by the rule.
    (unsafe { (*header).kind } == kind).then_some(header)
}

/// A vector.
#[derive(Clone, Copy)]
pub struct Vector(*mut Header);

impl Vector {
    /// The vector that `value` is.
    #[inline]
    pub fn of(value: Value) -> Option<Vector> {
        object(value, Kind::Vector).map(Vector)
    }

    /// How many elements it has.
    #[inline]
    pub fn length(self) -> usize {
        // SAFETY: the handle is the address of a header, live by the rule.
        unsafe { (*self.0).length() }
    }

    /// The element at `index`, when there is one.
    #[inline]
    pub fn get(self, index: usize) -> Option<Value> {
        // SAFETY: the index was checked; a vector's header is followed by as many words as its length.
        (index < self.length()).then(|| unsafe { self.0.cast::<Value>().add(1 + index).read() })
    }

    /// Changes the element at `index`; false when there is none.
    #[inline]
    pub fn set(self, index: usize, value: Value) -> bool {
        let exists = index < self.length();
        if exists {
            // SAFETY: the index was checked; a vector's header is followed by as many words as its length.
            unsafe { self.0.cast::<Value>().add(1 + index).write(value) };
        }
        exists
    }

    /// All elements from first to last.
    pub fn elements(self) -> impl DoubleEndedIterator<Item = Value> {
        (0..self.length()).filter_map(move |index| self.get(index))
    }
}

/// A string; its contents never change.
#[derive(Clone, Copy)]
pub struct Text(*mut Header);

impl Text {
    /// The string that `value` is.
    pub fn of(value: Value) -> Option<Text> {
        object(value, Kind::String).map(Text)
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        // SAFETY: strings are made from `str` only, are never changed, and live by the rule, which
        // the borrow of a local handle cannot outlast.
        unsafe {
            let bytes = std::slice::from_raw_parts(self.0.add(1).cast::<u8>(), (*self.0).length());
            std::str::from_utf8_unchecked(bytes)
        }
    }
}

/// A box.
#[derive(Clone, Copy)]
pub struct Cell(*mut Header);

impl Cell {
    /// The box that `value` is.
    #[inline]
    pub fn of(value: Value) -> Option<Cell> {
        object(value, Kind::Box).map(Cell)
    }

    /// What it holds.
    #[inline]
    pub fn get(self) -> Value {
        // SAFETY: a box is a header and one word, live by the rule.
        unsafe { self.0.cast::<Value>().add(1).read() }
    }

    /// Changes what it holds.
    #[inline]
    pub fn set(self, value: Value) {
        // SAFETY: a box is a header and one word, live by the rule.
        unsafe { self.0.cast::<Value>().add(1).write(value) }
    }
}

/// A closure: header, address of its [`Proto`], captured values.
#[derive(Clone, Copy)]
pub struct Closure(*mut Header);

impl Closure {
    /// The closure that `value` is.
    #[inline]
    pub fn of(value: Value) -> Option<Closure> {
        (value.tag() == tag::CLOSURE).then(|| Closure(address_of(value)))
    }

    /// The handle of a closure that was just allocated.
    pub(crate) fn from_address(header: *mut Header) -> Closure {
        Closure(header)
    }

    /// The word for this closure.
    #[inline]
    pub fn value(self) -> Value {
        Value(address_bits(self.0) | tag::CLOSURE)
    }

    /// The procedure, which lives as long as the machine.
    #[inline]
    pub(crate) fn proto(self) -> *const Proto {
        // SAFETY: the word after the header is the address that `Heap::closure` was given.
        address_of(unsafe { self.0.cast::<Value>().add(1).read() })
    }

    /// The captured value at `index`.
    ///
    /// # Safety
    ///
    /// `index` must be less than the number of values that the closure was made with.
    #[inline]
    pub(crate) unsafe fn captured(self, index: u16) -> Value {
        // SAFETY: the caller's promise.
        unsafe { self.0.cast::<Value>().add(2 + index as usize).read() }
    }

    /// Sets the captured value at `index`.
    ///
    /// # Safety
    ///
    /// `index` must be less than the number of values that the closure was made with.
    #[inline]
    pub(crate) unsafe fn set_captured(self, index: u16, value: Value) {
        // SAFETY: the caller's promise.
        unsafe { self.0.cast::<Value>().add(2 + index as usize).write(value) }
    }
}
