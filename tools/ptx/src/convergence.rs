//! Finds collectives that not all the threads they need are sure to reach together.
//!
//! Every collective says how many threads it takes: a barrier of the whole block, a `wgmma` of a
//! warpgroup, a shuffle of a warp. Where it stands, every branch that decides whether it runs must
//! go the same way in all of them. A barrier that a compiler copied into both sides of
//! `if thread == 0` breaks that, and no run on the host can show it.

use std::collections::{HashMap, HashSet};

use crate::PtxError;
use crate::finding::Finding;
use crate::flow::{Flow, Step};
use crate::module::Function;
use crate::spread::{self, BLOCK, Spread, WARP, WARPGROUP};
use crate::statement::Instruction;

/// Adds what is wrong in a kernel.
///
/// # Errors
/// The kernel's control flow cannot be followed.
pub(crate) fn check(function: &Function, findings: &mut Vec<Finding>) -> Result<(), PtxError> {
    let flow = Flow::of(function)?;
    let known = Known::of(&flow);
    for (at, block) in flow.blocks.iter().enumerate() {
        for step in &block.steps {
            let Some(needed) = threads_needed(step.instruction) else { continue };
            let agreed = known.guard(step).min(known.blocks[at]);
            if agreed < needed {
                let decider = known.least_agreed(&flow, at);
                let place = decider.map_or("its own guard".to_string(), |line| {
                    format!("the branch at line {line}")
                });
                findings.push(Finding {
                    line: step.line,
                    kernel: function.name.clone(),
                    what: format!(
                        "`{}` needs {} together, but {place} may part them",
                        step.instruction,
                        group(needed),
                    ),
                });
            }
        }
    }
    Ok(())
}

/// Order of the group of threads that an instruction needs; `None` if each thread may run it alone.
fn threads_needed(instruction: &Instruction) -> Option<u8> {
    match instruction.stem() {
        "bar" | "barrier" if instruction.has("warp") => Some(WARP),
        "bar" | "barrier" => {
            // `bar.sync id, threads` is for some warps, `bar.sync id` for all.
            let own = usize::from(instruction.has("red")) * 2;
            let names_threads = instruction.operands.len() >= own + 2;
            Some(if names_threads { WARP } else { BLOCK })
        }
        "wgmma" | "setmaxnreg" => Some(WARPGROUP),
        "shfl" | "vote" | "match" | "redux" | "elect" | "mma" | "wmma" | "ldmatrix"
        | "stmatrix" | "movmatrix" => Some(WARP),
        _ => instruction.has("aligned").then_some(WARP),
    }
}

fn group(order: u8) -> &'static str {
    match order {
        WARP => "all threads of a warp",
        WARPGROUP => "all threads of a warpgroup",
        _ => "all threads of the block",
    }
}

/// What is known of each register, and how far each block runs together.
struct Known {
    registers: HashMap<String, Spread>,
    blocks: Vec<u8>,
}

impl Known {
    /// Starts from the best and takes back until nothing changes.
    fn of(flow: &Flow<'_>) -> Self {
        let steps = || flow.blocks.iter().flat_map(|block| &block.steps);
        let registers: HashSet<&String> = steps().flat_map(spread::written).collect();
        let registers = registers.into_iter().map(|name| (name.clone(), Spread::Unwritten));
        let mut known =
            Self { registers: registers.collect(), blocks: vec![BLOCK; flow.blocks.len()] };
        while known.take_back(flow) {}
        known
    }

    fn take_back(&mut self, flow: &Flow<'_>) -> bool {
        let mut changed = false;
        for (at, block) in flow.blocks.iter().enumerate() {
            let deciders = block.deciders.iter().map(|&decider| self.decision(flow, decider));
            let agreed = deciders.min().unwrap_or(BLOCK);
            changed |= agreed != self.blocks[at];
            self.blocks[at] = agreed;
            for step in &block.steps {
                let agreed = agreed.min(self.guard(step));
                let made = spread::result(step, |name| self.register(name));
                let made = if spread::is_promised(step) {
                    made
                } else {
                    made.written_by_groups_of(agreed)
                };
                for name in spread::written(step) {
                    let before = self.register(name);
                    let after = before.or(made);
                    changed |= before != after;
                    self.registers.insert(name.clone(), after);
                }
            }
        }
        changed
    }

    /// Symbols, which nothing writes, are the same everywhere.
    fn register(&self, name: &str) -> Spread {
        self.registers.get(name).copied().unwrap_or(Spread::Same(BLOCK))
    }

    fn guard(&self, step: &Step<'_>) -> u8 {
        step.guard.as_ref().map_or(BLOCK, |name| self.register(name).order())
    }

    /// How far the threads that reach the end of a block go on the same way.
    fn decision(&self, flow: &Flow<'_>, decider: usize) -> u8 {
        let Some(last) = flow.blocks[decider].steps.last() else { return BLOCK };
        let index = match last.instruction.stem() {
            "brx" => last.names[0].iter().map(|name| self.register(name).order()).min(),
            _ => None,
        };
        self.blocks[decider].min(self.guard(last)).min(index.unwrap_or(BLOCK))
    }

    /// Line of the innermost branch that parts threads on the way to a block.
    fn least_agreed(&self, flow: &Flow<'_>, block: usize) -> Option<usize> {
        let (mut at, mut seen) = (block, HashSet::new());
        loop {
            let deciders = flow.blocks[at].deciders.iter().copied();
            at = deciders.min_by_key(|&decider| self.decision(flow, decider))?;
            let last = flow.blocks[at].steps.last()?;
            let parts_itself = self.guard(last) <= self.decision(flow, at);
            if parts_itself || !seen.insert(at) {
                return Some(last.line);
            }
        }
    }
}
