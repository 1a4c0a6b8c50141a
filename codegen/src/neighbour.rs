//! [`Neighbour`]: an instance of another module, whose functions code may call directly and contain.
//!
//! Code knows its module and nothing else, and serves any number of instances. A late module is made for one instance in one store, and is gone before that: so its code may
//! hold addresses of that instance and of its functions.

use crate::unit::Source;
use std::collections::BTreeMap;
use wasmo_abi::code::ModuleCode;
use wasmo_abi::index::FuncIndex;
use wasmo_abi::module::ModuleInfo;

/// See the [module](self).
#[derive(Clone, Debug)]
pub struct Neighbour<'a> {
    /// What is known of its module.
    pub info: &'a ModuleInfo,
    /// Its module, if bodies of its functions can be had.
    pub source: Option<&'a Source>,
    /// The code of its module: for a module in tiers, the stubs.
    pub code: &'a ModuleCode,
    /// The address of the [`wasmo_abi::tier::VmEntry`]s of a module in tiers; 0 for others.
    pub entries: usize,
    /// The address of its context.
    pub context: usize,
    /// Which imported functions, of the module that is compiled, are functions that the neighbour defines.
    pub imports: &'a BTreeMap<FuncIndex, FuncIndex>,
    /// Those of its functions that may be inlined, by their positions among the defined ones.
    pub inlined: Vec<usize>,
}
