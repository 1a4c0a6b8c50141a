//! [`MemoryImage`]: initial content of a memory in a file, mapped instead of copied.
//!
//! What an image may stand for is decided in [`wasmo_abi::memory_image`]. An artefact has its images in its own file; for a module that was just compiled, they are
//! put into a sealed file in memory when it is instantiated first ([`in_memory`]).

use crate::sys::mmap::{page_size, sealed_file};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use wasmo_abi::index::MemoryIndex;
use wasmo_abi::memory_image::memory_images;
use wasmo_abi::module::ModuleInfo;

/// A part of a file that is the initial content of a part of a memory. Everything else in the memory is zero at first.
///
/// The file must not change while the image is in use: guests would see it, and where it became shorter they would trap.
#[derive(Clone, Debug)]
pub struct MemoryImage {
    file: Arc<File>,
    file_offset: u64,
    memory_offset: u64,
    len: u64,
}

impl MemoryImage {
    /// The bytes at `range` of `file`, which has so many, for the place `memory_offset` of a memory. It is mapped when all three are multiples of the machine's page
    /// size; otherwise each memory gets a copy. `None` when there is no such place.
    pub fn new(file: Arc<File>, range: Range<u64>, memory_offset: u64) -> Option<Self> {
        let len = range.end.checked_sub(range.start)?;
        memory_offset.checked_add(len)?;
        Some(Self { file, file_offset: range.start, memory_offset, len })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn file_offset(&self) -> u64 {
        self.file_offset
    }

    /// Which bytes of the memory it covers; `None` when no memory has so many.
    pub(super) fn range(&self) -> Option<Range<usize>> {
        let start = usize::try_from(self.memory_offset).ok()?;
        Some(start..start.checked_add(usize::try_from(self.len).ok()?)?)
    }

    /// Whether all of its ends are where pages begin.
    pub(super) fn is_mappable(&self) -> bool {
        let page = page_size() as u64;
        [self.file_offset, self.memory_offset, self.len].iter().all(|offset| offset.is_multiple_of(page))
    }

    /// Reads the content.
    pub(super) fn read(&self, to: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(to, self.file_offset)
    }
}

/// The images of a module's memories, by position among the defined ones. Shorter than there are memories when the last ones have none.
#[derive(Debug, Default)]
pub(crate) struct Images(Vec<Option<MemoryImage>>);

impl Images {
    pub(crate) fn new(info: &ModuleInfo, images: impl IntoIterator<Item = (MemoryIndex, MemoryImage)>) -> Self {
        let mut list = Vec::new();
        for (memory, image) in images {
            if let Some(position) = info.defined_memory(memory) {
                if list.len() <= position {
                    list.resize(position + 1, None);
                }
                list[position] = Some(image);
            }
        }
        Self(list)
    }

    /// The image of the memory at `position` among the defined ones.
    pub(crate) fn get(&self, position: usize) -> Option<&MemoryImage> {
        self.0.get(position)?.as_ref()
    }
}

/// So many bytes are written at a time: there may be tens of thousands of segments of a few bytes each, and a call of the system for each takes longer than all else.
const PIECE: usize = 1 << 20;

/// Makes `piece` what is written at `range` of an image that is zero where nothing is.
fn fill(piece: &mut Vec<u8>, range: Range<u64>, writes: &[(u64, &[u8])]) {
    piece.clear();
    piece.resize(usize::try_from(range.end - range.start).unwrap_or_default(), 0);
    for &(offset, bytes) in writes {
        let start = offset.max(range.start);
        let end = (offset + bytes.len() as u64).min(range.end);
        if let Some(length) = end.checked_sub(start).and_then(|length| usize::try_from(length).ok())
            && let (Ok(to), Ok(from)) = (usize::try_from(start - range.start), usize::try_from(start - offset))
            && let (Some(to), Some(from)) = (piece.get_mut(to..to + length), bytes.get(from..from + length))
        {
            to.copy_from_slice(from);
        }
    }
}

/// Makes the images of a module whose data segments are ranges of `bytes`. None, when there is nothing to gain, and when the system has no such files.
pub(crate) fn in_memory(info: &ModuleInfo, bytes: &[u8]) -> Images {
    let plans = memory_images(info, page_size() as u64);
    let make = || -> Option<Images> {
        let offsets: Vec<u64> = plans
            .iter()
            .scan(0, |end, plan| {
                let start = *end;
                *end += plan.len();
                Some(start)
            })
            .collect();
        let len = plans.iter().map(wasmo_abi::memory_image::MemoryImage::len).sum();
        let writes: Vec<_> = plans.iter().map(|plan| plan.writes(bytes)).collect::<Option<_>>()?;
        let write = |file: &File| -> io::Result<()> {
            let mut piece = Vec::new();
            for ((plan, &start), writes) in plans.iter().zip(&offsets).zip(&writes) {
                for offset in (0..plan.len()).step_by(PIECE) {
                    let end = plan.len().min(offset + PIECE as u64);
                    fill(&mut piece, offset..end, writes);
                    file.write_all_at(&piece, start + offset)?;
                }
            }
            Ok(())
        };
        let file = Arc::new(sealed_file(len, write).ok()?);
        let images = plans.iter().zip(&offsets).map(|(plan, &file_offset)| {
            let file = Arc::clone(&file);
            (plan.memory, MemoryImage { file, file_offset, memory_offset: plan.range.start, len: plan.len() })
        });
        Some(Images::new(info, images))
    };
    if plans.is_empty() { Images::default() } else { make().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_what_is_written_there() {
        let writes: [(u64, &[u8]); 5] = [(2, b"abcdef"), (0, b"x"), (6, b"YZ"), (9, b""), (11, b"end")];
        let whole = b"x\0abcdYZ\0\0\0end\0\0";
        let mut piece = vec![1; 99];
        for start in 0..whole.len() {
            for end in start..=whole.len() {
                fill(&mut piece, start as u64..end as u64, &writes);
                assert_eq!(piece, whole[start..end], "{start}..{end}");
            }
        }
    }
}
