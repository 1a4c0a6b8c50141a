//! [`WasmOffsets`]: which operator of the module a piece of machine code belongs to.
//!
//! The table has a row for every dozen bytes of code, so that with rows of fixed size it would be a third of an artefact. Rows are therefore written as differences, in
//! blocks of [`BLOCK`] rows, of which an index has the first. It is used as it lies in the file, like [`crate::table`]: nothing is read before somebody asks.
//!
//! ```text
//! number of blocks                  u32
//! for each block: first row (code, wasm), where its other rows begin     3 × u32
//! rows: code - that of the row before                                    LEB128
//!       0 for no operator; or 1 + zigzag(wasm - that of the last row that had one)    LEB128
//! ```

use crate::table::{Bytes, Row, Table};

/// One row of the table from code to wasm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WasmOffset {
    /// Offset in the unit from which the row holds.
    pub code: u32,
    /// Offset in the module's bytes, or `u32::MAX` for code that belongs to no operator.
    pub wasm: u32,
}

/// Rows of a block, including the first. More of them make the file smaller, by less and less, and looking one up longer.
const BLOCK: usize = 64;

/// Where the index begins.
const INDEX: usize = 4;

/// A row of the index.
#[derive(Clone, Copy, Debug)]
struct Block {
    first: WasmOffset,
    /// Where the differences begin, counted from the end of the index.
    position: u32,
}

impl Row for Block {
    const SIZE: usize = 12;

    fn read(words: impl Fn(usize) -> u32) -> Self {
        Self { first: WasmOffset { code: words(0), wasm: words(1) }, position: words(2) }
    }

    fn write(self, word: impl FnMut(u32)) {
        [self.first.code, self.first.wasm, self.position].into_iter().for_each(word);
    }
}

/// Rows by ascending code offset: from there to the next row, code belongs to the operator that the row names. See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct WasmOffsets {
    bytes: Bytes,
}

impl WasmOffsets {
    /// The table in `bytes`, which are not looked at. What is no such table has some rows, or none.
    pub fn from_bytes(bytes: Bytes) -> Self {
        Self { bytes }
    }

    /// Its bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The offset in the module's bytes of the operator that the code at `code` belongs to, if it belongs to one.
    pub fn find(&self, code: u32) -> Option<u32> {
        let (blocks, differences) = self.parts()?;
        let block = blocks.last_before(|block| block.first.code <= code)?;
        let row = rows(block, differences).take_while(|row| row.code <= code).last()?;
        (row.wasm != u32::MAX).then_some(row.wasm)
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = WasmOffset> + '_ {
        let (blocks, differences) = self.parts().unwrap_or_default();
        (0..blocks.len()).filter_map(move |position| blocks.get(position)).flat_map(|block| rows(block, differences))
    }

    /// The index and the differences.
    fn parts(&self) -> Option<(Table<Block>, &[u8])> {
        let blocks = u32::from_le_bytes(*self.bytes.first_chunk()?);
        let end = usize::try_from(blocks).ok()?.checked_mul(Block::SIZE)?.checked_add(INDEX)?;
        Some((Table::from_bytes(self.bytes.slice(INDEX..end)?)?, self.bytes.get(end..)?))
    }
}

/// The rows of a block.
fn rows(block: Block, differences: &[u8]) -> impl Iterator<Item = WasmOffset> + '_ {
    let start = usize::try_from(block.position).unwrap_or(usize::MAX);
    let mut rest = differences.get(start..).unwrap_or_default();
    let mut code = block.first.code;
    let mut wasm = if block.first.wasm == u32::MAX { 0 } else { block.first.wasm };
    let others = (1..BLOCK).map_while(move |_| {
        code = code.checked_add(number(&mut rest)?)?;
        Some(match number(&mut rest)?.checked_sub(1) {
            None => WasmOffset { code, wasm: u32::MAX },
            Some(difference) => {
                wasm = wasm.wrapping_add_signed((difference >> 1).cast_signed() ^ -(difference & 1).cast_signed());
                WasmOffset { code, wasm }
            }
        })
    });
    std::iter::once(block.first).chain(others)
}

impl FromIterator<WasmOffset> for WasmOffsets {
    /// # Panics
    /// When the rows are not in ascending order of code, or an offset in the module is 2 GiB or more, which no module's is.
    fn from_iter<I: IntoIterator<Item = WasmOffset>>(rows: I) -> Self {
        let (mut index, mut differences) = (Vec::new(), Vec::new());
        let (mut code, mut wasm) = (0, 0);
        for (position, row) in rows.into_iter().enumerate() {
            if position % BLOCK == 0 {
                let position = u32::try_from(differences.len()).expect("there is less of it than of code");
                index.push(Block { first: row, position });
                wasm = 0;
            } else {
                assert!(row.code >= code, "rows are in order");
                put(&mut differences, row.code - code);
                put(&mut differences, if row.wasm == u32::MAX { 0 } else { difference(wasm, row.wasm) });
            }
            code = row.code;
            if row.wasm != u32::MAX {
                wasm = row.wasm;
            }
        }
        if index.is_empty() {
            return Self::default();
        }
        let blocks = u32::try_from(index.len()).expect("there are fewer of them than rows");
        let index: Table<Block> = index.into_iter().collect();
        Self { bytes: [&blocks.to_le_bytes(), &**index.bytes(), &differences].concat().into() }
    }
}

/// How a row says that its operator is at `to`, when the last one was at `from`.
fn difference(from: u32, to: u32) -> u32 {
    assert!(from <= i32::MAX.cast_unsigned() && to <= i32::MAX.cast_unsigned(), "modules are smaller");
    let difference = to.cast_signed() - from.cast_signed();
    ((difference << 1) ^ (difference >> 31)).cast_unsigned() + 1
}

fn put(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// Takes a number off the beginning of `rest`; `None` when there is none.
fn number(rest: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= u32::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: u32 = u32::MAX;

    fn row(code: u32, wasm: u32) -> WasmOffset {
        WasmOffset { code, wasm }
    }

    #[test]
    fn rows_come_out_as_they_went_in() {
        let mut random = 1_u32;
        let mut next = || {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            random >> 8
        };
        for len in [0, 1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 10 * BLOCK + 7] {
            let mut code = 0;
            let rows: Vec<_> = (0..len)
                .map(|_| {
                    code += [1, 3, 127, 128, 70_000][next() as usize % 5];
                    row(code, [NONE, 0, next() % 300, next(), i32::MAX.cast_unsigned()][next() as usize % 5])
                })
                .collect();
            let table: WasmOffsets = rows.iter().copied().collect();
            assert_eq!(table.is_empty(), len == 0);
            assert_eq!(WasmOffsets::from_bytes(table.bytes().clone()).iter().collect::<Vec<_>>(), rows);
            assert_eq!(table.find(0), None);
            for (position, at) in rows.iter().enumerate() {
                let expected = (at.wasm != NONE).then_some(at.wasm);
                assert_eq!(table.find(at.code), expected);
                let end = rows.get(position + 1).map_or(u32::MAX, |next| next.code);
                assert_eq!(table.find(end - 1), expected);
            }
        }
    }

    #[test]
    fn a_row_takes_two_bytes_where_code_and_operators_are_near() {
        let table: WasmOffsets = (0..10 * 64).map(|n| row(5 * n, 1000 + 3 * n)).collect();
        assert_eq!(table.bytes().len(), INDEX + 10 * (Block::SIZE + 63 * 2));
    }

    #[test]
    fn what_is_no_table_does_no_harm() {
        let table: WasmOffsets = (0..3 * 64).map(|n| row(500 * n, 1 << (n % 31))).collect();
        let whole = table.bytes().to_vec();
        for len in 0..whole.len() {
            let cut = WasmOffsets::from_bytes(whole[..len].to_vec().into());
            assert!(cut.iter().count() <= 3 * 64);
            assert!(cut.find(50_000).is_none_or(|wasm| wasm != NONE));
        }
        for position in 0..whole.len() {
            for bit in 0..8 {
                let mut bytes = whole.clone();
                bytes[position] ^= 1 << bit;
                let changed = WasmOffsets::from_bytes(bytes.into());
                let _ = (changed.find(50_000), changed.iter().count());
            }
        }
    }
}
