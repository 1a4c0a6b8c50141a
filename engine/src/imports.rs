//! Whether imports are there and of the right type, and [`ImportError`], which lists all that are not.

use crate::{ExternType, ImportType};
use std::fmt;
use wasmo_abi::tunables::MAX_GROWN_PAGES;

/// Imports are missing or of the wrong type; the error lists all of them. Errors of instantiation are downcast to it.
///
/// ```
/// # fn main() -> wasmo::Result<()> {
/// use wasmo::{Engine, ImportError, Linker, Module, Store};
///
/// let engine = Engine::default();
/// let module = Module::new(&engine, r#"(module
///     (import "env" "missing" (func (param i32)))
///     (import "env" "wrong" (func (result i64))))"#)?;
/// let mut linker = Linker::<()>::new(&engine);
/// linker.func_wrap("env", "wrong", || 1_i32)?;
/// let error = linker.instantiate(&mut Store::new(&engine, ()), &module).unwrap_err();
/// let error = error.downcast_ref::<ImportError>().expect("imports do not match");
/// assert_eq!(error.to_string(), "2 imports do not match:
///   unknown import: `env::missing` has not been defined (expected func (i32) -> ())
///   incompatible import type for `env::wrong`: expected func () -> (i64), found func () -> (i32)");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ImportError {
    problems: Vec<ImportProblem>,
}

impl ImportError {
    pub(crate) fn new(problems: Vec<ImportProblem>) -> Self {
        Self { problems }
    }

    /// The imports, in the module's order.
    pub fn problems(&self) -> &[ImportProblem] {
        &self.problems
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [problem] = &self.problems[..] {
            return problem.fmt(f);
        }
        write!(f, "{} imports do not match:", self.problems.len())?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ImportError {}

/// What is wrong with one import.
#[derive(Clone, Debug)]
pub struct ImportProblem {
    module: String,
    name: String,
    expected: ExternType,
    found: Option<ExternType>,
}

impl ImportProblem {
    /// The first name: the module to import from.
    pub fn module(&self) -> &str {
        &self.module
    }

    /// The second name: the item.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the module expects.
    pub fn expected(&self) -> &ExternType {
        &self.expected
    }

    /// What there is, if there is anything of these names.
    pub fn found(&self) -> Option<&ExternType> {
        self.found.as_ref()
    }
}

impl fmt::Display for ImportProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { module, name, expected, found } = self;
        match found {
            None => write!(f, "unknown import: `{module}::{name}` has not been defined (expected {expected})"),
            Some(found) => {
                write!(f, "incompatible import type for `{module}::{name}`: expected {expected}, found {found}")
            }
        }
    }
}

/// What is wrong with `import` when there is a `found` of its names.
pub(crate) fn check(import: &ImportType<'_>, found: Option<ExternType>) -> Option<ImportProblem> {
    let expected = import.ty();
    if found.as_ref().is_some_and(|found| matches(found, &expected)) {
        return None;
    }
    Some(ImportProblem { module: import.module().to_owned(), name: import.name().to_owned(), expected, found })
}

/// Whether something of type `found` may be imported as `expected`.
fn matches(found: &ExternType, expected: &ExternType) -> bool {
    if let (ExternType::Memory(found), ExternType::Memory(expected)) = (found, expected) {
        // Code that expects a smaller memory relies on addresses that cannot wrap.
        if found.minimum() > MAX_GROWN_PAGES && expected.minimum() <= MAX_GROWN_PAGES {
            return false;
        }
    }
    found.matches(expected)
}
