//! Dependencies between our crates point down, along the edges listed here and no others. This is
//! the list: a new crate or edge is a decision about the design before it is a line in a manifest.

use crate::Finding;
use crate::manifest::Manifest;

/// Each crate with the crates of ours that it may be built on.
const ARROWS: [(&str, &[&str]); 13] = [
    ("kernels", &[]),
    ("runtime", &["kernels"]),
    ("wire", &[]),
    ("model", &["runtime", "wire"]),
    ("bucket", &["wire"]),
    ("chain", &["wire"]),
    ("real-runtime", &["chain", "wire"]),
    ("gauntlet", &["wire"]),
    ("basilica", &["wire"]),
    ("bench", &["kernels", "runtime", "model", "wire", "bucket", "gauntlet"]),
    (
        "cov72",
        &[
            "kernels", "runtime", "wire", "model", "bucket", "chain", "gauntlet", "basilica",
            "bench",
        ],
    ),
    ("ptx", &[]),
    ("tidy", &[]),
];
/// Crates that may be asynchronous or speak to a network; the bench speaks to this machine alone.
const ASYNC_CRATES: [&str; 5] = ["bucket", "chain", "real-runtime", "bench", "cov72"];
/// What makes a crate asynchronous or lets it speak to a network.
const ASYNC_DEPENDENCIES: [&str; 8] =
    ["tokio", "futures", "async-trait", "smol", "object_store", "reqwest", "hyper", "subxt"];
/// A crate of this name's ending fuzzes the crate named before it.
const FUZZ_SUFFIX: &str = "-fuzz";

pub(crate) fn check(manifests: &[Manifest], findings: &mut Vec<Finding>) {
    for manifest in manifests {
        let name = manifest.name.as_str();
        let fuzzed = name.strip_suffix(FUZZ_SUFFIX);
        let row = ARROWS.iter().find(|(from, _)| *from == name).map(|(_, to)| *to);
        let Some(allowed) = row.or(fuzzed.map(|_| [].as_slice())) else {
            let what = format!("crate `{name}` has no row in the arrows of ci/tidy");
            findings.push(manifest.finding("name", "arrow", what));
            continue;
        };
        for dependency in manifest.dependencies() {
            let ours = ARROWS.iter().any(|(from, _)| *from == dependency);
            if ours && !allowed.contains(&dependency) && fuzzed != Some(dependency) {
                let what = format!("`{name}` must not depend on `{dependency}`");
                findings.push(manifest.finding(dependency, "arrow", what));
            }
            let is_async = ASYNC_DEPENDENCIES.contains(&dependency);
            if is_async && !ASYNC_CRATES.contains(&name) {
                let what = format!("`{name}` must stay free of async and network: `{dependency}`");
                findings.push(manifest.finding(dependency, "arrow", what));
            }
        }
    }
}
