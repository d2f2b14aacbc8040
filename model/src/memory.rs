//! What a run will need, computed before anything is allocated.

use runtime::Storage;
use runtime::ops::ledger::Ledger;
use runtime::ops::{attention, rms_norm};
use wire::ModelSpec;

use crate::llama::{Extents, MicroBatch, planned_bytes};
use crate::{ModelError, layout_of};

/// Bytes that one node of a run holds, by purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryPlan {
    /// Parameters of the model.
    pub params: usize,
    /// Shared parameters and residual; of several ranks beside them two whole vectors, of a GPU the
    /// moments of the next checkpoint.
    pub round: usize,
    /// Parameters, gradients and both moments of the inner steps; shared parameters and residual
    /// on a GPU.
    pub inner: usize,
    /// Activations and the scratch of operations.
    pub activations: usize,
    /// Where the last two are.
    pub storage: Storage,
}

impl MemoryPlan {
    /// The plan for `tp` ranks with such micro-batches on a device of that kind.
    ///
    /// # Errors
    /// The model has a tensor without values.
    pub fn new(
        spec: &ModelSpec,
        tp: usize,
        micro: impl Into<MicroBatch>,
        storage: Storage,
    ) -> Result<Self, ModelError> {
        let params = layout_of(spec)?.params();
        let vector = params * size_of::<f32>();
        let extents = Extents::new(spec, micro.into(), 0, tp.max(1));
        let scratch = rms_norm::temporary_bytes(storage, extents.tokens, extents.d_model)
            .max(attention::temporary_bytes(storage, extents.attention));
        Ok(Self {
            params,
            round: vector
                * match (storage, tp > 1) {
                    (Storage::Host, false) => 2,
                    (Storage::Host, true) | (Storage::Gpu, false) => 4,
                    (Storage::Gpu, true) => 6,
                },
            inner: 4 * vector + if storage == Storage::Gpu && tp <= 1 { 2 * vector } else { 0 },
            activations: planned_bytes(spec, &extents, storage) * tp.max(1)
                + scratch
                + Ledger::planned_bytes(storage) * usize::from(tp <= 1),
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
