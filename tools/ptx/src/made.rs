//! One target, from source to judgement.

use std::collections::BTreeSet;
use std::path::Path;

use crate::assembler::{Assembler, overdrawn};
use crate::compiler::Compiler;
use crate::counts::count;
use crate::lint::lint;
use crate::module::Module;
use crate::normal::{normalise, render};
use crate::numbers::Numbers;
use crate::target::Target;
use crate::{Finding, PtxError};

/// What a target's PTX is and what there is to say of it.
pub struct Made {
    /// The text to commit.
    pub ptx: String,
    /// The numbers to commit; without an assembler, those that need none.
    pub numbers: Numbers,
    /// Source files, by their paths from the root.
    pub inputs: BTreeSet<String>,
    /// What must not be committed, by line of `ptx`.
    pub findings: Vec<Finding>,
    /// What the assembler has against it.
    pub complaints: Vec<String>,
}

impl Made {
    /// Compiles the crate at `lib`, a path from `root`, and judges the outcome. Leaves the text and
    /// what it came from in `out`.
    ///
    /// # Errors
    /// A program fails, or the PTX holds what cannot be judged.
    pub fn of(
        target: &Target,
        compiler: &Compiler,
        assembler: Option<&Assembler>,
        (root, lib): (&Path, &str),
        out: &Path,
    ) -> Result<Self, PtxError> {
        let (compiled, inputs) = compiler.compile(target, root, lib, out)?;
        let module = normalise(Module::parse(&compiled)?, target)?;
        let heading =
            format!("Made by `ci/ptx --write` from kernels/src, with {}.", compiler.version);
        let ptx = render(&module, &heading);
        let path = out.join("kernels.ptx");
        std::fs::write(&path, &ptx).map_err(PtxError::io(&path))?;

        let module = Module::parse(&ptx)?;
        let findings = lint(&module)?;
        let kernels = module.entries().map(|entry| (entry.name.clone(), count(entry))).collect();
        let mut numbers =
            Numbers { compiler: compiler.version.clone(), kernels, ..Numbers::default() };
        let mut complaints = Vec::new();
        // The assembler stops at what the lint has already named more plainly.
        if let Some(assembler) = assembler.filter(|_| findings.is_empty()) {
            let (usage, said) = assembler.assemble(target, &path)?;
            numbers.assembled(&assembler.version, &usage);
            complaints = said;
            let uses = module.entries().filter_map(|entry| Some((entry, usage.get(&entry.name)?)));
            complaints.extend(uses.filter_map(|(entry, usage)| overdrawn(entry, usage)));
        }
        Ok(Self { ptx, numbers, inputs, findings, complaints })
    }
}
