//! How many of each instruction that matters a kernel holds. A barrier that a compiler copied, a
//! 16-byte load that it split or a loop that it unrolled twice changes a number that a review sees.

use std::collections::BTreeMap;

use crate::module::Function;
use crate::statement::Instruction;

/// Numbers of one kernel by name; a name that is absent counts zero.
pub type Counts = BTreeMap<String, u64>;

/// Counts a kernel's instructions.
#[must_use]
pub fn count(function: &Function) -> Counts {
    let mut counts = Counts::new();
    for (_, instruction) in function.instructions() {
        if let Some(name) = name(instruction) {
            *counts.entry(name.to_string()).or_default() += 1;
        }
    }
    counts
}

/// The name under which an instruction is counted.
fn name(instruction: &Instruction) -> Option<&'static str> {
    let has = |part| instruction.has(part);
    let is_16_bytes = (has("v4") && (has("b32") || has("u32") || has("f32")))
        || (has("v2") && (has("b64") || has("u64") || has("f64")));
    Some(match instruction.stem() {
        "bar" if has("warp") => "bar_warp",
        "barrier" if has("cluster") => "bar_cluster",
        "bar" | "barrier" => "bar",
        "shfl" => "shfl",
        "vote" => "vote",
        "match" => "match",
        "redux" => "redux",
        "elect" => "elect",
        "mma" => "mma",
        "wgmma" if has("mma_async") => "wgmma",
        "wgmma" if has("fence") => "wgmma_fence",
        "wgmma" if has("commit_group") => "wgmma_commit",
        "wgmma" => "wgmma_wait",
        "ldmatrix" => "ldmatrix",
        "stmatrix" => "stmatrix",
        "cp" if has("bulk") => "cp_async_bulk",
        "cp" => "cp_async",
        "mbarrier" => "mbarrier",
        "setmaxnreg" => "setmaxnreg",
        "fence" | "membar" => "fence",
        "atom" => "atom",
        "red" => "red",
        "ld" if has("global") && is_16_bytes => "ld_global_16_bytes",
        "st" if has("global") && is_16_bytes => "st_global_16_bytes",
        _ => return None,
    })
}
