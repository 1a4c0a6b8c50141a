//! [`Artifact`]: loads a module from a file that the compiler wrote (`wasmo_abi::artifact`).
//!
//! Loading maps the file and looks at its header and its description; code and tables are used where they lie. What takes time in proportion to the file
//! is the checksum of its hot half: a process computes it once for each state of a file, as far as the system tells states apart. The cold half is checked when
//! somebody asks for what is in it, and taken to be empty when it is damaged: a backtrace without names is better than none.
//!
//! While a file is mapped, nobody may change its content (replacing it by another file of the same name is fine): the code in it is being executed.

use crate::cpu;
use crate::error::Error;
use crate::memory::MemoryImage;
use crate::module::Module;
use crate::sys::file::{FileId, FileMapping};
use crate::sys::mmap::{page_size, sealed_file};
use crate::type_registry::TypeRegistry;
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use wasmo_abi::artifact::{ArtifactError, Description, Half, Header, Image, Part, ThunkOffsets};
use wasmo_abi::code::{CodeUnit, ModuleCode, Thunks, UnwindTable};
use wasmo_abi::index::MemoryIndex;
use wasmo_abi::table::{Bytes, Table};

/// An artefact's file, mapped; not yet checked, and nothing of it executable.
#[derive(Debug)]
pub struct Artifact {
    mapping: FileMapping,
    header: Header,
    file: Arc<File>,
    id: Option<FileId>,
    /// Whether the cold half is as it was written.
    cold: OnceLock<bool>,
}

/// Files whose hot half was found to be as it was written.
static VERIFIED: Mutex<Option<HashSet<FileId>>> = Mutex::new(None);

/// As many files are remembered; a process that loads more computes some checksums again.
const MAX_VERIFIED: usize = 4096;

impl Artifact {
    /// Maps `file` and reads its header.
    ///
    /// # Errors
    /// When the file cannot be mapped, is no artefact of this version of wasmo, is incomplete, or was made for another machine.
    pub fn open(file: File) -> Result<Self, Error> {
        let failed = |source| Error::Os { what: "cannot map the artefact".into(), source };
        let (id, size) = FileId::of(&file).map_err(failed)?;
        let len = usize::try_from(size).map_err(|_| failed(std::io::ErrorKind::FileTooLarge.into()))?;
        if len == 0 {
            return Err(ArtifactError::NotAnArtifact.into());
        }
        let mapping = FileMapping::new(&file, len).map_err(failed)?;
        let header = Header::decode(mapping.as_ref())?;
        header.verify_size(size)?;
        check_target(&header)?;
        Ok(Self { mapping, header, file: Arc::new(file), id, cold: OnceLock::new() })
    }

    /// An artefact that is not in a file: `bytes` are copied.
    ///
    /// # Errors
    /// As for [`Artifact::open`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        // Before anything is copied.
        Header::decode(bytes)?;
        let what = || "cannot put the artefact in memory".to_owned();
        let file = sealed_file(bytes.len() as u64, |file| file.write_all_at(bytes, 0));
        Self::open(file.map_err(|source| Error::Os { what: what(), source })?)
    }

    /// What the file says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The whole file.
    pub fn bytes(&self) -> &[u8] {
        self.mapping.as_ref()
    }

    /// The file.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// What is known of the module in it.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn description(self: &Arc<Self>) -> Result<Description, Error> {
        self.verify_hot()?;
        Ok(Description::from_parts(|part| self.part(part))?)
    }

    /// Loads the module.
    ///
    /// # Errors
    /// When the file is damaged, or the system does not let it be executed.
    pub fn load(self: &Arc<Self>, types: &TypeRegistry) -> Result<Arc<Module>, Error> {
        let Description { info, images } = self.description()?;
        let text = self.header.part(Part::Text);
        if !text.is_empty() {
            let page = page_size();
            if !text.start.is_multiple_of(page) {
                return Err(ArtifactError::Malformed("its code does not begin at a page of this machine").into());
            }
            let end = text.end.next_multiple_of(page).min(self.bytes().len());
            let executable = self.mapping.make_executable(text.start..end);
            executable.map_err(|source| Error::Os { what: "cannot execute the artefact's code".into(), source })?;
        }
        let code = self.code(info.types.len())?;
        if code.entries.len() != info.bodies.len() {
            return Err(ArtifactError::Malformed("its functions and their entries differ in number").into());
        }
        let images = images.iter().map(|image| self.image(image)).collect::<Result<Vec<_>, Error>>()?;
        Ok(Module::with_images(info, code, self.part(Part::Data), images, types))
    }

    /// Where in the file the initial content of a memory is.
    fn image(&self, image: &Image) -> Result<(MemoryIndex, MemoryImage), Error> {
        let outside = || ArtifactError::Malformed("an image lies outside of the images");
        let all = self.header.part(Part::Images);
        if image.bytes.start > image.bytes.end || image.bytes.end > all.len() {
            return Err(outside().into());
        }
        let (start, len) = (all.start + image.bytes.start, image.bytes.len());
        let mapped = MemoryImage::new(Arc::clone(&self.file), start as u64, image.start, len as u64);
        Ok((image.memory, mapped.map_err(|_| outside())?))
    }

    fn code(self: &Arc<Self>, types: usize) -> Result<ModuleCode, Error> {
        let text = self.header.part(Part::Text);
        let start = self.mapping.address() + text.start;
        let short = || ArtifactError::Malformed("a table ends within a row");
        let thunks: Table<ThunkOffsets> = Table::from_bytes(self.part(Part::Thunks)).ok_or_else(short)?;
        if thunks.len() != types {
            return Err(ArtifactError::Malformed("its types and their thunks differ in number").into());
        }
        let thunks = thunks.iter().map(|offsets| {
            if offsets.enter == u32::MAX {
                return None;
            }
            // SAFETY: the compiler wrote the address of an enter thunk, and the checksum says that it is what it wrote.
            let enter =
                unsafe { std::mem::transmute::<usize, wasmo_abi::vm::EnterThunk>(start + offsets.enter as usize) };
            Some(Thunks { enter, exit: start + offsets.exit as usize })
        });
        let index = self.header.part(Part::EhFrameHdr);
        let unwind = UnwindTable {
            eh_frame: self.part(Part::EhFrame),
            eh_frame_address: self.header.part(Part::EhFrame).start as u64,
            text_address: text.start as u64,
            index: (!index.is_empty()).then(|| (self.part(Part::EhFrameHdr), index.start as u64)),
        };
        let unit = CodeUnit {
            start,
            size: text.len(),
            functions: Table::from_bytes(self.part(Part::Functions)).ok_or_else(short)?,
            wasm_offsets: Table::from_bytes(self.part(Part::WasmOffsets)).ok_or_else(short)?,
            unwind,
        };
        Ok(ModuleCode {
            entries: Table::from_bytes(self.part(Part::Entries)).ok_or_else(short)?,
            base: start,
            thunks: thunks.collect(),
            units: vec![unit],
            owner: Arc::clone(self) as _,
        })
    }

    /// The bytes of a part.
    fn part(self: &Arc<Self>, part: Part) -> Bytes {
        let owner: Arc<dyn AsRef<[u8]> + Send + Sync> = match part.half() {
            Half::Hot => Arc::new(Hot(Arc::clone(self))),
            Half::Cold => Arc::new(Cold(Arc::clone(self))),
        };
        Bytes::part_of(owner, self.header.part(part))
    }

    fn verify_hot(&self) -> Result<(), Error> {
        if let Some(id) = self.id {
            let verified = VERIFIED.lock().unwrap_or_else(PoisonError::into_inner);
            if verified.as_ref().is_some_and(|verified| verified.contains(&id)) {
                return Ok(());
            }
        }
        self.header.verify_hot(self.bytes())?;
        if let Some(id) = self.id {
            let mut verified = VERIFIED.lock().unwrap_or_else(PoisonError::into_inner);
            let verified = verified.get_or_insert_default();
            if verified.len() >= MAX_VERIFIED {
                verified.clear();
            }
            verified.insert(id);
        }
        Ok(())
    }
}

/// The parts that are needed to run, which were checked before.
struct Hot(Arc<Artifact>);

impl AsRef<[u8]> for Hot {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

/// The parts that explain, which are checked when they are first asked for.
struct Cold(Arc<Artifact>);

impl AsRef<[u8]> for Cold {
    fn as_ref(&self) -> &[u8] {
        let artifact = &self.0;
        let whole = *artifact.cold.get_or_init(|| artifact.header.verify_cold(artifact.bytes()).is_ok());
        if whole { artifact.bytes() } else { &[] }
    }
}

/// Whether code for the target that `header` names runs here.
fn check_target(header: &Header) -> Result<(), ArtifactError> {
    let (arch, os) = (std::env::consts::ARCH, std::env::consts::OS);
    let mut parts = header.triple.split('-');
    if parts.next() != Some(arch) || !parts.any(|part| part == os) {
        let (found, expected) = (header.triple.clone(), format!("{arch}-{os}"));
        return Err(ArtifactError::Target { found, expected });
    }
    let missing = header.features.without(cpu::host_features());
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.names(cpu::NAMES).collect();
    Err(ArtifactError::CpuFeatures(names.join(", ")))
}
