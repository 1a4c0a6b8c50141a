//! Which local variables are assigned in which block, found in a quick look at a body before it is translated.
//!
//! With it, a loop header has phis for the variables that the loop assigns only, and a merge looks at only those that may differ. The
//! body is not validated yet, so nothing that it says may be believed.

use wasmo_abi::tier::LoopIndex;
use wasmparser::{FunctionBody, Operator};

use crate::error::{Error, ErrorKind};

/// The most entries in the sets of one function: a bound on memory for bodies made to need much of it.
const MAX_ENTRIES: usize = 1 << 22;

/// Where the code of a body can be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entered {
    /// At its beginning.
    AtTheBeginning,
    /// At the head of this loop.
    At(LoopIndex),
    /// At its beginning, and at the head of each loop.
    AtAnyLoop,
}

impl Entered {
    fn at(self, at: LoopIndex) -> bool {
        match self {
            Self::AtTheBeginning => false,
            Self::At(only) => at == only,
            Self::AtAnyLoop => true,
        }
    }
}

/// For each block, loop and if of a body, in the order in which they begin, the local variables that are assigned in it, in ascending order.
#[derive(Debug, Default)]
pub struct Assigned {
    frames: Vec<(Box<[u32]>, bool)>,
    /// How many of them are loops.
    loops: u32,
}

impl Assigned {
    /// Looks at `body`, which has `locals` local variables, parameters included. All of them count as assigned in loops at which the code is `entered`, and in the frames around these.
    ///
    /// # Errors
    /// When the body is malformed, or nests assignments beyond all measure.
    pub fn find(body: &FunctionBody<'_>, locals: usize, entered: Entered) -> Result<Self, Error> {
        let malformed = |error| Error::malformed(&error);
        let mut operators = body.get_operators_reader().map_err(malformed)?;
        let mut found = Self::default();
        let mut open: Vec<(usize, Vec<u32>)> = Vec::new();
        let mut entries = 0;
        while !operators.eof() {
            match operators.read().map_err(malformed)? {
                operator @ (Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. }) => {
                    open.push((found.frames.len(), Vec::new()));
                    found.frames.push((Box::default(), false));
                    if matches!(operator, Operator::Loop { .. }) {
                        if entered.at(LoopIndex(found.loops)) {
                            open.iter().for_each(|&(frame, _)| found.frames[frame].1 = true);
                        }
                        found.loops += 1;
                    }
                }
                Operator::End => {
                    let Some((frame, mut set)) = open.pop() else { break };
                    if found.frames[frame].1 {
                        set = (0..u32::try_from(locals).unwrap_or(u32::MAX)).collect();
                    }
                    set.sort_unstable();
                    set.dedup();
                    entries += set.len();
                    if entries > MAX_ENTRIES {
                        return Err(Error::new(ErrorKind::Limit, "a function nests too many assignments"));
                    }
                    if let Some((_, outer)) = open.last_mut() {
                        outer.extend_from_slice(&set);
                    }
                    found.frames[frame].0 = set.into();
                }
                Operator::LocalSet { local_index } | Operator::LocalTee { local_index }
                    if (local_index as usize) < locals =>
                {
                    if let Some((_, set)) = open.last_mut() {
                        set.push(local_index);
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }

    /// Whether there are loops.
    pub fn has_loops(&self) -> bool {
        self.loops > 0
    }

    /// The variables assigned in the frame that is the `frame`th to begin, and whether the function can be entered at a loop in it; the answer can be had once.
    pub fn take(&mut self, frame: usize) -> (Box<[u32]>, bool) {
        self.frames.get_mut(frame).map(std::mem::take).unwrap_or_default()
    }
}
