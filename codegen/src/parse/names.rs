//! The name section (core specification, appendix A.4).
//!
//! It is a help for people and never makes a module invalid: what cannot be read is left out.

use wasmo_abi::index::FuncIndex;
use wasmo_abi::table::FuncNames;
use wasmparser::{Name, NameSectionReader};

/// What the name section says.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The module's name.
    pub(super) module: Option<String>,
    /// Names of functions below the number of functions.
    pub(super) funcs: FuncNames,
}

/// As much of the section as can be read, with names of the `count` functions of the module only.
pub(super) fn read(section: NameSectionReader<'_>, count: usize) -> Names {
    let mut names = Names::default();
    let mut funcs = Vec::new();
    for subsection in section {
        match subsection {
            Ok(Name::Module { name, .. }) => names.module = Some(name.to_owned()),
            Ok(Name::Function(map)) => {
                let known = map.map_while(Result::ok).filter(|naming| (naming.index as usize) < count);
                funcs.extend(known.map(|naming| (FuncIndex(naming.index), naming.name)));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    names.funcs = funcs.into_iter().collect();
    names
}
