//! Which local variables may yet be read at the head of each loop: no others need be handed over there, and none is kept for that alone.
//!
//! The usual analysis, backwards along the edges of the control-flow graph until nothing changes (Aho et al., *Compilers*, 9.2.5), on a graph that is made in a quick look at the body. The
//! body is not validated yet, so nothing that it says may be believed: what it makes of an invalid one is of no use, and nobody uses it.

use wasmo_abi::tier::LoopIndex;
use wasmparser::{FunctionBody, Operator};

use crate::error::Error;

/// The most words in the sets of one function: a bound on memory for bodies made to need much of it.
const MAX_WORDS: usize = 1 << 20;

/// The most rounds in which the graph is looked at: it takes one more than there are loops in one another that hand a variable on, so hardly ever more than four.
const MAX_ROUNDS: usize = 32;

/// The variables that may yet be read at the heads of a body's loops.
#[derive(Debug, Default)]
pub struct Liveness {
    /// The node of each loop's head, in the order in which loops begin.
    heads: Vec<usize>,
    /// The variables that may yet be read at the beginning of each node.
    live: Sets,
}

/// Sets of variables, one for each node.
#[derive(Debug, Default)]
struct Sets {
    /// The size of a set in words; 0 when there are too many, and all variables count as members.
    words: usize,
    bits: Vec<u64>,
}

impl Sets {
    fn word(&mut self, node: usize, index: u32) -> Option<(&mut u64, u64)> {
        let word = index as usize / 64;
        if word >= self.words {
            return None;
        }
        Some((self.bits.get_mut(node * self.words + word)?, 1 << (index % 64)))
    }

    fn insert(&mut self, node: usize, index: u32) {
        if let Some((word, bit)) = self.word(node, index) {
            *word |= bit;
        }
    }

    fn contains(&self, node: usize, index: u32) -> bool {
        let word = index as usize / 64;
        self.words == 0 || self.bits.get(node * self.words + word).is_none_or(|word| word >> (index % 64) & 1 == 1)
    }
}

/// A control-flow graph.
#[derive(Debug, Default)]
struct Graph {
    /// The nodes in the order in which they begin in the body. Numbers are given earlier to those behind frames and to `else`: when the frame begins.
    order: Vec<usize>,
    /// Where control goes from each node.
    next: Vec<Vec<usize>>,
    heads: Vec<usize>,
    /// What each node does with variables, in order: reads and writes.
    uses: Vec<(usize, Use)>,
}

#[derive(Clone, Copy, Debug)]
enum Use {
    Read(u32),
    Write(u32),
}

/// An open control frame.
#[derive(Clone, Copy, Debug)]
struct Frame {
    /// Where branches to it go.
    target: usize,
    /// The node behind it.
    end: usize,
    /// The node where `else` begins, until it has begun.
    otherwise: Option<usize>,
}

impl Graph {
    fn node(&mut self) -> usize {
        self.next.push(Vec::new());
        self.next.len() - 1
    }

    /// What follows in the body, if anything does, belongs to this node.
    fn begin(&mut self, node: usize) -> usize {
        self.order.push(node);
        node
    }

    /// What follows in the body is not reached from before it.
    fn begin_another(&mut self) -> usize {
        let node = self.node();
        self.begin(node)
    }

    fn edge(&mut self, from: usize, to: usize) {
        if let Some(next) = self.next.get_mut(from)
            && !next.contains(&to)
        {
            next.push(to);
        }
    }

    fn of(body: &FunctionBody<'_>) -> Result<Self, Error> {
        let malformed = |error| Error::malformed(&error);
        let mut graph = Self::default();
        let mut here = graph.begin_another();
        let mut frames: Vec<Frame> = Vec::new();
        // A branch to the function itself returns.
        let target =
            |frames: &[Frame], depth: u32| Some(frames.get(frames.len().checked_sub(1 + depth as usize)?)?.target);
        let mut operators = body.get_operators_reader().map_err(malformed)?;
        while !operators.eof() {
            match operators.read().map_err(malformed)? {
                Operator::LocalGet { local_index } => graph.uses.push((here, Use::Read(local_index))),
                Operator::LocalSet { local_index } | Operator::LocalTee { local_index } => {
                    graph.uses.push((here, Use::Write(local_index)));
                }
                Operator::Block { .. } => {
                    let end = graph.node();
                    frames.push(Frame { target: end, end, otherwise: None });
                }
                Operator::Loop { .. } => {
                    let (head, end) = (graph.node(), graph.node());
                    graph.heads.push(head);
                    graph.edge(here, head);
                    frames.push(Frame { target: head, end, otherwise: None });
                    here = graph.begin(head);
                }
                Operator::If { .. } => {
                    let (then, otherwise, end) = (graph.node(), graph.node(), graph.node());
                    graph.edge(here, then);
                    graph.edge(here, otherwise);
                    frames.push(Frame { target: end, end, otherwise: Some(otherwise) });
                    here = graph.begin(then);
                }
                Operator::Else => {
                    let Some(frame) = frames.last_mut() else { break };
                    let Some(otherwise) = frame.otherwise.take() else { break };
                    let end = frame.end;
                    graph.edge(here, end);
                    here = graph.begin(otherwise);
                }
                Operator::End => {
                    let Some(Frame { end, otherwise, .. }) = frames.pop() else { break };
                    graph.edge(here, end);
                    if let Some(otherwise) = otherwise {
                        graph.begin(otherwise);
                        graph.edge(otherwise, end);
                    }
                    here = graph.begin(end);
                }
                Operator::Br { relative_depth } => {
                    if let Some(target) = target(&frames, relative_depth) {
                        graph.edge(here, target);
                    }
                    here = graph.begin_another();
                }
                Operator::BrIf { relative_depth } => {
                    if let Some(target) = target(&frames, relative_depth) {
                        graph.edge(here, target);
                    }
                    let go_on = graph.node();
                    graph.edge(here, go_on);
                    here = graph.begin(go_on);
                }
                Operator::BrTable { targets } => {
                    for depth in targets.targets().chain([Ok(targets.default())]) {
                        if let Some(target) = target(&frames, depth.map_err(malformed)?) {
                            graph.edge(here, target);
                        }
                    }
                    here = graph.begin_another();
                }
                Operator::Return
                | Operator::Unreachable
                | Operator::ReturnCall { .. }
                | Operator::ReturnCallIndirect { .. } => here = graph.begin_another(),
                _ => {}
            }
        }
        Ok(graph)
    }
}

impl Liveness {
    /// Looks at `body`, which has `locals` local variables, parameters included.
    ///
    /// # Errors
    /// When the body is malformed.
    pub fn find(body: &FunctionBody<'_>, locals: usize) -> Result<Self, Error> {
        let Graph { order, next, heads, uses } = Graph::of(body)?;
        let words = locals.div_ceil(64);
        if words.checked_mul(next.len()).is_none_or(|all| all > MAX_WORDS) {
            return Ok(Self { heads, live: Sets::default() });
        }
        let sets = || Sets { words, bits: vec![0; words * next.len()] };
        // What each node reads before it writes it, which is live at its beginning, and what it writes.
        let (mut live, mut written) = (sets(), sets());
        for (node, what) in uses {
            match what {
                Use::Read(index) if !written.contains(node, index) => live.insert(node, index),
                Use::Read(_) => {}
                Use::Write(index) => written.insert(node, index),
            }
        }
        for _ in 0..MAX_ROUNDS {
            let mut changed = false;
            for &node in order.iter().rev() {
                for &next in &next[node] {
                    for word in 0..words {
                        let (here, there) = (node * words + word, next * words + word);
                        let more = live.bits[there] & !written.bits[here] & !live.bits[here];
                        live.bits[here] |= more;
                        changed |= more != 0;
                    }
                }
            }
            if !changed {
                return Ok(Self { heads, live });
            }
        }
        Ok(Self { heads, live: Sets::default() })
    }

    /// Whether variable `index` may yet be read at the head of the loop `at`.
    pub fn is_live(&self, at: LoopIndex, index: u32) -> bool {
        self.heads.get(at.0 as usize).is_none_or(|&head| self.live.contains(head, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmparser::{Parser, Payload};

    /// The live variables at each loop of the only function of a module.
    fn live(locals: u32, text: &str) -> Vec<Vec<u32>> {
        let declared = "i32 ".repeat(locals as usize);
        let bytes = wat::parse_str(format!("(module (func (local {declared}) {text}))")).expect("it is well-formed");
        let body = Parser::new(0).parse_all(&bytes).find_map(|payload| match payload {
            Ok(Payload::CodeSectionEntry(body)) => Some(body),
            _ => None,
        });
        let found = Liveness::find(&body.expect("there is a function"), locals as usize).expect("it is well-formed");
        let loops = (0..).map(LoopIndex).take(found.heads.len());
        loops.map(|at| (0..locals).filter(|&index| found.is_live(at, index)).collect()).collect()
    }

    #[test]
    fn what_is_read_behind_a_loop_is_live_in_it() {
        assert_eq!(live(3, "(loop) (drop (local.get 2))"), [[2]]);
        assert_eq!(live(3, "(loop) (local.set 2 (i32.const 0)) (drop (local.get 2))"), [[0; 0]]);
        assert_eq!(live(3, "(loop) (local.set 2 (local.get 2))"), [[2]]);
    }

    #[test]
    fn what_a_round_leaves_for_the_next_is_live() {
        assert_eq!(live(2, "(loop (local.set 0 (i32.const 1)) (drop (local.get 0)) (br 0))"), [[0; 0]]);
        assert_eq!(
            live(2, "(loop (drop (local.get 0)) (local.set 0 (i32.const 1)) (br_if 0 (local.get 1)))"),
            [[0, 1]]
        );
        // The inner loop's head comes again after the outer one's.
        let text = "(loop (drop (local.get 0)) (loop (local.set 1 (i32.const 1)) (br_if 0 (i32.const 1))) (br 0))";
        assert_eq!(live(2, text), [[0], [0]]);
    }

    #[test]
    fn paths_that_part_are_all_followed() {
        let text = "(loop (if (i32.const 1) (then (local.set 0 (i32.const 1))) (else (local.set 1 (i32.const 1))))
            (drop (local.get 0)) (drop (local.get 1)))";
        assert_eq!(live(2, text), [[0, 1]]);
        let text = "(loop (if (i32.const 1) (then (local.set 0 (i32.const 1)))) (drop (local.get 0)))";
        assert_eq!(live(2, text), [[0]]);
        let text = "(loop (if (i32.const 1) (then (local.set 0 (i32.const 1))) (else (return))) (drop (local.get 0)))";
        assert_eq!(live(2, text), [[0; 0]]);
        let text = "(block (loop (br_table 0 1 2 (i32.const 1))) (drop (local.get 0))) (drop (local.get 1))";
        assert_eq!(live(3, text), [[1]]);
        let text = "(block (loop (br 1)) (drop (local.get 0))) (drop (local.get 1))";
        assert_eq!(live(3, text), [[1]]);
        assert_eq!(live(3, "(loop (unreachable)) (drop (local.get 0))"), [[0; 0]]);
    }

    #[test]
    fn there_may_be_more_variables_than_bits_in_a_word() {
        assert_eq!(
            live(200, "(loop) (drop (local.get 63)) (drop (local.get 64)) (drop (local.get 199))"),
            [[63, 64, 199]]
        );
    }

    #[test]
    fn where_there_is_too_much_everything_is_live() {
        let branches = "(br_if 0 (i32.const 1))".repeat(1500);
        let found = live(50_000, &format!("(block {branches}) (loop)"));
        assert_eq!(found.iter().map(Vec::len).collect::<Vec<_>>(), [50_000]);
        let found = live(50, &format!("(block {branches}) (loop) (drop (local.get 7))"));
        assert_eq!(found, [[7]]);
    }
}
