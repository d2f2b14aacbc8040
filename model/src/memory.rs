//! What a run will need, computed before anything is allocated.

use runtime::Storage;
use runtime::ops::{attention, rms_norm};
use wire::ModelSpec;

use crate::llama::{Extents, planned_bytes};
use crate::{ModelError, layout_of};

/// Bytes that one node of a run holds, by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Parameters of the model.
    pub params: usize,
    /// Shared parameters and residual, and beside them, where no single rank on the host has whole
    /// vectors, two of those.
    pub round: usize,
    /// Parameters, gradients and both moments of the inner steps.
    pub inner: usize,
    /// Activations and the scratch of operations.
    pub activations: usize,
    /// Where the last two are.
    pub storage: Storage,
}

impl MemoryPlan {
    /// The plan for `tp` ranks with micro-batches of `sequences` on a device of that kind.
    ///
    /// # Errors
    /// The model has a tensor without values.
    pub fn new(
        spec: &ModelSpec,
        tp: usize,
        sequences: usize,
        storage: Storage,
    ) -> Result<Self, ModelError> {
        let params = layout_of(spec)?.params();
        let vector = params * size_of::<f32>();
        let extents = Extents::new(spec, sequences, 0, tp.max(1));
        let scratch = rms_norm::temporary_bytes(storage, extents.tokens, extents.d_model)
            .max(attention::temporary_bytes(storage, extents.attention));
        Ok(Self {
            params,
            // A GPU's moments come to the host for each checkpoint.
            round: vector
                * match storage {
                    Storage::Host if tp > 1 => 4,
                    Storage::Host => 2,
                    Storage::Gpu => 6,
                },
            inner: params * (3 * size_of::<f32>() + storage.param_bytes()),
            activations: planned_bytes(spec, &extents, storage) * tp.max(1) + scratch,
            storage,
        })
    }

    /// Everything on the host.
    pub fn host(&self) -> usize {
        match self.storage {
            Storage::Host => self.round + self.inner + self.activations,
            Storage::Gpu => self.round,
        }
    }

    /// Everything on the GPU.
    pub fn gpu(&self) -> usize {
        match self.storage {
            Storage::Host => 0,
            Storage::Gpu => self.inner + self.activations,
        }
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
