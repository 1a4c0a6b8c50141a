//! Linked code lies near the code of the process, so that calls between them cost least ([`wasmo_abi::placement`]).

mod common;

use wasmo_abi::placement::WINDOW;
use wasmo_abi::tunables::Tunables;

#[test]
fn code_is_near_the_hosts() {
    let compiler = common::compiler(Tunables::default());
    let (_, _, code) = common::link(&compiler, "(module (func (export \"f\")))");
    let window = |address: usize| address as u64 / WINDOW;
    let host = window(wasmo_codegen::parse as *const () as usize);
    assert!(!code.units.is_empty());
    for unit in &code.units {
        assert_eq!(window(unit.start), host, "code at {:#x}", unit.start);
    }
}
