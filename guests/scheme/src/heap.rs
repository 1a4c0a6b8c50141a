//! The heap: allocation in size classes, and a mark-and-sweep collector that moves nothing.
//!
//! Objects of up to [`SMALL`] bytes live in cells of 64-KiB chunks, one size of cell a chunk; the
//! chunk's header, found by masking an address, holds its mark bits. Chunks are swept one by one
//! when their class runs out of free cells. Larger objects are allocated singly.
//!
//! **The collector's rule.** Allocation never collects. It only asks for a collection by setting
//! [`Heap::stack_limit`] to null, which the machine notices when it enters a procedure or goes round a
//! loop; there every live value is on the machine's stack, in a global or in the constants. Rust code
//! between two such points may hold values freely, and none may hold one across.
//!
//! Handles ([`Pair`], [`Closure`], …) are words whose tag and header were checked. They are safe to
//! use under that rule, which is what the `SAFETY` sentences of their methods refer to as "the rule".

use crate::object::{Closure, Header, Kind, Pair};
use crate::value::{Value, tag};
use std::alloc::{Layout, alloc};
use std::ptr;

const CHUNK: usize = 1 << 16;
/// Chunks come in groups of this many, so that alignment wastes little.
const GROUP: usize = 8;
const CELL: usize = 16;
/// The largest object, in bytes, that lives in a chunk.
const SMALL: usize = 256;
const CLASSES: usize = SMALL / CELL + 1;
const MARK_WORDS: usize = CHUNK / CELL / 64;
/// How far the heap grows before the first collection, in bytes.
const FIRST_LIMIT: usize = 8 << 20;
/// The most that may be in use after a collection, in bytes.
const HARD_LIMIT: usize = 256 << 20;

/// The header of a chunk; its cells follow.
#[repr(C, align(16))]
struct Chunk {
    /// One bit for every 16 bytes of the chunk, set at the first 16 of a marked cell.
    marks: [u64; MARK_WORDS],
}

/// An object too large for a chunk.
struct Large {
    address: *mut Header,
    layout: Layout,
}

/// All objects of one machine.
pub struct Heap {
    /// Where the stack ends for the machine's check on entering a procedure; null asks for a collection.
    pub stack_limit: *mut Value,
    /// Whether a collection is asked for at every safe point.
    pub(crate) collects_always: bool,
    /// The first free cell of every class; a free cell's first word is the address of the next.
    free: [*mut Value; CLASSES],
    chunks: [Vec<*mut Chunk>; CLASSES],
    /// How many chunks of a class have been swept since the last collection.
    swept: [usize; CLASSES],
    spare: Vec<*mut Chunk>,
    large: Vec<Large>,
    /// Bytes in chunks of all classes and in large objects.
    size: usize,
    /// The size from which a collection is asked for.
    limit: usize,
    /// Bytes of the objects marked in the current collection.
    live: usize,
    work: Vec<Value>,
}

impl Default for Heap {
    fn default() -> Self {
        Heap {
            stack_limit: ptr::null_mut(),
            collects_always: false,
            free: [ptr::null_mut(); CLASSES],
            chunks: [const { Vec::new() }; CLASSES],
            swept: [0; CLASSES],
            spare: Vec::new(),
            large: Vec::new(),
            size: 0,
            limit: FIRST_LIMIT,
            live: 0,
            work: Vec::new(),
        }
    }
}

/// Ends the process when the host gives no more memory: an allocation has no way to fail half-way
/// through a primitive, and a trap would tell the user nothing.
#[cold]
fn out_of_memory() -> ! {
    eprintln!("error: out of memory");
    std::process::exit(1)
}

impl Heap {
    /// A new pair.
    #[inline]
    pub fn cons(&mut self, car: Value, cdr: Value) -> Value {
        let cell = self.cell(1);
        // SAFETY: a cell of class 1 is 16 writable bytes that nothing else refers to.
        unsafe {
            cell.write(car);
            cell.add(1).write(cdr);
        }
        Value(address_bits(cell) | tag::PAIR)
    }

    /// A new object of `words` words after its header, which the caller must fill before the next
    /// allocation or safe point. Returns the address of the header.
    fn object(&mut self, kind: Kind, length: usize, words: usize) -> *mut Header {
        let bytes = (words + 1) * 8;
        if bytes <= SMALL {
            let cell = self.cell(bytes.div_ceil(CELL)).cast::<Header>();
            // SAFETY: the class was chosen to hold the header and its words.
            unsafe { cell.write(Header::new(kind, length, false)) };
            return cell;
        }
        let Ok(layout) = Layout::from_size_align(bytes, CELL) else { out_of_memory() };
        // SAFETY: the layout is larger than `SMALL` bytes, so not empty.
        let address = unsafe { alloc(layout) }.cast::<Header>();
        if address.is_null() {
            out_of_memory();
        }
        // SAFETY: freshly allocated with room for a header, aligned to 16.
        unsafe { address.write(Header::new(kind, length, true)) };
        self.large.push(Large { address, layout });
        self.size += bytes;
        if self.size > self.limit {
            self.stack_limit = ptr::null_mut();
        }
        address
    }

    /// A new vector of `length` words, all `fill`.
    ///
    /// The caller checks that [`Heap::has_room`] for it.
    pub fn vector(&mut self, length: usize, fill: Value) -> Value {
        let header = self.object(Kind::Vector, length, length);
        for index in 0..length {
            // SAFETY: `object` reserved `length` words after the header.
            unsafe { header.cast::<Value>().add(1 + index).write(fill) };
        }
        Value(address_bits(header) | tag::OBJECT)
    }

    /// A new string.
    pub fn string(&mut self, text: &str) -> Value {
        let header = self.object(Kind::String, text.len(), text.len().div_ceil(8));
        // SAFETY: `object` reserved at least the text's bytes after the header, and the text cannot
        // be in memory that was just allocated.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), header.add(1).cast::<u8>(), text.len()) };
        Value(address_bits(header) | tag::OBJECT)
    }

    /// A new box, the home of a variable that is both captured and assigned.
    pub fn boxed(&mut self, value: Value) -> Value {
        let header = self.object(Kind::Box, 1, 1);
        // SAFETY: `object` reserved one word after the header.
        unsafe { header.cast::<Value>().add(1).write(value) };
        Value(address_bits(header) | tag::OBJECT)
    }

    /// A new closure of the procedure at `proto` over `captured` values.
    pub(crate) fn closure(&mut self, proto: *const crate::proto::Proto, captured: usize) -> Closure {
        let header = self.object(Kind::Closure, captured, captured + 1);
        // SAFETY: `object` reserved one word for the procedure and one for every captured value.
        unsafe {
            let words = header.cast::<Value>();
            words.add(1).write(Value(address_bits(proto)));
            for index in 0..captured {
                words.add(2 + index).write(Value::ZERO);
            }
        }
        Closure::from_address(header)
    }

    /// Asks for a collection at every safe point from now on, which finds values that nothing keeps alive. For tests.
    pub fn collect_always(&mut self) {
        self.collects_always = true;
        self.stack_limit = ptr::null_mut();
    }

    /// Whether `bytes` more may be allocated at once.
    pub fn has_room(&self, bytes: usize) -> bool {
        bytes <= HARD_LIMIT / 2 && self.size <= 2 * HARD_LIMIT
    }

    /// Whether the last collection left more than the heap may hold.
    pub fn is_full(&self) -> bool {
        self.live > HARD_LIMIT
    }

    /// Bytes that the heap has taken from its host, for tests and statistics.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Where the address of the first free cell for a pair is kept, for compiled code. There is none when it is null.
    pub(crate) fn free_pairs(&self) -> *const *mut Value {
        &raw const self.free[1]
    }

    #[inline]
    fn cell(&mut self, class: usize) -> *mut Value {
        let mut cell = self.free[class];
        if cell.is_null() {
            cell = self.refill(class);
        }
        // SAFETY: a free cell is at least 16 bytes long and its first word is the next one's address.
        self.free[class] = unsafe { cell.cast::<*mut Value>().read() };
        cell
    }

    /// Sweeps chunks of `class` until one has a free cell, or adds a chunk.
    #[cold]
    #[inline(never)]
    fn refill(&mut self, class: usize) -> *mut Value {
        while let Some(&chunk) = self.chunks[class].get(self.swept[class]) {
            self.swept[class] += 1;
            // SAFETY: the chunk is one of this class, and its marks are those of the last collection.
            let first = unsafe { sweep(chunk, class) };
            if !first.is_null() {
                // Asking now, with a chunk's cells still to go, keeps a heap at its limit from growing
                // by a chunk between any two collections.
                if self.swept[class] == self.chunks[class].len() && self.size >= self.limit {
                    self.stack_limit = ptr::null_mut();
                }
                return first;
            }
        }
        let chunk = self.new_chunk();
        self.chunks[class].push(chunk);
        self.swept[class] += 1;
        self.size += CHUNK;
        if self.size > self.limit {
            self.stack_limit = ptr::null_mut();
        }
        // SAFETY: a new chunk has no marks, so all of its cells become free.
        unsafe { sweep(chunk, class) }
    }

    fn new_chunk(&mut self) -> *mut Chunk {
        if let Some(chunk) = self.spare.pop() {
            return chunk;
        }
        let layout = Layout::from_size_align(CHUNK * GROUP, CHUNK).expect("both sizes are constants");
        // SAFETY: the layout is not empty.
        let group = unsafe { alloc(layout) };
        if group.is_null() {
            out_of_memory();
        }
        for index in (0..GROUP).rev() {
            // SAFETY: the group has room for `GROUP` chunks, each with its header at its start.
            unsafe {
                let chunk = group.add(index * CHUNK).cast::<Chunk>();
                chunk.write(Chunk { marks: [0; MARK_WORDS] });
                self.spare.push(chunk);
            }
        }
        self.spare.pop().expect("a group holds more than one chunk")
    }

    /// Frees everything that cannot be reached from `roots`.
    ///
    /// # Safety
    ///
    /// Every value used afterwards must be reachable from `roots` ("the rule" above), and every word
    /// in `roots` must be a valid value.
    pub unsafe fn collect(&mut self, roots: &[&[Value]]) {
        for &chunk in self.chunks.iter().flatten() {
            // SAFETY: chunks are never given back, and no reference to one is kept anywhere.
            unsafe { (*chunk).marks = [0; MARK_WORDS] };
        }
        self.live = 0;
        for &root in roots.iter().copied().flatten() {
            self.work.push(root);
            self.mark();
        }
        self.free = [ptr::null_mut(); CLASSES];
        self.swept = [0; CLASSES];
        let size = &mut self.size;
        self.large.retain(|large| {
            // SAFETY: entries of `large` are live allocations with a header.
            let header = unsafe { &mut *large.address };
            let keep = header.is_marked();
            header.set_marked(false);
            if !keep {
                *size -= large.layout.size();
                // SAFETY: allocated with this layout, and unreachable according to the rule.
                unsafe { std::alloc::dealloc(large.address.cast(), large.layout) };
            }
            keep
        });
        self.limit = self.size.max(2 * self.live + FIRST_LIMIT);
    }

    /// Marks everything reachable from the work list, without recursion.
    fn mark(&mut self) {
        while let Some(mut value) = self.work.pop() {
            // Lists are walked along their cdr here, so the work list grows by their cars only.
            while let Some(pair) = Pair::of(value) {
                if !set_mark(value) {
                    break;
                }
                self.live += CELL;
                self.work.push(pair.car());
                value = pair.cdr();
            }
            if matches!(value.tag(), tag::CLOSURE | tag::OBJECT) {
                self.mark_object(value);
            }
        }
    }

    fn mark_object(&mut self, value: Value) {
        let address = address_of::<Header>(value);
        // SAFETY: both tags are given only to addresses of headers, live according to the rule.
        let header = unsafe { &mut *address };
        let is_new = if header.is_large() {
            let is_new = !header.is_marked();
            header.set_marked(true);
            is_new
        } else {
            set_mark(value)
        };
        if !is_new {
            return;
        }
        let (skip, count) = match header.kind() {
            Kind::Closure => (2, header.length()),
            Kind::Vector | Kind::Box => (1, header.length()),
            Kind::String => (1, 0),
        };
        self.live += header.bytes();
        for index in 0..count {
            // SAFETY: the header's length counts the words that follow it (and a closure's procedure).
            self.work.push(unsafe { address.cast::<Value>().add(skip + index).read() });
        }
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        // A machine usually lives as long as its process; what matters is that large objects of
        // the many machines of a test run do not add up.
        for large in &self.large {
            // SAFETY: allocated with this layout, and no value outlives its machine.
            unsafe { std::alloc::dealloc(large.address.cast(), large.layout) };
        }
    }
}

/// The bits of an address, for a word.
pub(crate) fn address_bits<T>(address: *const T) -> u64 {
    address.expose_provenance() as u64
}

/// The address in a word with a heap tag.
#[inline]
pub(crate) fn address_of<T>(value: Value) -> *mut T {
    // The word was made from an address on this machine, so nothing is lost on 32-bit hosts.
    #[expect(clippy::cast_possible_truncation, reason = "see above")]
    let address = (value.0 & !tag::MASK) as usize;
    ptr::with_exposed_provenance_mut(address)
}

/// Sets the mark bit of an object in a chunk; false when it was set before.
fn set_mark(value: Value) -> bool {
    let address = address_of::<u8>(value).expose_provenance();
    let chunk = ptr::with_exposed_provenance_mut::<Chunk>(address & !(CHUNK - 1));
    let bit = (address & (CHUNK - 1)) / CELL;
    // SAFETY: small objects live in chunks, which are aligned to their size; `bit` is below 4096.
    let word = unsafe { &mut (*chunk).marks[bit / 64] };
    let mask = 1 << (bit % 64);
    let is_new = *word & mask == 0;
    *word |= mask;
    is_new
}

/// Links the unmarked cells of `chunk` into a list, in address order, and returns its first.
///
/// # Safety
///
/// `chunk` must be a chunk of cells of `class`, and no unmarked cell may be in use.
unsafe fn sweep(chunk: *mut Chunk, class: usize) -> *mut Value {
    let size = class * CELL;
    let cells = (CHUNK - size_of::<Chunk>()) / size;
    let mut first: *mut Value = ptr::null_mut();
    for index in (0..cells).rev() {
        let offset = size_of::<Chunk>() + index * size;
        let bit = offset / CELL;
        // SAFETY: the offset is inside the chunk, and a cell has room for an address.
        unsafe {
            if (*chunk).marks[bit / 64] & (1 << (bit % 64)) == 0 {
                let cell = chunk.cast::<u8>().add(offset).cast::<Value>();
                if cfg!(debug_assertions) {
                    // A use after the collection shows as a wrong value at once.
                    (0..size / 8).for_each(|word| cell.add(word).write(Value::UNDEFINED));
                }
                cell.cast::<*mut Value>().write(first);
                first = cell;
            }
        }
    }
    first
}
