//! The house rules of cov72 that a program can check. Each rule is one file: it looks at a parsed
//! source file, at the names of files, or at the manifests, and adds what it finds.
//!
//! Sources are read as Rust (tokens and syntax tree), not as lines of text, wherever a rule could
//! otherwise be misled by a comment or a string.

mod arrows;
mod finding;
mod lengths;
mod manifest;
mod markers;
mod names;
mod opening;
mod reach;
mod source;
mod tree;
mod unsafety;

use std::path::Path;

pub use finding::{Finding, TidyError};

/// Checks every Rust file and every `Cargo.toml` below `root`, build outputs and hidden folders
/// aside. Findings come ordered by path and line.
///
/// # Errors
/// A file cannot be read, or is no Rust or TOML.
pub fn check(root: &Path) -> Result<Vec<Finding>, TidyError> {
    let tree = tree::Tree::read(root)?;
    let mut findings = Vec::new();
    for source in &tree.sources {
        opening::check(source, &mut findings);
        lengths::check(source, &mut findings);
        markers::check(source, &mut findings);
        unsafety::check(source, &mut findings);
        names::check_source(source, &mut findings);
    }
    names::check_manifests(&tree.manifests, &mut findings);
    arrows::check(&tree.manifests, &mut findings);
    reach::check(&tree, &mut findings);
    findings.sort();
    findings.dedup();
    Ok(findings)
}
