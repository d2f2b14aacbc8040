//! `ptxas`, and what it says of each kernel.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::PtxError;
use crate::module::Function;
use crate::target::Target;

/// Threads of a block whose kernel promises no fewer.
const THREADS_MAX: u64 = 1024;
/// Registers of a multiprocessor, and the most that one block may have.
const REGISTERS: u64 = 65_536;

/// An assembler that runs here.
pub struct Assembler {
    path: PathBuf,
    /// What it says of itself, with the release that decides what it makes.
    pub version: String,
}

/// What one kernel takes of a multiprocessor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of each thread.
    pub registers: u64,
    /// Named barriers of a block.
    pub barriers: u64,
    /// Local memory of each thread.
    pub stack_bytes: u64,
    /// Stores and loads of registers that did not fit, in bytes.
    pub spill_bytes: u64,
}

impl Assembler {
    /// The assembler at `path`.
    ///
    /// # Errors
    /// It does not run.
    pub fn at(path: PathBuf) -> Result<Self, PtxError> {
        let output = Command::new(&path).arg("--version").output();
        let output = output.map_err(PtxError::io(&path))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let release = said.split_whitespace().find_map(|word| word.strip_prefix('V'));
        let Some(release) = release.filter(|_| output.status.success()) else {
            return Err(PtxError::Failed { program: "ptxas --version".into(), said: said.into() });
        };
        Ok(Self { version: format!("ptxas {release}"), path })
    }

    /// Assembles a file: what each kernel uses, and all that nobody should ship.
    ///
    /// # Errors
    /// The assembler refuses the text.
    pub fn assemble(
        &self,
        target: &Target,
        ptx: &Path,
    ) -> Result<(BTreeMap<String, Usage>, Vec<String>), PtxError> {
        let cubin = ptx.with_extension("cubin");
        let arch = format!("-arch={}", target.name);
        let mut command = Command::new(&self.path);
        command.args(["-v", &arch, "-o"]).args([&cubin, ptx]);
        let output = command.output().map_err(PtxError::io(&self.path))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let program = format!("ptxas {arch} {}", ptx.display());
            return Err(PtxError::Failed { program, said: said.into() });
        }
        Ok(read_report(&said))
    }
}

/// What a block of as many threads as `entry` allows would ask of a multiprocessor in vain.
pub(crate) fn overdrawn(entry: &Function, usage: &Usage) -> Option<String> {
    let bound = entry.directives.iter().find_map(|text| text.strip_prefix(".maxntid "));
    let threads = bound.and_then(|sizes| sizes.split(',').next()?.trim().parse().ok());
    let threads: u64 = threads.unwrap_or(THREADS_MAX);
    // A warp takes registers by 256.
    let registers = usage.registers.next_multiple_of(8);
    (registers * threads > REGISTERS).then(|| {
        let Usage { registers, .. } = usage;
        let name = &entry.name;
        format!(
            "{name}: with {registers} registers no block of {threads} threads can be launched; \
             give the kernel bounds(threads, 1)"
        )
    })
}

/// Reads what `ptxas -v` writes to stderr.
pub(crate) fn read_report(report: &str) -> (BTreeMap<String, Usage>, Vec<String>) {
    let mut usage: BTreeMap<String, Usage> = BTreeMap::new();
    let mut complaints = Vec::new();
    let mut kernel = String::new();
    for line in report.lines() {
        if line.contains("(C75") || line.contains("warning") {
            complaints.push(line.trim().to_string());
        }
        if let Some((_, name)) = line.split_once("Compiling entry function '") {
            kernel = name.split('\'').next().unwrap_or_default().to_string();
        }
        let words: Vec<&str> = line.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let before = |unit: &[&str]| {
            let at = words.windows(unit.len()).position(|window| window == unit)?;
            words[..at].last()?.parse::<u64>().ok()
        };
        let own = usage.entry(kernel.clone()).or_default();
        own.registers = before(&["registers"]).unwrap_or(own.registers);
        own.barriers = before(&["barriers"]).unwrap_or(own.barriers);
        own.stack_bytes = before(&["bytes", "stack", "frame"]).unwrap_or(own.stack_bytes);
        let stores = before(&["bytes", "spill", "stores"]).unwrap_or(0);
        own.spill_bytes += stores + before(&["bytes", "spill", "loads"]).unwrap_or(0);
    }
    usage.remove("");
    for (kernel, usage) in &usage {
        let Usage { stack_bytes, spill_bytes, .. } = usage;
        if stack_bytes + spill_bytes > 0 {
            let what = format!("{stack_bytes} bytes of stack, {spill_bytes} bytes spilled");
            complaints.push(format!("{kernel}: {what}"));
        }
    }
    (usage, complaints)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'fits' for 'sm_90a'
ptxas info    : Function properties for fits
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 58 registers, used 2 barriers, 400 bytes cmem[0]
ptxas info    : Compiling entry function 'spills' for 'sm_90a'
ptxas info    : Function properties for spills
    64 bytes stack frame, 12 bytes spill stores, 16 bytes spill loads
ptxas info    : Used 255 registers
ptxas info    : (C7508) Potential Performance Loss: 'setmaxnreg' ignored
";

    #[test]
    fn a_block_that_asks_for_more_registers_than_there_are_is_named() {
        let entry = |directives: &[&str]| Function {
            line: 1,
            is_entry: true,
            name: "k".into(),
            params: Vec::new(),
            directives: directives.iter().map(ToString::to_string).collect(),
            body: Vec::new(),
        };
        let usage = |registers| Usage { registers, ..Usage::default() };
        assert_eq!(overdrawn(&entry(&[]), &usage(64)), None);
        let named = overdrawn(&entry(&[]), &usage(65)).unwrap();
        assert!(named.starts_with("k: with 65 registers no block of 1024 threads"), "{named}");
        let bounds = [".maxntid 384, 1, 1", ".minnctapersm 1"];
        assert_eq!(overdrawn(&entry(&bounds), &usage(168)), None);
        assert!(overdrawn(&entry(&bounds), &usage(169)).is_some());
    }

    #[test]
    fn registers_and_barriers_are_read_and_what_should_not_ship_is_named() {
        let (usage, complaints) = read_report(REPORT);
        let fits = Usage { registers: 58, barriers: 2, ..Usage::default() };
        assert_eq!(usage["fits"], fits);
        assert_eq!(usage["spills"].registers, 255);
        assert_eq!(usage.len(), 2);
        assert_eq!(complaints.len(), 2, "{complaints:?}");
        assert!(complaints[0].contains("C7508"));
        assert_eq!(complaints[1], "spills: 64 bytes of stack, 28 bytes spilled");
    }
}
