//! Runs kept as JSON under `tools/bench/runs`, so that later ones can be compared with them.

use std::fs;
use std::path::PathBuf;

use crate::BenchError;

/// The folder, in the source tree that this was built from.
fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("runs")
}

/// Writes `json` as run `name`, over an earlier run of that name.
pub(crate) fn write(name: &str, json: &str) -> Result<(), BenchError> {
    let path = folder().join(format!("{name}.json"));
    let written =
        fs::create_dir_all(folder()).and_then(|()| fs::write(&path, json.to_owned() + "\n"));
    written.map_err(|source| BenchError::File { action: "write", path: path.clone(), source })?;
    eprintln!("kept as {}", path.display());
    Ok(())
}
