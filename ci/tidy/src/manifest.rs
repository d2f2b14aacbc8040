//! What the rules need to know of a crate's `Cargo.toml`.

use toml::{Table, Value};

use crate::{Finding, TidyError};

/// A crate.
pub(crate) struct Manifest {
    /// Path of the `Cargo.toml`, relative to the root.
    pub(crate) path: String,
    /// Folder of the crate with a slash behind it; empty for the root.
    pub(crate) dir: String,
    pub(crate) name: String,
    text: String,
    table: Table,
}

impl Manifest {
    /// The crate of a manifest; `None` for a workspace without one.
    pub(crate) fn parse(path: String, text: &str) -> Result<Option<Self>, TidyError> {
        let table: Table = text.parse().map_err(|e: toml::de::Error| TidyError::Syntax {
            path: path.clone(),
            line: e.span().map_or(1, |span| text[..span.start].lines().count().max(1)),
            what: e.message().to_string(),
        })?;
        let name = table.get("package").and_then(|package| package.get("name"));
        let Some(name) = name.and_then(Value::as_str).map(str::to_string) else { return Ok(None) };
        let dir = path.strip_suffix("Cargo.toml").unwrap_or_default().to_string();
        Ok(Some(Self { path, dir, name, text: text.to_string(), table }))
    }

    /// Crates that the crate's own code is built against, on any platform.
    pub(crate) fn dependencies(&self) -> Vec<&str> {
        let platforms = self.table.get("target").and_then(Value::as_table).into_iter().flatten();
        let tables = platforms.filter_map(|(_, platform)| platform.get("dependencies"));
        let tables = self.table.get("dependencies").into_iter().chain(tables);
        tables.filter_map(Value::as_table).flat_map(Table::keys).map(String::as_str).collect()
    }

    /// Files that the manifest names as roots of a target.
    pub(crate) fn target_paths(&self) -> Vec<&str> {
        let single = self.table.get("lib").into_iter();
        let several = ["bin", "test", "bench", "example"].into_iter();
        let several = several.filter_map(|kind| self.table.get(kind)?.as_array()).flatten();
        single.chain(several).filter_map(|target| target.get("path")?.as_str()).collect()
    }

    /// A finding at the first line that starts with `key`.
    pub(crate) fn finding(&self, key: &str, rule: &'static str, what: String) -> Finding {
        let at = self.text.lines().position(|line| line.starts_with(key));
        Finding { path: self.path.clone(), line: at.map_or(1, |at| at + 1), rule, what }
    }
}
