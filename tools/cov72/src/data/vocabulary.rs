//! Which vocabulary text becomes tokens of, for all commands that make shards.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use model::{BYTE_TOKENIZER, Eos, TOKENIZER_FILE, Tokenizer};

use super::inputs;
use crate::failure::Failure;

/// A vocabulary, as it is named on the command line.
#[derive(Debug, Args)]
pub(super) struct VocabularyArgs {
    /// `byte`, or a tokenizer.json
    #[arg(long, default_value = "byte", value_name = "byte|FILE")]
    tokenizer: PathBuf,
    /// Token of the tokenizer.json that ends a document [default: a well-known name]
    #[arg(long, value_name = "TOKEN")]
    eos: Option<String>,
}

impl VocabularyArgs {
    /// The tokenizer.
    pub(super) fn load(&self) -> Result<Tokenizer, Failure> {
        if let Some(file) = self.file() {
            let eos = self.eos.as_deref().map_or(Eos::WellKnown, Eos::Named);
            return Ok(Tokenizer::load(file, eos)?);
        }
        match &self.eos {
            Some(_) => Err(Failure::usage(
                "--eos names a token of a tokenizer.json; the byte tokenizer uses byte 0: leave it \
                 out",
            )),
            None => Ok(Tokenizer::Byte),
        }
    }

    /// As the description of a dataset names it.
    pub(super) fn name(&self) -> &'static str {
        if self.file().is_some() { TOKENIZER_FILE } else { BYTE_TOKENIZER }
    }

    /// BLAKE3 over the tokenizer.json, or the name of the byte vocabulary.
    pub(super) fn hash(&self) -> Result<String, Failure> {
        match self.file() {
            Some(file) => inputs::hash_file(file).map_err(|why| inputs::unreadable(file, why)),
            None => Ok(BYTE_TOKENIZER.to_string()),
        }
    }

    /// Copies a tokenizer.json beside the shards, so that the folder can be read on its own.
    pub(super) fn keep(&self, dir: &Path) -> Result<(), Failure> {
        let Some(from) = self.file() else { return Ok(()) };
        let (to, partial) = (dir.join(TOKENIZER_FILE), dir.join("tokenizer.json.partial"));
        let copied = std::fs::copy(from, &partial).and_then(|_| settle(&partial, &to));
        copied.map_err(|e| {
            let (from, to) = (from.display(), to.display());
            Failure::precondition(format!(
                "cannot copy {from} to {to}: {e}; check rights and space"
            ))
        })
    }

    fn file(&self) -> Option<&Path> {
        (self.tokenizer != Path::new(BYTE_TOKENIZER)).then_some(&self.tokenizer)
    }
}

/// Gives a file that was written under another name its own, once it is on the disk itself.
pub(super) fn settle(partial: &Path, path: &Path) -> io::Result<()> {
    File::open(partial)?.sync_all()?;
    std::fs::rename(partial, path)
}
