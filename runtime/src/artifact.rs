//! [`Artifact`]: loads a module from a file that the compiler wrote (`wasmo_abi::artifact`).
//!
//! Loading reads the beginning of the file (its header, the description of the module, where its thunks are), and maps what running takes, from the beginning to the end of
//! the code: no page of it is touched, and code and tables are used where they lie. Memories map their images from the file themselves. What takes time in proportion to the
//! file is the checksum of its hot half: a process computes it once for each state of a file, as far as the system tells states apart. The cold half is mapped and
//! checked when somebody asks for what is in it, and taken to be empty when it is damaged: a backtrace without names is better than none.
//!
//! While a file is mapped, nobody may change its content (replacing it by another file of the same name is fine): the code in it is being executed.

use crate::cpu;
use crate::error::Error;
use crate::memory::MemoryImage;
use crate::module::Module;
use crate::sys::file::{FileId, FileMapping};
use crate::sys::mmap::{page_size, sealed_file};
use crate::tier::Tiers;
use crate::type_registry::TypeRegistry;
use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use wasmo_abi::artifact::{ArtifactError, Description, HEADER_OFFSET, Half, Header, Image, Part, ThunkOffsets};
use wasmo_abi::code::{CodeUnit, ModuleCode, Thunks, UnwindTable};
use wasmo_abi::index::MemoryIndex;
use wasmo_abi::module::ModuleInfo;
use wasmo_abi::offsets::WasmOffsets;
use wasmo_abi::table::{self, Bytes, Table};
use wasmo_abi::tier::{Learned, NO_CODE};

/// An artefact's file, opened; not yet checked, and nothing of it executable.
#[derive(Debug)]
pub struct Artifact {
    header: Header,
    /// How the file begins.
    head: Vec<u8>,
    file: Arc<File>,
    id: Option<FileId>,
    /// Whether the hot half is known to be as it was written.
    verified: OnceLock<()>,
    /// From the file's beginning to the end of its code.
    hot: Arc<FileMapping>,
    /// The whole file, if somebody asked for more; `None` when it cannot be mapped.
    whole: OnceLock<Option<FileMapping>>,
    /// Whether the cold half is as it was written.
    cold: OnceLock<bool>,
}

/// So much of a file's beginning is read. It has the header, and with most modules all that loading looks at; reading it costs less than touching a page of a mapping.
const HEAD: usize = 8192;

/// Files whose hot half was found to be as it was written.
static VERIFIED: Mutex<Option<HashSet<FileId>>> = Mutex::new(None);

/// As many files are remembered; a process that loads more computes some checksums again.
const MAX_VERIFIED: usize = 4096;

impl Artifact {
    /// Reads the beginning of `file`, and maps what running it takes.
    ///
    /// # Errors
    /// When the file cannot be read or mapped, is no artefact of this version of wasmo, is incomplete, or was made for another machine.
    pub fn open(file: File) -> Result<Self, Error> {
        let failed = |source| Error::Os { what: "cannot map the artefact".into(), source };
        let (id, size) = FileId::of(&file).map_err(failed)?;
        let mut head = vec![0; HEAD.min(usize::try_from(size).unwrap_or(HEAD))];
        file.read_exact_at(&mut head, 0).map_err(failed)?;
        let header = Header::decode(&head)?;
        header.verify_size(size)?;
        check_target(&header)?;
        let hot = Part::ALL.into_iter().filter(|part| part.half() == Half::Hot && *part != Part::Images);
        let end = hot.map(|part| header.part(part).end).fold(HEADER_OFFSET, usize::max);
        // The rest of the last page, since code ends within one.
        let end = end.next_multiple_of(page_size()).min(usize::try_from(size).unwrap_or(usize::MAX));
        let hot = Arc::new(FileMapping::new(&file, end).map_err(failed)?);
        let (verified, whole, cold) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Ok(Self { header, head, file: Arc::new(file), id, verified, hot, whole, cold })
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

    /// The file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// How the file begins: as far as the end of its header, and further.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The whole file.
    ///
    /// # Errors
    /// When it cannot be mapped.
    pub fn bytes(&self) -> Result<&[u8], Error> {
        let map = || FileMapping::new(&self.file, usize::try_from(self.header.file_size).ok()?).ok();
        let whole = self.whole.get_or_init(map).as_ref().map(AsRef::as_ref);
        whole.ok_or_else(|| Error::Limit("there is no address space left to map the artefact".into()))
    }

    /// Loads the module.
    ///
    /// # Errors
    /// When the file is damaged or has code for some functions only, or the system does not let it be executed.
    pub fn load(self: &Arc<Self>, types: &TypeRegistry) -> Result<Arc<Module>, Error> {
        if !self.header.part(Part::Learned).is_empty() {
            return Err(ArtifactError::Partial.into());
        }
        let Loaded { info, code, data, images } = self.load_parts()?;
        Ok(Module::with_images(info, code, data, images, types))
    }

    /// What earlier runs have learned of each defined function; nothing in an artefact with all code.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn learned(self: &Arc<Self>) -> Result<Table<Learned>, Error> {
        self.verify_hot()?;
        let learned = Table::from_bytes(self.part(Part::Learned));
        Ok(learned.ok_or(ArtifactError::Malformed("a table ends within a row"))?)
    }

    /// Loads the module to be compiled further while it runs. `tiers` has as many entries as [`Artifact::learned`] has rows.
    ///
    /// # Errors
    /// When the file is damaged, or the system does not let it be executed.
    pub fn load_in_tiers(self: &Arc<Self>, types: &TypeRegistry, tiers: Tiers) -> Result<Arc<Module>, Error> {
        let Loaded { info, code, data, images } = self.load_parts()?;
        if tiers.entries.len() != info.bodies.len() {
            return Err(ArtifactError::Malformed("its functions and what was learned of them differ in number").into());
        }
        let size = code.code_size();
        if code.entries.iter().any(|entry| entry != NO_CODE && entry as usize >= size) {
            return Err(ArtifactError::Malformed("a function lies outside of its code").into());
        }
        Ok(Module::resumed(info, code, data, images, types, tiers))
    }

    /// The bytes of a part, whatever it is for. Those of the cold half are read as none when it is damaged; whether the hot half is
    /// as it was written is not looked at here.
    pub fn part(self: &Arc<Self>, part: Part) -> Bytes {
        let owner: Arc<dyn AsRef<[u8]> + Send + Sync> = match part.half() {
            Half::Hot if part != Part::Images => Arc::clone(&self.hot) as _,
            Half::Hot => Arc::new(Whole(Arc::clone(self))),
            Half::Cold => Arc::new(Cold(Arc::clone(self))),
        };
        Bytes::part_of(owner, self.header.part(part))
    }

    /// Whether the half that explains is as it was written.
    pub fn is_explained(&self) -> bool {
        let whole = |bytes| self.header.verify_cold(bytes).is_ok();
        *self.cold.get_or_init(|| self.bytes().is_ok_and(whole))
    }

    fn load_parts(self: &Arc<Self>) -> Result<Loaded, Error> {
        self.verify_hot()?;
        let parts = Parts { artifact: self, cold: Arc::new(Cold(Arc::clone(self))) };
        let Description { info, images } =
            Description::from_parts(|part| parts.get(part), self.early(Part::Description))?;
        let text = self.header.part(Part::Text);
        if !text.is_empty() {
            let page = page_size();
            if !text.start.is_multiple_of(page) {
                return Err(ArtifactError::Malformed("its code does not begin at a page of this machine").into());
            }
            let end = text.end.next_multiple_of(page).min(self.hot.len());
            let executable = self.hot.make_executable(text.start..end);
            executable.map_err(|source| Error::Os { what: "cannot execute the artefact's code".into(), source })?;
        }
        let code = parts.code(info.types.len())?;
        if code.entries.len() != info.bodies.len() {
            return Err(ArtifactError::Malformed("its functions and their entries differ in number").into());
        }
        let images = images.iter().map(|image| self.image(image)).collect::<Result<Vec<_>, Error>>()?;
        Ok(Loaded { info, code, data: parts.get(Part::Data), images })
    }

    /// The bytes of a part that loading reads.
    fn early(&self, part: Part) -> &[u8] {
        let range = self.header.part(part);
        self.head.get(range.clone()).or_else(|| (*self.hot).as_ref().get(range)).unwrap_or_default()
    }

    /// Where in the file the initial content of a memory is.
    fn image(&self, image: &Image) -> Result<(MemoryIndex, MemoryImage), Error> {
        let outside = || ArtifactError::Malformed("an image lies outside of the images");
        let all = self.header.part(Part::Images);
        if image.bytes.start > image.bytes.end || image.bytes.end > all.len() {
            return Err(outside().into());
        }
        // Within the file, since the part is.
        let range = (all.start + image.bytes.start) as u64..(all.start + image.bytes.end) as u64;
        let mapped = MemoryImage::new(Arc::clone(&self.file), range, image.start);
        Ok((image.memory, mapped.ok_or_else(outside)?))
    }

    /// Whether this process has found the hot half of this state of the file to be as it was written; where the system does not tell states of the file apart, whether it has found that of this very artefact.
    pub fn is_verified(&self) -> bool {
        if self.verified.get().is_some() {
            return true;
        }
        let Some(id) = self.id else { return false };
        let verified = VERIFIED.lock().unwrap_or_else(PoisonError::into_inner);
        verified.as_ref().is_some_and(|verified| verified.contains(&id))
    }

    /// Takes somebody else's word for what [`Artifact::is_verified`] says.
    ///
    /// # Safety
    /// The hot half of the file must be as the header's checksum says.
    pub unsafe fn assume_verified(&self) {
        self.remember_verified();
    }

    fn remember_verified(&self) {
        self.verified.get_or_init(|| ());
        let Some(id) = self.id else { return };
        let mut verified = VERIFIED.lock().unwrap_or_else(PoisonError::into_inner);
        let verified = verified.get_or_insert_default();
        if verified.len() >= MAX_VERIFIED {
            verified.clear();
        }
        verified.insert(id);
    }

    fn verify_hot(&self) -> Result<(), Error> {
        if self.is_verified() {
            return Ok(());
        }
        let size = usize::try_from(self.header.hot_size).map_err(|_| ArtifactError::Damaged("code"))?;
        if size <= self.hot.len() {
            self.header.verify_hot((*self.hot).as_ref())?;
        } else {
            // With images, which are mapped for the moment only, since nobody else needs all of them.
            let half = FileMapping::new(&self.file, size);
            let half = half.map_err(|source| Error::Os { what: "cannot map the artefact".into(), source })?;
            self.header.verify_hot(half.as_ref())?;
        }
        self.remember_verified();
        Ok(())
    }
}

/// The parts of an artefact whose hot half was checked, as the module that is loaded from it holds them.
struct Parts<'a> {
    artifact: &'a Arc<Artifact>,
    cold: Arc<Cold>,
}

impl Parts<'_> {
    /// The bytes of a part, which are not read yet.
    fn get(&self, part: Part) -> Bytes {
        let owner: Arc<dyn AsRef<[u8]> + Send + Sync> = match part.half() {
            Half::Hot => Arc::clone(&self.artifact.hot) as _,
            Half::Cold => Arc::clone(&self.cold) as _,
        };
        Bytes::part_of(owner, self.artifact.header.part(part))
    }

    /// The code, of a module with so many types.
    fn code(&self, types: usize) -> Result<ModuleCode, Error> {
        let (header, text) = (&self.artifact.header, self.artifact.header.part(Part::Text));
        let start = self.artifact.hot.address() + text.start;
        let short = || ArtifactError::Malformed("a table ends within a row");
        let thunks = table::rows::<ThunkOffsets>(self.artifact.early(Part::Thunks)).ok_or_else(short)?;
        if thunks.len() != types {
            return Err(ArtifactError::Malformed("its types and their thunks differ in number").into());
        }
        let thunks = thunks.map(|offsets| {
            if offsets.enter == u32::MAX {
                return None;
            }
            // SAFETY: the compiler wrote the address of an enter thunk, and the checksum says that it is what it wrote.
            let enter =
                unsafe { std::mem::transmute::<usize, wasmo_abi::vm::EnterThunk>(start + offsets.enter as usize) };
            Some(Thunks { enter, exit: start + offsets.exit as usize })
        });
        let index = header.part(Part::EhFrameHdr);
        let unwind = UnwindTable {
            eh_frame: self.get(Part::EhFrame),
            eh_frame_address: header.part(Part::EhFrame).start as u64,
            text_address: text.start as u64,
            index: (!index.is_empty()).then(|| (self.get(Part::EhFrameHdr), index.start as u64)),
        };
        let unit = CodeUnit {
            start,
            size: text.len(),
            functions: Table::from_bytes(self.get(Part::Functions)).ok_or_else(short)?,
            wasm_offsets: WasmOffsets::from_bytes(self.get(Part::WasmOffsets)),
            unwind,
        };
        Ok(ModuleCode {
            entries: Table::from_bytes(self.get(Part::Entries)).ok_or_else(short)?,
            base: start,
            thunks: thunks.collect(),
            units: vec![unit],
            owner: Arc::clone(self.artifact) as _,
        })
    }
}

/// What a module is made of.
struct Loaded {
    info: ModuleInfo,
    code: ModuleCode,
    data: Bytes,
    images: Vec<(MemoryIndex, MemoryImage)>,
}

/// All parts.
struct Whole(Arc<Artifact>);

impl AsRef<[u8]> for Whole {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes().unwrap_or_default()
    }
}

/// The parts that explain, which are mapped and checked when they are first asked for.
#[derive(Debug)]
struct Cold(Arc<Artifact>);

impl AsRef<[u8]> for Cold {
    fn as_ref(&self) -> &[u8] {
        let artifact = &self.0;
        artifact.bytes().ok().filter(|_| artifact.is_explained()).unwrap_or_default()
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
