//! Putting thunks to where they can be called: those of a module in tiers ([`of_module`]), and those of types of which no module has any ([`Owned`]).

use crate::error::internal;
use crate::{CompileError, Engine, Result};
use std::mem::transmute;
use std::sync::Arc;
use wasmo_abi::code::{ModuleCode, Thunks};
use wasmo_abi::index::EntityIndex;
use wasmo_abi::table::Table;
use wasmo_abi::types::FuncType;
use wasmo_abi::vm::EnterThunk;
use wasmo_codegen::{NewCode, Object, PlacedCode, Source};
use wasmo_runtime::code_memory::CodePiece;

/// Thunks, and what keeps their code.
pub(crate) struct Owned {
    pub(crate) thunks: Thunks,
    _code: CodePiece,
}

/// The code of a module in tiers of which nothing but its thunks is compiled, and the objects with these.
///
/// # Errors
/// When LLVM makes some of them and fails, and when there is no memory for them.
pub(super) fn of_module(engine: &Engine, source: &Source) -> Result<(ModuleCode, Vec<Arc<Object>>)> {
    let made = engine.compiler()?.module_thunks(source).map_err(CompileError::from)?;
    let mut thunks = vec![None; source.info().types.len()];
    let (mut units, mut pieces, mut objects) = (Vec::new(), Vec::new(), Vec::new());
    for new in made {
        let (placed, piece) = place(engine, new)?;
        for (ty, of_type) in callable(&placed) {
            let place = thunks.get_mut(ty).ok_or_else(|| internal("thunks of a type that the module does not have"))?;
            *place = Some(of_type);
        }
        units.push(placed.unit);
        pieces.push(piece);
        objects.push(placed.object);
    }
    units.sort_by_key(|unit| unit.start);
    let code = ModuleCode { entries: Table::default(), base: 0, thunks, units, owner: Arc::new(pieces) };
    Ok((code, objects))
}

/// The thunks of a type.
///
/// # Errors
/// As [`of_module`], and when this process cannot run what the engine compiles.
pub(crate) fn of_type(engine: &Engine, ty: &FuncType) -> Result<Owned> {
    let new = engine.compiler()?.thunks(ty).map_err(CompileError::from)?;
    let (placed, code) = place(engine, new)?;
    let thunks = callable(&placed).next().ok_or_else(|| internal("the thunks were not compiled"))?.1;
    Ok(Owned { thunks, _code: code })
}

/// Copies code to where it is executed.
fn place(engine: &Engine, new: NewCode) -> Result<(PlacedCode, CodePiece)> {
    let piece = engine.code_memory().place(new.contents(), new.align())?;
    Ok((new.at(piece.address()), piece))
}

/// The thunks in `placed`, which is where it says that it is, with the positions of their types.
fn callable(placed: &PlacedCode) -> impl Iterator<Item = (usize, Thunks)> {
    placed.thunks.iter().map(|&(ty, enter, exit)| {
        // SAFETY: the address is that of an enter thunk, which has this C signature, and the code has been copied there.
        let enter = unsafe { transmute::<usize, EnterThunk>(enter) };
        (ty.position(), Thunks { enter, exit })
    })
}
