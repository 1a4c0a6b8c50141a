//! The name section (core specification, appendix A.4).
//!
//! It is a help for people and never makes a module invalid: what cannot be read is left out.

use std::collections::HashMap;

use wasmo_abi::index::FuncIndex;
use wasmparser::{Name, NameSectionReader};

/// What the name section says.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// The module's name.
    pub(super) module: Option<String>,
    /// Names of functions below the number of functions.
    pub(super) funcs: HashMap<FuncIndex, String>,
}

/// As much of the section as can be read, with names of the `count` functions of the module only.
pub(super) fn read(section: NameSectionReader<'_>, count: usize) -> Names {
    let mut names = Names::default();
    for subsection in section {
        match subsection {
            Ok(Name::Module { name, .. }) => names.module = Some(name.to_owned()),
            Ok(Name::Function(map)) => {
                let known = map.map_while(Result::ok).filter(|naming| (naming.index as usize) < count);
                names.funcs.extend(known.map(|naming| (FuncIndex(naming.index), naming.name.to_owned())));
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    names
}
