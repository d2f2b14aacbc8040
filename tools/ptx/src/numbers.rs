//! The committed numbers of one target, `kernels/ptx/<target>.toml`: what each kernel holds, and
//! what the assembler makes of it. Made by `ci/ptx --write`, read by whoever reviews the change.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use toml::{Table, Value};

use crate::PtxError;
use crate::assembler::Usage;
use crate::counts::Counts;

const COMPILER: &str = "compiler";
const ASSEMBLER: &str = "assembler";
const REGISTERS: &str = "registers";
const BARRIERS: &str = "barriers";

/// Numbers of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Versions of the programs that made them.
    pub compiler: String,
    /// Version of the assembler that gave `registers` and `barriers`.
    pub assembler: String,
    /// By kernel.
    pub kernels: BTreeMap<String, Counts>,
}

impl Numbers {
    /// Reads a committed table.
    ///
    /// # Errors
    /// The text is no such table.
    pub fn parse(path: &Path, text: &str) -> Result<Self, PtxError> {
        let error = |what: String| PtxError::Table { path: path.to_path_buf(), what };
        let table: Table = text.parse().map_err(|e: toml::de::Error| error(e.to_string()))?;
        let mut numbers = Self::default();
        for (key, value) in table {
            match value {
                Value::String(version) if key == COMPILER => numbers.compiler = version,
                Value::String(version) if key == ASSEMBLER => numbers.assembler = version,
                Value::Table(counts) => {
                    let count = |(name, value): (String, Value)| {
                        let count = value.as_integer().and_then(|count| u64::try_from(count).ok());
                        count.map(|count| (name, count))
                    };
                    let counts: Option<Counts> = counts.into_iter().map(count).collect();
                    let counts = counts.ok_or_else(|| error(format!("{key} is no counts")))?;
                    numbers.kernels.insert(key, counts);
                }
                _ => return Err(error(format!("`{key}` is not expected"))),
            }
        }
        Ok(numbers)
    }

    /// Adds what the assembler says.
    pub fn assembled(&mut self, assembler: &str, usage: &BTreeMap<String, Usage>) {
        self.assembler = assembler.to_string();
        for (kernel, usage) in usage {
            let counts = self.kernels.entry(kernel.clone()).or_default();
            counts.insert(REGISTERS.into(), usage.registers);
            counts.insert(BARRIERS.into(), usage.barriers);
        }
    }

    /// Takes over what only the assembler can say, where there is none.
    pub fn assembled_as_in(&mut self, committed: &Self) {
        self.assembler = committed.assembler.clone();
        for (kernel, counts) in &mut self.kernels {
            for key in [REGISTERS, BARRIERS] {
                let known = committed.kernels.get(kernel).and_then(|counts| counts.get(key));
                counts.extend(known.map(|count| (key.to_string(), *count)));
            }
        }
    }

    /// The text that is committed.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::from("# Made by `ci/ptx --write`: instructions in each kernel.\n");
        let _ = writeln!(text, "{COMPILER} = {:?}", self.compiler);
        let _ = writeln!(text, "{ASSEMBLER} = {:?}", self.assembler);
        for (kernel, counts) in &self.kernels {
            let _ = write!(text, "\n[{kernel}]\n");
            for (name, count) in counts {
                let _ = writeln!(text, "{name} = {count}");
            }
        }
        text
    }
}
