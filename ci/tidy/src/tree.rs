//! All Rust files and manifests of the workspace.

use std::path::{Path, PathBuf};

use crate::TidyError;
use crate::manifest::Manifest;
use crate::source::Source;

/// Folders that hold nothing of ours.
const SKIPPED: [&str; 2] = ["target", "runs"];

/// What is checked.
pub(crate) struct Tree {
    pub(crate) sources: Vec<Source>,
    pub(crate) manifests: Vec<Manifest>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> Result<Self, TidyError> {
        let mut files = Vec::new();
        list(root, &mut files)?;
        files.sort();
        let mut tree = Self { sources: Vec::new(), manifests: Vec::new() };
        for file in files {
            let name = relative(root, &file);
            let is_manifest = file.file_name().is_some_and(|name| name == "Cargo.toml");
            if !is_manifest && file.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&file)
                .map_err(|source| TidyError::Io { path: file.clone(), source })?;
            if is_manifest {
                tree.manifests.extend(Manifest::parse(name, &text)?);
            } else {
                tree.sources.push(Source::parse(name, text)?);
            }
        }
        Ok(tree)
    }
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) -> Result<(), TidyError> {
    let failed = |source| TidyError::Io { path: dir.to_path_buf(), source };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let hidden = name.to_str().is_none_or(|name| name.starts_with('.'));
        // Links are not followed: what they lead to is checked where it lies.
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() && !hidden && !SKIPPED.iter().any(|skipped| name == *skipped) {
            list(&entry.path(), files)?;
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    Ok(())
}

fn relative(root: &Path, file: &Path) -> String {
    let parts = file.strip_prefix(root).unwrap_or(file).components();
    parts.map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}
