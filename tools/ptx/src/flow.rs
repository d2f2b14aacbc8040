//! The control flow of a kernel: basic blocks, and for each the branches that decide whether it
//! runs. Names declared in an inner scope are made unique, so that two inline snippets with a
//! predicate `p` each do not share it.

use std::collections::{HashMap, HashSet};

use petgraph::algo::dominators::simple_fast;
use petgraph::graph::{DiGraph, NodeIndex};
use petgraph::visit::Reversed;

use crate::PtxError;
use crate::module::Function;
use crate::statement::{Instruction, Kind, names};

/// A kernel's blocks in the order of the text.
pub(crate) struct Flow<'a> {
    pub(crate) blocks: Vec<Block<'a>>,
}

/// Instructions that run together.
#[derive(Default)]
pub(crate) struct Block<'a> {
    pub(crate) steps: Vec<Step<'a>>,
    /// Blocks whose last step decides whether this one runs (Ferrante, Ottenstein and Warren's
    /// control dependence).
    pub(crate) deciders: Vec<usize>,
    targets: Vec<String>,
    falls_through: bool,
}

/// An instruction with its names made unique.
pub(crate) struct Step<'a> {
    pub(crate) line: usize,
    pub(crate) instruction: &'a Instruction,
    /// Of the guard, if any.
    pub(crate) guard: Option<String>,
    /// Of each operand.
    pub(crate) names: Vec<Vec<String>>,
}

impl<'a> Flow<'a> {
    /// # Errors
    /// A branch to a label that is not there, or code from which no path leaves the kernel.
    pub(crate) fn of(function: &'a Function) -> Result<Self, PtxError> {
        let scopes = Scopes::of(function);
        let mut blocks = vec![Block { falls_through: true, ..Block::default() }];
        let mut labels = HashMap::new();
        let mut tables: HashMap<String, Vec<String>> = HashMap::new();
        let mut last_label = String::new();
        for (statement, &scope) in function.body.iter().zip(&scopes.of_statement) {
            match &statement.kind {
                Kind::Open | Kind::Close => {}
                Kind::Label(label) => {
                    last_label = scopes.unique(scope, label);
                    labels.insert(last_label.clone(), blocks.len());
                    blocks.push(Block { falls_through: true, ..Block::default() });
                }
                Kind::Directive(text) => {
                    if let Some(list) = text.strip_prefix(".branchtargets") {
                        let list = names(list).map(|name| scopes.unique(scope, name)).collect();
                        tables.insert(last_label.clone(), list);
                    }
                }
                Kind::Instruction(instruction) => {
                    let step = scopes.step(scope, statement.line, instruction);
                    if end_block(blocks.last_mut().expect("starts with one"), step) {
                        blocks.push(Block { falls_through: true, ..Block::default() });
                    }
                }
            }
        }
        let mut flow = Self { blocks };
        let edges = flow.edges(&labels, &tables)?;
        flow.find_deciders(&edges, function)?;
        Ok(flow)
    }

    /// Pairs of a block and one that may follow; past the last block lies the exit.
    fn edges(
        &self,
        labels: &HashMap<String, usize>,
        tables: &HashMap<String, Vec<String>>,
    ) -> Result<Vec<(usize, usize)>, PtxError> {
        let exit = self.blocks.len();
        let mut edges = Vec::new();
        for (at, block) in self.blocks.iter().enumerate() {
            if block.falls_through {
                edges.push((at, at + 1));
            } else if block.targets.is_empty() {
                edges.push((at, exit));
            }
            let listed = |name: &String| tables.get(name).cloned().unwrap_or(vec![name.clone()]);
            for target in block.targets.iter().flat_map(listed) {
                let Some(to) = labels.get(&target) else {
                    let line = block.steps.last().map_or(1, |step| step.line);
                    return Err(PtxError::syntax(line, format!("no label `{target}`")));
                };
                edges.push((at, *to));
            }
            let leaves = block.steps.last().is_some_and(|step| leaves(step.instruction));
            if leaves && block.falls_through {
                edges.push((at, exit));
            }
        }
        Ok(edges)
    }

    fn find_deciders(
        &mut self,
        edges: &[(usize, usize)],
        function: &Function,
    ) -> Result<(), PtxError> {
        let exit = self.blocks.len();
        let node = |at: usize| NodeIndex::<u32>::new(at);
        let mut graph = DiGraph::<(), ()>::new();
        for _ in 0..=exit {
            graph.add_node(());
        }
        graph.extend_with_edges(edges.iter().map(|&(from, to)| (node(from), node(to))));
        let reached: HashSet<usize> = reached(&graph);
        let after = simple_fast(Reversed(&graph), node(exit));
        let next_certain = |at: usize| after.immediate_dominator(node(at)).map(NodeIndex::index);
        for &(from, to) in edges.iter().filter(|(from, _)| reached.contains(from)) {
            let Some(join) = next_certain(from) else {
                let line = self.blocks[from].steps.last().map_or(function.line, |step| step.line);
                let what = format!("no path leads from here to the end of `{}`", function.name);
                return Err(PtxError::syntax(line, what));
            };
            let mut decided = to;
            while decided != join {
                if !self.blocks[decided].deciders.contains(&from) {
                    self.blocks[decided].deciders.push(from);
                }
                let Some(next) = next_certain(decided) else { break };
                decided = next;
            }
        }
        Ok(())
    }
}

/// Adds `step` to `block`; whether the block ends there.
fn end_block<'a>(block: &mut Block<'a>, step: Step<'a>) -> bool {
    let instruction = step.instruction;
    let ends = match instruction.stem() {
        "bra" | "brx" => {
            block.targets = step.names.last().cloned().unwrap_or_default();
            true
        }
        _ => leaves(instruction),
    };
    if ends {
        block.falls_through = step.guard.is_some();
    }
    block.steps.push(step);
    ends
}

fn leaves(instruction: &Instruction) -> bool {
    matches!(instruction.stem(), "ret" | "exit" | "trap")
}

fn reached(graph: &DiGraph<(), ()>) -> HashSet<usize> {
    let mut search = petgraph::visit::Dfs::new(graph, NodeIndex::new(0));
    std::iter::from_fn(|| search.next(graph)).map(NodeIndex::index).collect()
}

/// Which names are declared in which pair of braces.
struct Scopes {
    /// Each scope's parent and names; the body itself is number 0.
    scopes: Vec<(usize, HashSet<String>)>,
    of_statement: Vec<usize>,
}

impl Scopes {
    fn of(function: &Function) -> Self {
        let mut all = Self { scopes: vec![(0, HashSet::new())], of_statement: Vec::new() };
        let mut current = 0;
        for statement in &function.body {
            match &statement.kind {
                Kind::Open => {
                    all.scopes.push((current, HashSet::new()));
                    current = all.scopes.len() - 1;
                }
                Kind::Close => current = all.scopes[current].0,
                Kind::Label(label) => drop(all.scopes[current].1.insert(label.clone())),
                Kind::Directive(text) if text.starts_with(".reg") => {
                    let declared = text.split_whitespace().skip(2).flat_map(names);
                    all.scopes[current].1.extend(declared.map(str::to_string));
                }
                Kind::Directive(_) | Kind::Instruction(_) => {}
            }
            all.of_statement.push(current);
        }
        all
    }

    fn unique(&self, mut scope: usize, name: &str) -> String {
        while scope != 0 && !self.scopes[scope].1.contains(name) {
            scope = self.scopes[scope].0;
        }
        if scope == 0 { name.to_string() } else { format!("{name}#{scope}") }
    }

    fn step<'a>(&self, scope: usize, line: usize, instruction: &'a Instruction) -> Step<'a> {
        let guard = instruction.guard.as_deref();
        let unique = |operand: &String| names(operand).map(|n| self.unique(scope, n)).collect();
        Step {
            line,
            instruction,
            guard: guard.map(|name| self.unique(scope, name.trim_start_matches('!'))),
            names: instruction.operands.iter().map(unique).collect(),
        }
    }
}
