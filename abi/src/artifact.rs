//! The artefact: a module's code and everything about it in one file, to be mapped and run.
//!
//! It is an ELF shared object in which every address is the offset in the file, so that common tools read it. wasmo itself reads only what is described
//! here: a [`Header`] at a fixed place, which says what the file was made from and for, and where its [`Part`]s lie. Parts of the *hot*
//! half are needed to run; they are covered by one checksum, those of the *cold* half (names, offsets, call frame information) by another, so that
//! they need not be touched before somebody asks for them. The header is part of the hot half, and its checksum is taken with the last two
//! fields, itself and the seal, as zero. The seal is a keyed hash of the header, by which a cache knows its own files.
//!
//! A *partial* artefact holds what a module in tiers had compiled when a run of it ended: some functions have no code yet. It is of use only together with a
//! compiler and the module's binary, and lies only in caches. [`Part::Learned`] tells it from a whole one.
//!
//! Neither checksum protects against an enemy, who could make a file of any code: an artefact is a program, and loading it is running it.

mod checksum;
mod description;
mod flat;
mod header;

pub use checksum::{Checksum, checksum};
pub use description::{Content, Description, Image, ThunkOffsets};
pub use header::{HEADER_OFFSET, HEADER_SIZE, Header, MAGIC, REVISION, finish, sealed_bytes, set_seal};

macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident $section:literal $half:ident,)*) => {
        /// A part of an artefact.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Part { $($(#[$doc])* $name,)* }

        impl Part {
            /// All parts, in the order in which they lie in the file.
            pub const ALL: [Self; Self::COUNT] = [$(Self::$name,)*];

            /// How many there are.
            pub const COUNT: usize = [$($section,)*].len();

            /// The name of its ELF section.
            pub fn section(self) -> &'static str {
                match self { $(Self::$name => $section,)* }
            }

            /// Whether code needs it to run.
            pub fn half(self) -> Half {
                match self { $(Self::$name => Half::$half,)* }
            }
        }
    };
}

/// The half of an artefact that a part belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// Needed to run.
    Hot,
    /// Needed to explain.
    Cold,
}

parts! {
    /// A [`Description`]; of what there is much of in its own form, the rest in that of the crate `postcard`.
    Description ".wasmo.description" Hot,
    /// A [`ThunkOffsets`] for each type. Loading reads this part and the one before, and nothing else but the header.
    Thunks ".wasmo.thunks" Hot,
    /// [`crate::module::ModuleInfo::funcs`].
    Funcs ".wasmo.funcs" Hot,
    /// [`crate::module::ModuleInfo::escaping`].
    Escaping ".wasmo.escaping" Hot,
    /// [`crate::module::ModuleInfo::elem_funcs`].
    ElemFuncs ".wasmo.elem_funcs" Hot,
    /// [`crate::code::ModuleCode::entries`], as distances from the text; [`crate::tier::NO_CODE`] for functions without code.
    Entries ".wasmo.entries" Hot,
    /// A [`crate::tier::Learned`] for each defined function, in an artefact that may not have code for all of them; empty in others.
    Learned ".wasmo.learned" Hot,
    /// The contents of data segments that are not in an image.
    Data ".wasmo.data" Hot,
    /// Constants and jump tables that the code refers to.
    Rodata ".rodata" Hot,
    /// The code. It begins at a page, as the images do.
    Text ".text" Hot,
    /// The initial contents of memories, each beginning at a page: see [`Image`].
    Images ".wasmo.images" Hot,
    /// [`crate::module::ModuleInfo::bodies`].
    Bodies ".wasmo.bodies" Cold,
    /// [`crate::code::CodeUnit::functions`].
    Functions ".wasmo.functions" Cold,
    /// [`crate::code::CodeUnit::wasm_offsets`].
    WasmOffsets ".wasmo.offsets" Cold,
    /// [`crate::table::FuncNames::rows`].
    NameRows ".wasmo.names" Cold,
    /// [`crate::table::FuncNames::text`].
    NameText ".wasmo.names.text" Cold,
    /// Call frame information.
    EhFrame ".eh_frame" Cold,
    /// Its table for bisection.
    EhFrameHdr ".eh_frame_hdr" Cold,
}

/// Why a file is no artefact for us.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArtifactError {
    /// It does not begin like one.
    #[error("it is not an artefact of wasmo's")]
    NotAnArtifact,
    /// It belongs to another version.
    #[error("it was made by wasmo {made_by}, revision {revision}; this is wasmo {}, revision {REVISION}: compile the module again", env!("CARGO_PKG_VERSION"))]
    Version {
        /// The other version.
        made_by: String,
        /// Its [`REVISION`].
        revision: u32,
    },
    /// It ends early, or has more than it says.
    #[error("it has {found} bytes where {expected} are expected: it is incomplete or damaged")]
    Length {
        /// The file's length.
        found: u64,
        /// The length that its header says.
        expected: u64,
    },
    /// A checksum is wrong.
    #[error("its content is damaged: the checksum of its {0} does not fit")]
    Damaged(&'static str),
    /// What it says of itself is impossible.
    #[error("its content is damaged: {0}")]
    Malformed(&'static str),
    /// It is for another machine.
    #[error("it was compiled for {found}; this is {expected}")]
    Target {
        /// The file's target.
        found: String,
        /// This machine's.
        expected: String,
    },
    /// It uses what this processor lacks.
    #[error("it uses what this processor does not have: {0}; compile the module for another processor (--cpu)")]
    CpuFeatures(String),
    /// Not all functions have code.
    #[error("it holds only a part of the module's code, and is of use in the cache only")]
    Partial,
}
