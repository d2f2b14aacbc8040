//! What a run will need, computed before anything is allocated.

use wire::ModelSpec;

use crate::llama::{Extents, planned_bytes};
use crate::{ModelError, layout_of};

/// Bytes that one node of a run holds, by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Parameters of the model.
    pub params: usize,
    /// Shared parameters and residual, and with several ranks two whole vectors beside them.
    pub round: usize,
    /// Parameters, gradients and both moments of the inner steps.
    pub inner: usize,
    /// Activations and the scratch of operations.
    pub activations: usize,
}

impl MemoryPlan {
    /// The plan for `tp` ranks with micro-batches of `sequences`.
    ///
    /// # Errors
    /// The model has a tensor without values.
    pub fn new(spec: &ModelSpec, tp: usize, sequences: usize) -> Result<Self, ModelError> {
        let params = layout_of(spec)?.params();
        let vector = params * size_of::<f32>();
        let extents = Extents::new(spec, sequences, 0, tp.max(1));
        Ok(Self {
            params,
            round: vector * if tp > 1 { 4 } else { 2 },
            inner: vector * 4,
            activations: planned_bytes(spec, &extents) * tp.max(1),
        })
    }

    /// Everything together.
    pub fn total(&self) -> usize {
        self.round + self.inner + self.activations
    }
}

/// Memory that could be had now, in bytes; `None` where the system does not say.
pub fn available_memory() -> Option<usize> {
    meminfo("/proc/meminfo", "MemAvailable:")
}

/// The most memory that this process has held at once, in bytes.
pub fn peak_memory() -> Option<usize> {
    meminfo("/proc/self/status", "VmHWM:")
}

/// The part of this process's memory that holds pages of files, in bytes: the program and the
/// mapped data set. The system takes them back when it needs memory.
pub fn file_memory() -> Option<usize> {
    meminfo("/proc/self/status", "RssFile:")
}

fn meminfo(path: &str, key: &str) -> Option<usize> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kib: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}
