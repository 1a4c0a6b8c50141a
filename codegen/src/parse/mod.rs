//! Bytes to [`ModuleInfo`], validated.
//!
//! [`module`] walks the sections, [`const_expr`] reads constant expressions, [`names`] the name section, [`types`] converts
//! wasmparser's types. What is left to validate are function bodies: [`ParsedModule`] keeps what that takes, and any thread can do it, one
//! body at a time, while it translates.

mod const_expr;
mod module;
mod names;
mod types;

use wasmo_abi::module::ModuleInfo;
use wasmparser::{
    BinaryReader, FuncToValidate, FuncValidatorAllocations, FunctionBody, Validator, ValidatorResources, WasmFeatures,
};

pub(crate) use const_expr::null_type;
pub use module::parse_full;
pub use types::value_type;

use crate::error::{Error, ErrorKind};

/// A module of which all but the bodies of functions is validated.
#[derive(Debug)]
pub struct ParsedModule {
    /// What the module says.
    pub info: ModuleInfo,
    /// What validating the body of each defined function takes, in order.
    pub funcs: Vec<FuncToValidate<ValidatorResources>>,
}

impl ParsedModule {
    /// What validating the body of the function at `position` among the defined ones takes.
    pub fn to_validate(&self, position: usize) -> Option<FuncToValidate<ValidatorResources>> {
        self.funcs.get(position).map(|func| FuncToValidate {
            resources: func.resources.clone(),
            index: func.index,
            ty: func.ty,
            features: func.features,
        })
    }

    /// Checks the body of the function at `position` among the defined ones. Answers the validator's allocations for further use.
    ///
    /// # Errors
    /// When the body is malformed or invalid; an internal one when `bytes` are not the module's.
    pub fn validate_body(
        &self,
        position: usize,
        bytes: &[u8],
        allocations: FuncValidatorAllocations,
    ) -> Result<FuncValidatorAllocations, Error> {
        let func = self.to_validate(position).ok_or_else(|| Error::internal("a function is missing"))?;
        let mut validator = func.into_validator(allocations);
        validator.validate(&self.body(position, bytes)?).map_err(|error| Error::invalid(&error))?;
        Ok(validator.into_allocations())
    }

    /// The body of the function at `position` among the defined ones.
    ///
    /// # Errors
    /// An internal one when `bytes` are not the module's.
    pub fn body<'a>(&self, position: usize, bytes: &'a [u8]) -> Result<FunctionBody<'a>, Error> {
        let missing = || Error::internal("a function's body does not lie in the module");
        let body = self.info.bodies.get(position).ok_or_else(missing)?;
        let data = bytes.get(body.range()).ok_or_else(missing)?;
        Ok(FunctionBody::new(BinaryReader::new_features(data, u64::from(body.start), features())))
    }
}

/// The features of WebAssembly that wasmo has: version 2.0, and the proposals that the issue list names as done.
pub fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::RELAXED_SIMD
}

/// What a module says besides its function bodies, which are located but not looked into.
///
/// # Errors
/// When the module is malformed, invalid, or uses features that wasmo does not have.
pub fn parse(bytes: &[u8]) -> Result<ModuleInfo, Error> {
    Ok(parse_full(bytes)?.info)
}

/// Checks a whole module.
///
/// # Errors
/// When the module is malformed, invalid, or uses features that wasmo does not have.
pub fn validate(bytes: &[u8]) -> Result<(), Error> {
    let module = parse_full(bytes)?;
    let mut allocations = FuncValidatorAllocations::default();
    for position in 0..module.funcs.len() {
        allocations = module.validate_body(position, bytes, allocations)?;
    }
    Ok(())
}

/// Checks a whole module that [`validate`] has accepted against the rules from before the proposal of multiple memories: there is at most
/// one, and where an operator would name a memory, there is a zero byte.
///
/// # Errors
/// When the module is malformed or invalid by these rules.
pub fn validate_single_memory(bytes: &[u8]) -> Result<(), Error> {
    let features = features().difference(WasmFeatures::MULTI_MEMORY);
    let result = Validator::new_with_features(features).validate_all(bytes);
    // Not as a missing feature: it is missing because it is not wanted.
    result.map(drop).map_err(|error| Error {
        kind: ErrorKind::Invalid,
        offset: usize::try_from(error.offset()).ok(),
        message: error.message().to_owned(),
    })
}
