//! [`MemoryImage`]: what a memory holds when its instance is made, as one run of bytes that can be mapped instead of copied.
//!
//! An image stands for all active data segments of a memory. It may do so only if nobody can tell: copying cannot fail, and depends on nothing that is
//! known at instantiation only. Segments are copied in order, and one that does not fit ends the instantiation with what came before it written; so either
//! every active segment of the module goes to a memory that the module defines, at a constant place within its initial size, or no memory has an image.

use crate::index::{EntityIndex, MemoryIndex};
use crate::module::{ConstOp, DataKind, ModuleInfo};
use crate::types::PAGE_SIZE;
use std::ops::Range;

/// An image may be this many times as large as the data in it, and a [`SPARE`] more: what lies between the segments costs room in files, and time to write them.
const MAX_SPREAD: u64 = 2;
/// See [`MAX_SPREAD`]; in bytes.
const SPARE: u64 = 64 << 10;
/// Less data than this, in bytes, is copied as quickly as it is mapped, so it gets no image.
const MIN_DATA: u64 = 16 << 10;

/// The initial content of a part of a memory. Everything outside of it is zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryImage {
    /// The memory, one that the module defines.
    pub memory: MemoryIndex,
    /// The bytes of the memory that the image covers; both ends are multiples of the alignment that was asked for.
    pub range: Range<u64>,
    /// What is written, in order: where in the memory, and which of the module's bytes.
    segments: Vec<(u64, Range<usize>)>,
}

/// The images of a module's memories, by ascending index; of memories that are better filled by copying, there is none. `align`, in bytes, is a power of two of
/// at most [`PAGE_SIZE`]: the largest page of the machines that are to map the image.
///
/// # Panics
/// When `align` is not such a number.
pub fn memory_images(info: &ModuleInfo, align: u64) -> Vec<MemoryImage> {
    assert!(align.is_power_of_two() && align <= PAGE_SIZE, "{align} divides the size of a wasm page");
    let mut images: Vec<MemoryImage> = Vec::new();
    for segment in info.data.values() {
        let DataKind::Active { memory, offset } = &segment.kind else { continue };
        let len = segment.bytes.len() as u64;
        let (Some(_), Some(ty), Some(start)) =
            (info.defined_memory(*memory), info.memories.get(*memory), constant_offset(offset))
        else {
            return Vec::new();
        };
        let end = match start.checked_add(len) {
            Some(end) if ty.limits.min.checked_mul(PAGE_SIZE).is_some_and(|size| end <= size) => end,
            _ => return Vec::new(),
        };
        if len == 0 {
            continue;
        }
        // The ends are aligned within the memory's initial size, of which the alignment is a divisor.
        let range = start - start % align..end.next_multiple_of(align);
        let write = (start, segment.bytes.clone());
        match images.iter_mut().find(|image| image.memory == *memory) {
            Some(image) => {
                image.range = image.range.start.min(range.start)..image.range.end.max(range.end);
                image.segments.push(write);
            }
            None => images.push(MemoryImage { memory: *memory, range, segments: vec![write] }),
        }
    }
    images.retain(MemoryImage::is_worthwhile);
    images.sort_by_key(|image| image.memory.position());
    images
}

impl MemoryImage {
    /// The size in bytes.
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// Whether it covers nothing, which no image does.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    fn is_worthwhile(&self) -> bool {
        let data: u64 = self.segments.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        data >= MIN_DATA && self.len() <= data.saturating_mul(MAX_SPREAD).saturating_add(SPARE)
    }

    /// What is to be written over zeros, in order: offsets in the image, and the bytes that go there. `None` when `bytes`, those that the ranges of the
    /// module's data segments are ranges of, are too few.
    pub fn writes<'bytes>(&self, bytes: &'bytes [u8]) -> Option<Vec<(u64, &'bytes [u8])>> {
        let write = |(start, range): &(u64, Range<usize>)| Some((start - self.range.start, bytes.get(range.clone())?));
        self.segments.iter().map(write).collect()
    }

    /// The whole content; `None` as for [`MemoryImage::writes`].
    pub fn content(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut content = vec![0; usize::try_from(self.len()).ok()?];
        for (start, bytes) in self.writes(bytes)? {
            let start = usize::try_from(start).ok()?;
            content.get_mut(start..start.checked_add(bytes.len())?)?.copy_from_slice(bytes);
        }
        Some(content)
    }
}

/// The value of an offset that depends on nothing; `None` of any other. Offsets of memories of 32 bits are taken as unsigned.
fn constant_offset(expr: &[ConstOp]) -> Option<u64> {
    match *expr {
        [ConstOp::I32Const(value)] => Some(u64::from(value.cast_unsigned())),
        [ConstOp::I64Const(value)] => Some(value.cast_unsigned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::GlobalIndex;
    use crate::module::DataSegment;
    use crate::types::{Limits, MemoryType};

    fn segment(memory: u32, offset: ConstOp, bytes: Range<usize>) -> DataSegment {
        DataSegment { kind: DataKind::Active { memory: MemoryIndex(memory), offset: Box::new([offset]) }, bytes }
    }

    fn info(imported: usize, pages: &[u64], data: Vec<DataSegment>) -> ModuleInfo {
        let ty = |&min: &u64| MemoryType { limits: Limits { min, max: None } };
        ModuleInfo {
            memories: pages.iter().map(ty).collect(),
            imported_memories: imported,
            data: data.into_iter().collect(),
            ..ModuleInfo::default()
        }
    }

    const BIG: usize = 20_000;

    #[test]
    fn later_segments_are_written_over_earlier_ones() {
        let bytes: Vec<u8> = [vec![1; BIG], vec![2; 10]].concat();
        let data =
            vec![segment(0, ConstOp::I32Const(5000), 0..BIG), segment(0, ConstOp::I32Const(5005), BIG..BIG + 10)];
        let images = memory_images(&info(0, &[1], data), 4096);
        assert_eq!((images.len(), images[0].range.clone()), (1, 4096..28_672));
        let content = images[0].content(&bytes).unwrap();
        assert_eq!(content.len() as u64, images[0].len());
        let at = 5000 - 4096;
        assert_eq!(content[at - 1..at + 16], [0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1]);
        assert_eq!((content[at + BIG - 1], content[at + BIG]), (1, 0));
        assert_eq!(images[0].content(&bytes[..BIG]), None);
    }

    #[test]
    fn one_segment_that_is_not_certain_leaves_none() {
        let sure = || segment(0, ConstOp::I32Const(0), 0..BIG);
        assert_eq!(memory_images(&info(0, &[1], vec![sure()]), 65_536)[0].range, 0..65_536);
        for other in [
            segment(0, ConstOp::GlobalGet(GlobalIndex(0)), 0..1),
            segment(0, ConstOp::I32Const(65_530), 0..7),
            segment(0, ConstOp::I32Const(-1), 0..0),
            segment(0, ConstOp::I64Const(-1), 0..2),
        ] {
            assert_eq!(memory_images(&info(0, &[1], vec![sure(), other]), 4096), []);
        }
        assert_eq!(memory_images(&info(1, &[1], vec![sure()]), 4096), []);
        let imported = segment(0, ConstOp::I32Const(0), 0..1);
        assert_eq!(
            memory_images(&info(1, &[1, 1], vec![segment(1, ConstOp::I32Const(0), 0..BIG), imported]), 4096),
            []
        );
    }

    #[test]
    fn little_or_scattered_data_is_copied() {
        let data = vec![segment(0, ConstOp::I32Const(0), 0..100)];
        assert_eq!(memory_images(&info(0, &[1], data), 4096), []);
        let data = vec![segment(0, ConstOp::I32Const(0), 0..BIG), segment(0, ConstOp::I32Const(50 << 20), 0..1)];
        assert_eq!(memory_images(&info(0, &[1000], data), 4096), []);
        let two = vec![segment(1, ConstOp::I32Const(0), 0..BIG), segment(0, ConstOp::I32Const(65_536), 0..BIG)];
        let images = memory_images(&info(0, &[2, 1], two), 4096);
        assert_eq!(
            images.iter().map(|image| (image.memory.0, image.range.start)).collect::<Vec<_>>(),
            [(0, 65_536), (1, 0)]
        );
    }
}
