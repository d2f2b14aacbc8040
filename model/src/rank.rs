//! One rank: its part of the parameters, gradients and moments; `step` goes through inner steps.

use std::sync::{Arc, PoisonError, RwLock};

use runtime::collective::{Collective, Solo};
use runtime::ops::ledger::Ledger;
use runtime::{Buffer, Device, Recording};
use wire::ModelSpec;

use crate::ModelError;
use crate::llama::{Activations, Extents, MicroBatch};
use crate::params::{ParamTable, Partition};

mod step;
use step::Unreported;

/// AdamW's running means of the gradient and of its square, in the order of the parameters.
#[derive(Debug)]
pub struct Moments {
    /// Mean of the gradient.
    pub first: Buffer<f32>,
    /// Mean of the gradient's square.
    pub second: Buffer<f32>,
}

pub(crate) struct Rank {
    pub(crate) device: Device,
    pub(crate) partition: Partition,
    pub(crate) params: Buffer<f32>,
    pub(crate) grads: Buffer<f32>,
    /// Behind a lock, because a checkpoint may still be reading them when the next window starts.
    pub(crate) moments: Arc<RwLock<Moments>>,
    comm: Box<dyn Collective>,
    table: ParamTable,
    extents: Extents,
    acts: Activations,
    /// Host copy of one micro-batch's tokens, targets and, where documents are kept apart, first
    /// keys.
    staging: [Vec<u32>; 3],
    /// Sum of squares of the gradient, and whether to stop: what several ranks agree on in each
    /// step.
    agreed: Buffer<f32>,
    /// Where a GPU that trains alone writes down what its steps did, and the step that the host has
    /// not heard of yet.
    ledger: Option<Ledger>,
    unreported: Option<Unreported>,
    /// Whether a GPU records a micro-batch to play it again, and what it recorded.
    pub(crate) records: bool,
    recording: Option<Recording>,
    /// Micro-batches since parameters and gradients were last moved.
    micro_batches: usize,
}

impl Rank {
    pub(crate) fn new(
        spec: &ModelSpec,
        device: Device,
        comm: Box<dyn Collective>,
        micro: MicroBatch,
    ) -> Result<Self, ModelError> {
        let partition = Partition::new(spec, comm.rank(), comm.world())?;
        let table = ParamTable::new(spec, partition.local_layout());
        let extents = Extents::new(spec, micro, comm.rank(), comm.world());
        let (tokens, params) = (extents.tokens, table.params());
        if matches!(device, Device::Gpu(_)) {
            extents.assert_aligned()?;
            if extents.document_masks {
                return Err(ModelError::MasksOnGpu);
            }
        }
        let moments = Moments { first: device.alloc(params), second: device.alloc(params) };
        let rank = Self {
            acts: Activations::plan(&device, spec, &extents),
            params: device.alloc_params(params),
            grads: device.alloc(params),
            moments: Arc::new(RwLock::new(moments)),
            staging: [tokens, tokens, tokens * usize::from(micro.document_masks)]
                .map(|len| vec![0; len]),
            agreed: device.alloc(if comm.world() > 1 { 2 } else { 0 }),
            ledger: if comm.world() == 1 { Ledger::new(&device) } else { None },
            unreported: None,
            records: false,
            recording: None,
            micro_batches: 0,
            device,
            partition,
            comm,
            table,
            extents,
        };
        // Memory that a GPU does not have shows here, before the first step.
        rank.device.synchronise()?;
        Ok(rank)
    }

    /// Sets this rank's parameters from the whole model's.
    pub(crate) fn take_params(&mut self, whole: &[f32]) {
        take(&self.partition, whole, &mut self.params);
    }

    /// Copies this rank's parameters into the whole model's.
    pub(crate) fn put_params(&self, whole: &mut [f32]) {
        put(&self.partition, &self.params, whole);
    }

    /// Copies this rank's gradients of the last step into the whole model's.
    pub(crate) fn put_gradients(&self, whole: &mut [f32]) {
        put(&self.partition, &self.grads, whole);
    }

    /// Sets this rank's moments from the whole model's.
    pub(crate) fn take_moments(&mut self, whole: [&[f32]; 2]) {
        let mut moments = self.moments.write().unwrap_or_else(PoisonError::into_inner);
        take(&self.partition, whole[0], &mut moments.first);
        take(&self.partition, whole[1], &mut moments.second);
    }

    /// Copies this rank's moments into the whole model's.
    pub(crate) fn put_moments(&self, whole: [&mut [f32]; 2]) {
        let moments = self.moments.read().unwrap_or_else(PoisonError::into_inner);
        let [first, second] = whole;
        put(&self.partition, &moments.first, first);
        put(&self.partition, &moments.second, second);
    }

    /// Exchanges the gradients' memory with a vector of the same length.
    pub(crate) fn swap_grads(&mut self, other: &mut Buffer<f32>) {
        std::mem::swap(&mut self.grads, other);
        self.recording = None;
        self.micro_batches = 0;
    }

    /// Whether whole vectors of this rank are the host's own memory.
    pub(crate) fn is_on_host(&self) -> bool {
        self.params.as_host().is_some()
    }

    /// Leaves the group for good: the other ranks fail at their next exchange.
    pub(crate) fn leave(&mut self) {
        self.comm = Box::new(Solo);
    }
}

/// This rank's part of `whole`.
fn take(partition: &Partition, whole: &[f32], part: &mut Buffer<f32>) {
    let len = part.len();
    match part.as_host_mut() {
        Some(values) => partition.take(whole, values),
        None if len == whole.len() => part.write(whole),
        None => {
            let mut values = vec![0.0; len];
            partition.take(whole, &mut values);
            part.write(&values);
        }
    }
}

/// This rank's part into `whole`.
fn put(partition: &Partition, part: &Buffer<f32>, whole: &mut [f32]) {
    match part.as_host() {
        Some(values) => partition.put(values, whole),
        None if part.len() == whole.len() => part.read(whole),
        None => {
            let mut values = vec![0.0; part.len()];
            part.read(&mut values);
            partition.put(&values, whole);
        }
    }
}
