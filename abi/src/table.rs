//! [`Table`]: rows of fixed size that may lie in a mapped file, and [`Bytes`], which they lie in.
//!
//! What grows with a module's code (its functions, where their code lies, their names) is kept in tables, in the same form whether the compiler has just
//! made them or an artefact holds them. So an artefact is used as it lies in the file: a row is decoded when somebody asks for it, and nothing is read
//! before. All numbers in rows are little-endian.

use crate::index::FuncIndex;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

/// Immutable bytes with shared ownership: a vector, or part of a mapped file.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn AsRef<[u8]> + Send + Sync>,
    range: Range<usize>,
}

impl Bytes {
    /// All bytes of `owner`, whose content never changes.
    pub fn new(owner: Arc<dyn AsRef<[u8]> + Send + Sync>) -> Self {
        let len = (*owner).as_ref().len();
        Self { owner, range: 0..len }
    }

    /// The bytes at `range` of those of `owner`, which are not looked at before somebody reads them: none when it has not so many then.
    pub fn part_of(owner: Arc<dyn AsRef<[u8]> + Send + Sync>, range: Range<usize>) -> Self {
        Self { owner, range: range.start..range.end.max(range.start) }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The bytes at `range` of these; `None` when there are not so many.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let start = self.range.start.checked_add(range.start)?;
        let end = self.range.start.checked_add(range.end)?;
        (start <= end && end <= self.range.end).then(|| Self { owner: Arc::clone(&self.owner), range: start..end })
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.owner).as_ref().get(self.range.clone()).unwrap_or_default()
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Arc::new(bytes))
    }
}

impl Default for Bytes {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// A value of fixed size in a [`Table`].
pub trait Row: Copy {
    /// The size of a row in bytes, a multiple of 4.
    const SIZE: usize;

    /// The value of a row's 32-bit numbers.
    fn read(words: impl Fn(usize) -> u32) -> Self;

    /// Appends the row's 32-bit numbers, [`Row::SIZE`] / 4 of them.
    fn write(self, word: impl FnMut(u32));
}

/// Rows of fixed size.
pub struct Table<T> {
    bytes: Bytes,
    row: PhantomData<fn() -> T>,
}

impl<T: Row> Table<T> {
    /// The table in `bytes`; `None` when they end within a row.
    pub fn from_bytes(bytes: Bytes) -> Option<Self> {
        bytes.len().is_multiple_of(T::SIZE).then_some(Self { bytes, row: PhantomData })
    }

    /// The bytes of all rows.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.bytes.len() / T::SIZE
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The row at `position`, if there is one.
    pub fn get(&self, position: usize) -> Option<T> {
        self.rows().get(position)
    }

    /// The rows, for one who reads many of them in no order.
    pub fn rows(&self) -> Rows<'_, T> {
        Rows { bytes: &self.bytes, row: PhantomData }
    }

    /// The last row, if there is one.
    pub fn last(&self) -> Option<T> {
        self.get(self.len().checked_sub(1)?)
    }

    /// The rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + DoubleEndedIterator + '_ {
        self.bytes.chunks_exact(T::SIZE).map(read_row)
    }

    /// The number of rows at the beginning for which `before` holds, where it holds for none after the first for which it does not.
    pub fn partition_point(&self, before: impl Fn(T) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle).is_some_and(&before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Of rows in ascending order, the last one for which `before` holds; see [`Table::partition_point`].
    pub fn last_before(&self, before: impl Fn(T) -> bool) -> Option<T> {
        self.get(self.partition_point(before).checked_sub(1)?)
    }
}

/// The rows of a [`Table`], which was asked once where they lie.
#[derive(Clone, Copy)]
pub struct Rows<'a, T> {
    bytes: &'a [u8],
    row: PhantomData<fn() -> T>,
}

impl<T: Row> Rows<'_, T> {
    /// The row at `position`, if there is one.
    #[inline]
    pub fn get(&self, position: usize) -> Option<T> {
        let start = position.checked_mul(T::SIZE)?;
        self.bytes.get(start..start.checked_add(T::SIZE)?).map(read_row)
    }
}

/// The rows that `bytes` are; `None` when they end within one.
pub fn rows<'a, T: Row + 'a>(bytes: &'a [u8]) -> Option<impl ExactSizeIterator<Item = T> + 'a> {
    bytes.len().is_multiple_of(T::SIZE).then(|| bytes.chunks_exact(T::SIZE).map(read_row))
}

#[inline]
fn read_row<T: Row>(row: &[u8]) -> T {
    T::read(|word| {
        let bytes = row.get(word * 4..).and_then(|rest| rest.first_chunk());
        u32::from_le_bytes(*bytes.expect("a row type reads no more words than its size says"))
    })
}

impl<T: Row> FromIterator<T> for Table<T> {
    fn from_iter<I: IntoIterator<Item = T>>(rows: I) -> Self {
        let mut bytes = Vec::new();
        for row in rows {
            row.write(|word| bytes.extend_from_slice(&word.to_le_bytes()));
        }
        Self { bytes: bytes.into(), row: PhantomData }
    }
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { bytes: self.bytes.clone(), row: PhantomData }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { bytes: Bytes::default(), row: PhantomData }
    }
}

impl<T: Row + PartialEq> PartialEq for Table<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes[..] == other.bytes[..]
    }
}

impl<T: Row + fmt::Debug> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Row for u32 {
    const SIZE: usize = 4;

    fn read(words: impl Fn(usize) -> u32) -> Self {
        words(0)
    }

    fn write(self, mut word: impl FnMut(u32)) {
        word(self);
    }
}

impl Row for FuncIndex {
    const SIZE: usize = 4;

    fn read(words: impl Fn(usize) -> u32) -> Self {
        Self(words(0))
    }

    fn write(self, mut word: impl FnMut(u32)) {
        word(self.0);
    }
}

/// Names of functions, by their indices.
#[derive(Clone, Debug, Default)]
pub struct FuncNames {
    /// By ascending function.
    rows: Table<FuncName>,
    text: Bytes,
}

/// Where a function's name lies in the text of all names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FuncName {
    func: FuncIndex,
    start: u32,
    len: u32,
}

impl Row for FuncName {
    const SIZE: usize = 12;

    fn read(words: impl Fn(usize) -> u32) -> Self {
        Self { func: FuncIndex(words(0)), start: words(1), len: words(2) }
    }

    fn write(self, word: impl FnMut(u32)) {
        [self.func.0, self.start, self.len].into_iter().for_each(word);
    }
}

impl FuncNames {
    /// Names from what [`FuncNames::rows`] and [`FuncNames::text`] have.
    pub fn from_parts(rows: Table<FuncName>, text: Bytes) -> Self {
        Self { rows, text }
    }

    /// The name of `func`, if it has one.
    pub fn get(&self, func: FuncIndex) -> Option<&str> {
        let row = self.rows.last_before(|row| row.func <= func).filter(|row| row.func == func)?;
        let (start, len) = (row.start as usize, row.len as usize);
        std::str::from_utf8(self.text.get(start..start.checked_add(len)?)?).ok()
    }

    /// Where each name lies.
    pub fn rows(&self) -> &Table<FuncName> {
        &self.rows
    }

    /// All names, one after the other.
    pub fn text(&self) -> &Bytes {
        &self.text
    }
}

impl<'a> FromIterator<(FuncIndex, &'a str)> for FuncNames {
    /// Of several names for one function the last one is kept. Names beyond 4 GiB of text are left out.
    fn from_iter<I: IntoIterator<Item = (FuncIndex, &'a str)>>(names: I) -> Self {
        let (mut rows, mut text) = (Vec::new(), Vec::new());
        for (func, name) in names {
            let (Ok(start), Ok(len)) = (u32::try_from(text.len()), u32::try_from(name.len())) else { break };
            rows.push(FuncName { func, start, len });
            text.extend_from_slice(name.as_bytes());
        }
        rows.sort_by_key(|row| row.func);
        Self { rows: rows.into_iter().collect(), text: text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_were_written() {
        let table: Table<FuncName> =
            (0..5).map(|n| FuncName { func: FuncIndex(n), start: n * 10, len: u32::MAX - n }).collect();
        assert_eq!(table.len(), 5);
        assert_eq!(table.get(3), Some(FuncName { func: FuncIndex(3), start: 30, len: u32::MAX - 3 }));
        assert_eq!(table.get(5), None);
        assert_eq!(table.get(usize::MAX), None);
        let copy = Table::<FuncName>::from_bytes(table.bytes().clone()).expect("the rows are whole");
        assert_eq!(copy, table);
        assert!(Table::<FuncName>::from_bytes(vec![0; 13].into()).is_none());
    }

    #[test]
    fn rows_are_found_by_bisection() {
        for len in 0..20 {
            let table: Table<u32> = (0..len).map(|n| n * 2).collect();
            for wanted in 0..42 {
                let expected = table.iter().filter(|&row| row <= wanted).count();
                assert_eq!(table.partition_point(|row| row <= wanted), expected);
                assert_eq!(
                    table.last_before(|row| row <= wanted),
                    expected.checked_sub(1).and_then(|at| table.get(at))
                );
            }
        }
    }

    #[test]
    fn slices_stay_within() {
        let bytes = Bytes::from(vec![1, 2, 3, 4, 5]);
        let part = bytes.slice(1..4).expect("it is within");
        assert_eq!(&part[..], [2, 3, 4]);
        assert_eq!(part.slice(1..3).as_deref(), Some(&[3, 4][..]));
        assert!(part.slice(1..4).is_none());
        assert!(part.slice(2..usize::MAX).is_none());
    }

    #[test]
    fn the_last_name_of_a_function_is_its_name() {
        let names: FuncNames =
            [(FuncIndex(7), "seven"), (FuncIndex(2), "two"), (FuncIndex(7), "siete")].into_iter().collect();
        assert_eq!(names.get(FuncIndex(2)), Some("two"));
        assert_eq!(names.get(FuncIndex(7)), Some("siete"));
        assert_eq!(names.get(FuncIndex(3)), None);
        let broken = FuncNames::from_parts(names.rows().clone(), vec![0xff; 13].into());
        assert_eq!(broken.get(FuncIndex(2)), None);
    }
}
