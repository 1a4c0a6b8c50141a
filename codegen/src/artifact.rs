//! From compiled objects to the bytes of an artefact (`wasmo_abi::artifact`).

use crate::compiler::{CompiledModule, Compiler};
use crate::error::{Error, ErrorKind};
use crate::image;
use wasmo_abi::artifact::{self, ArtifactError, Checksum, Description, HEADER_OFFSET, HEADER_SIZE, Header, Part};
use wasmo_abi::cpu::CpuFeatures;
use wasmo_abi::module::ModuleInfo;

impl Compiler {
    /// Writes a compiled module as an artefact. `info` is what [`crate::parse()`] says of `bytes`, from which `compiled` was made.
    ///
    /// # Errors
    /// `Limit` when it is too large for the format, and internal ones.
    pub fn artifact(&self, info: &ModuleInfo, bytes: &[u8], compiled: &CompiledModule) -> Result<Vec<u8>, Error> {
        let image = self.image(info, compiled)?;
        let contents = Description::contents(info, bytes, image.page_size()).map_err(refused)?;
        let file = image::write(&image, &contents, &image.symbols(info))?;
        let target = self.target.get()?;
        complete(self.header(bytes, target.cpu(), target.extensions()), file)
    }

    /// The header of artefacts that are made from the module in `bytes`, for a CPU of this name with these extensions, but for what depends on the file.
    pub(crate) fn header(&self, bytes: &[u8], cpu: &str, features: CpuFeatures) -> Header {
        Header {
            version: env!("CARGO_PKG_VERSION").into(),
            triple: self.triple().to_owned(),
            cpu: cpu.to_owned(),
            features,
            tunables: self.tunables,
            wasm: artifact::checksum(bytes),
            wasm_size: bytes.len() as u64,
            file_size: 0,
            hot_size: 0,
            parts: [(0, 0); Part::COUNT],
            cold: Checksum::default(),
            hot: Checksum::default(),
            seal: Checksum::default(),
        }
    }
}

/// Puts the header into a file.
///
/// # Errors
/// Internal ones.
pub(crate) fn complete(header: Header, file: image::File) -> Result<Vec<u8>, Error> {
    let header = Header {
        file_size: file.bytes.len() as u64,
        hot_size: file.hot_size,
        parts: file.parts,
        seal: Checksum::default(),
        ..header
    };
    let mut bytes = file.bytes;
    let place = bytes.get_mut(HEADER_OFFSET..).and_then(|rest| rest.first_chunk_mut::<HEADER_SIZE>());
    *place.ok_or_else(|| Error::internal("an artefact without a header"))? = header.encode().map_err(refused)?;
    artifact::finish(&mut bytes).map_err(refused)?;
    Ok(bytes)
}

pub(crate) fn refused(error: ArtifactError) -> Error {
    Error::new(ErrorKind::Internal, format!("the artefact cannot be written: {error}"))
}
