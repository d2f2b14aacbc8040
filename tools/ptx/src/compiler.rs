//! The compiler of the device half: a stock `rustc` with an LLVM that speaks PTX, and `core` built
//! once for it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::PtxError;
use crate::target::Target;

const TRIPLE: &str = "nvptx64-nvidia-cuda";
/// Every crate is linked to this one; it can be empty, because whatever a kernel wanted from it
/// would be a call, which the lint refuses.
const COMPILER_BUILTINS: &str = "\
#![feature(compiler_builtins)]\n#![allow(internal_features)]\n#![compiler_builtins]\n#![no_std]\n";
/// MIR jump threading copies barriers into both sides of a divergent branch. Loops over register
/// arrays must be unrolled whole, however long, and all others not at all.
/// Warnings are errors or nothing: of the PTX version the compiler always says that it is unstable.
const KERNEL_FLAGS: [&str; 5] = [
    "-Zmir-enable-passes=-JumpThreading",
    "-Cllvm-args=-unroll-threshold=4000 -unroll-runtime=false",
    "-Ccodegen-units=1",
    "-Awarnings",
    "-Dunused",
];

/// A compiler with a `core` for PTX.
pub struct Compiler {
    rustc: PathBuf,
    /// Holds `core` for PTX.
    sysroot: PathBuf,
    /// Release and LLVM, which decide what it makes.
    pub version: String,
}

impl Compiler {
    /// Makes `rustc` ready; builds `core` under `work` from the standard library's source unless
    /// that is done (half a minute).
    ///
    /// # Errors
    /// The compiler does not run, or has no source of `core` beside it.
    pub fn prepare(
        rustc: PathBuf,
        library: Option<PathBuf>,
        work: &Path,
    ) -> Result<Self, PtxError> {
        let release = said(Command::new(&rustc).arg("-vV"))?;
        let field = |name| release.lines().find_map(|line: &str| line.strip_prefix(name));
        let release_number = field("release: ").unwrap_or("?").to_string();
        let llvm = field("LLVM version: ").unwrap_or("?");
        let version = format!("rustc {release_number}, LLVM {llvm}");
        let library = match library {
            Some(library) => library,
            None => {
                let sysroot = said(Command::new(&rustc).args(["--print", "sysroot"]))?;
                Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library")
            }
        };
        let sysroot = work.join(format!("sysroot-{release_number}-{llvm}"));
        let compiler = Self { rustc, sysroot, version };
        if !compiler.sysroot.exists() {
            compiler.build_core(&library)?;
        }
        Ok(compiler)
    }

    /// Compiles the crate whose root is `lib`, a path from `root`: its PTX, and the files that it
    /// is made of. Leaves both in `out`.
    ///
    /// # Errors
    /// The sources do not compile.
    pub fn compile(
        &self,
        target: &Target,
        root: &Path,
        lib: &str,
        out: &Path,
    ) -> Result<(String, BTreeSet<String>), PtxError> {
        std::fs::create_dir_all(out).map_err(PtxError::io(out))?;
        let out = std::path::absolute(out).map_err(PtxError::io(out))?;
        let (ptx, inputs) = (out.join("kernels.s"), out.join("kernels.d"));
        let mut command = self.command("kernels", &self.sysroot)?;
        command.current_dir(root).args(KERNEL_FLAGS);
        command.arg(format!("-Ctarget-cpu={}", target.name));
        command.arg(format!("-Ctarget-feature={}", target.feature()));
        command.args(["--emit=asm,dep-info", "--out-dir"]).arg(&out).arg(lib);
        run(&mut command)?;
        let ptx = std::fs::read_to_string(&ptx).map_err(PtxError::io(ptx))?;
        let inputs = std::fs::read_to_string(&inputs).map_err(PtxError::io(inputs))?;
        let inputs = inputs.lines().next().and_then(|line| line.split_once(": "));
        let inputs = inputs.map_or("", |(_, files)| files).split_whitespace();
        Ok((ptx, inputs.map(str::to_string).collect()))
    }

    /// Builds into a folder beside the sysroot and moves it there when it is whole.
    fn build_core(&self, library: &Path) -> Result<(), PtxError> {
        let core = library.join("core/src/lib.rs");
        std::fs::metadata(&core).map_err(PtxError::io(&core))?;
        let partial = self.sysroot.with_extension(format!("{}.partial", std::process::id()));
        let libraries = partial.join("lib/rustlib").join(TRIPLE).join("lib");
        std::fs::create_dir_all(&libraries).map_err(PtxError::io(&libraries))?;
        let builtins = partial.join("compiler_builtins.rs");
        std::fs::write(&builtins, COMPILER_BUILTINS).map_err(PtxError::io(&builtins))?;
        eprintln!("building core for {TRIPLE} with {}", self.version);
        for (name, source) in [("core", &core), ("compiler_builtins", &builtins)] {
            let mut command = self.command(name, &partial)?;
            command.args(["-Zforce-unstable-if-unmarked", "--cap-lints=allow", "--out-dir"]);
            run(command.arg(&libraries).arg(source))?;
        }
        std::fs::rename(&partial, &self.sysroot).map_err(PtxError::io(&self.sysroot))
    }

    fn command(&self, crate_name: &str, sysroot: &Path) -> Result<Command, PtxError> {
        let sysroot = std::path::absolute(sysroot).map_err(PtxError::io(sysroot))?;
        let mut command = Command::new(&self.rustc);
        // The device needs unstable features of a compiler whose version is pinned.
        command.env("RUSTC_BOOTSTRAP", "1");
        command.args(["--edition=2024", "--crate-type=rlib", "--crate-name", crate_name]);
        command.args(["--target", TRIPLE, "-Copt-level=3", "-Cpanic=abort", "--sysroot"]);
        command.arg(sysroot);
        Ok(command)
    }
}

/// What a command prints.
fn said(command: &mut Command) -> Result<String, PtxError> {
    let output = command.output().map_err(PtxError::io(command.get_program()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() { Ok(text) } else { Err(failed(command, text)) }
}

/// Lets a command speak for itself.
fn run(command: &mut Command) -> Result<(), PtxError> {
    let status = command.status().map_err(PtxError::io(command.get_program()))?;
    if status.success() { Ok(()) } else { Err(failed(command, String::new())) }
}

fn failed(command: &Command, said: String) -> PtxError {
    PtxError::Failed { program: command.get_program().to_string_lossy().into_owned(), said }
}
