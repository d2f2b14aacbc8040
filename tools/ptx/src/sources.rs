//! Which source files the PTX was made from, each with its hash: `kernels/ptx/sources.b3`, in the
//! format of `b3sum --check`. A test without any CUDA or nightly compiler can then tell that the
//! PTX is stale.

use std::collections::BTreeMap;
use std::path::Path;

use crate::PtxError;

/// Hash of each file by its path from the root of the workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(BTreeMap<String, String>);

impl Sources {
    /// Hashes files given by their paths from `root`.
    ///
    /// # Errors
    /// One cannot be read.
    pub fn of(root: &Path, files: impl IntoIterator<Item = String>) -> Result<Self, PtxError> {
        let hash = |file: String| {
            let path = root.join(&file);
            let bytes = std::fs::read(&path).map_err(PtxError::io(path))?;
            Ok((file, blake3::hash(&bytes).to_hex().to_string()))
        };
        files.into_iter().map(hash).collect::<Result<_, _>>().map(Self)
    }

    /// Reads the committed list; lines of another form are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once("  "));
        Self(lines.map(|(hash, file)| (file.to_string(), hash.to_string())).collect())
    }

    /// The text that is committed.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.iter().map(|(file, hash)| format!("{hash}  {file}\n")).collect()
    }

    /// The files.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Files that changed since, or are gone.
    #[must_use]
    pub fn stale(&self, root: &Path) -> Vec<&str> {
        let is_stale = |(file, hash): &(&String, &String)| {
            std::fs::read(root.join(file))
                .map_or(true, |bytes| blake3::hash(&bytes).to_hex().as_str() != hash.as_str())
        };
        self.0.iter().filter(is_stale).map(|(file, _)| file.as_str()).collect()
    }
}
