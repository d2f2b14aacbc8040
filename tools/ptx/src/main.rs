//! `ptx`: makes the PTX of the kernels anew, judges it, and compares it with what is committed.
//!
//! Exit code 0 when all is well, 1 when something is found or differs, 3 when a program is missing
//! or of another version.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use ptx::{Assembler, Compiler, Made, Numbers, PtxError, Sources, TARGETS, Target, difference};

/// Root of the crate that is compiled.
const LIB: &str = "kernels/src/lib.rs";
/// Folder of what is committed.
const COMMITTED: &str = "kernels/ptx";

/// Makes kernels/ptx from the sources of the kernels and fails on any difference. `ci/ptx` runs
/// this with everything it needs installed.
#[derive(Parser)]
struct Arguments {
    /// Keep what was made: write it to kernels/ptx.
    #[arg(long, requires = "ptxas")]
    write: bool,
    /// Compiler; must be of the version that made what is committed, unless --write.
    #[arg(long, default_value = "/usr/bin/rustc")]
    rustc: PathBuf,
    /// Source of the standard library, if not where the compiler says.
    #[arg(long)]
    library: Option<PathBuf>,
    /// Assembler.
    #[arg(long, required_unless_present = "without_ptxas")]
    ptxas: Option<PathBuf>,
    /// Leave registers, stack frames and spills unchecked, which need an assembler.
    #[arg(long, conflicts_with = "ptxas")]
    without_ptxas: bool,
    /// Folder for what is built on the way.
    #[arg(long, default_value = "target/ptx")]
    work: PathBuf,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(faults) => {
            eprintln!(
                "{faults} fault(s); where kernels/ptx is only old, run `ci/ptx --write`, review \
                 the difference and commit it"
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            let unmet = matches!(error, PtxError::OtherVersion { .. } | PtxError::Io { .. });
            ExitCode::from(if unmet { 3 } else { 1 })
        }
    }
}

/// The number of faults that were found and printed.
fn run(arguments: &Arguments) -> Result<usize, PtxError> {
    let Arguments { rustc, library, work, .. } = arguments;
    let compiler = Compiler::prepare(rustc.clone(), library.clone(), work)?;
    let assembler = arguments.ptxas.clone().map(Assembler::at).transpose()?;
    if assembler.is_none() {
        eprintln!("skipped, for want of ptxas: registers, stack frames, spills, its warnings");
    }
    let mut inputs = BTreeSet::new();
    let mut faults = 0;
    for target in &TARGETS {
        let numbers_path = committed(target, "toml");
        // What is to be replaced need not even parse: it may hold a conflict.
        let before = if arguments.write {
            Numbers::default()
        } else {
            Numbers::parse(&numbers_path, &text_of(&numbers_path))?
        };
        same_version(rustc, &compiler.version, &before.compiler)?;
        if let (Some(path), Some(assembler)) = (&arguments.ptxas, &assembler) {
            same_version(path, &assembler.version, &before.assembler)?;
        }
        let out = work.join(target.name);
        let source = (Path::new("."), LIB);
        let mut made = Made::of(target, &compiler, assembler.as_ref(), source, &out)?;
        inputs.append(&mut made.inputs);
        if assembler.is_none() {
            made.numbers.assembled_as_in(&before);
        }
        // What has faults is neither kept nor compared: it will not stay.
        let found = judge(target, &made, &out.join("kernels.ptx"));
        if found == 0 {
            faults += keep(arguments.write, &committed(target, "ptx"), &made.ptx)?;
            faults += keep(arguments.write, &numbers_path, &made.numbers.render())?;
        }
        faults += found;
    }
    if faults == 0 || !arguments.write {
        let sources = Sources::of(Path::new("."), inputs)?.render();
        faults += keep(arguments.write, &Path::new(COMMITTED).join("sources.b3"), &sources)?;
    }
    Ok(faults)
}

fn committed(target: &Target, extension: &str) -> PathBuf {
    Path::new(COMMITTED).join(target.name).with_extension(extension)
}

/// What a file holds; nothing, if there is none yet.
fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn same_version(program: &Path, found: &str, expected: &str) -> Result<(), PtxError> {
    if found == expected || expected.is_empty() {
        return Ok(());
    }
    let (program, found, expected) = (program.to_path_buf(), found.into(), expected.into());
    Err(PtxError::OtherVersion { program, found, expected })
}

/// Prints what is wrong with a target's PTX; how much that is.
fn judge(target: &Target, made: &Made, path: &Path) -> usize {
    for finding in &made.findings {
        println!("{}:{finding}", path.display());
    }
    for complaint in &made.complaints {
        println!("{}: {complaint}", target.name);
    }
    made.findings.len() + made.complaints.len()
}

/// Writes a text that is to be committed, or compares it with what is; 1 if it differs.
fn keep(write: bool, path: &Path, made: &str) -> Result<usize, PtxError> {
    let before = text_of(path);
    let Some(differs) = difference(&before, made) else { return Ok(0) };
    if write {
        let wrap = |source| PtxError::Io { path: path.to_path_buf(), source };
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(wrap)?;
        std::fs::write(path, made).map_err(wrap)?;
        println!("wrote {}", path.display());
        return Ok(0);
    }
    print!("{} is not what the sources make, from {differs}", path.display());
    Ok(1)
}
