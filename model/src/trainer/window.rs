//! The ends of a window: inner steps start from the shared parameters, and what they made of them
//! is compressed on the device that trained.
//!
//! A single rank on a GPU keeps the shared parameters and the residual in its memory; what is sent,
//! one value in 64, and the residual for the checkpoint are all that comes to the host.

use std::sync::Arc;

use runtime::ops::elementwise;
use runtime::span::span;
use runtime::{Buffer, Device};
use wire::SparseTensor;

use super::{Trainer, host_mut};
use crate::ModelError;
use crate::mirror::Mirror;
use crate::sparseloco::Compressor;

/// What a GPU that trains alone keeps between windows.
pub(super) struct OnGpu {
    shared: Arc<Mirror>,
    residual: Buffer<f32>,
    /// Whether the residual is the host's.
    residual_is_current: bool,
}

impl OnGpu {
    pub(super) fn new(gpu: &Device, params: usize) -> Self {
        let shared = Arc::new(Mirror::new(gpu, params));
        Self { shared, residual: gpu.alloc(params), residual_is_current: false }
    }
}

impl Trainer {
    /// The device that [`Trainer::compress`] runs on.
    pub fn compressing_device(&self) -> &Device {
        match self.on_gpu {
            Some(_) => &self.ranks[0].device,
            None => &self.host,
        }
    }

    /// The copy of the shared parameters that a GPU keeps, if one trains alone. Whoever changes the
    /// host's says so to it.
    pub fn mirror(&self) -> Option<Arc<Mirror>> {
        self.on_gpu.as_ref().map(|on_gpu| Arc::clone(&on_gpu.shared))
    }

    /// Sets every rank's parameters to the shared ones. A GPU that fails says so in the next inner
    /// step.
    pub fn start_from(&mut self, shared: &Buffer<f32>) {
        let Some(on_gpu) = &self.on_gpu else { return self.load_params(shared) };
        let rank = &mut self.ranks[0];
        on_gpu.shared.read(shared, |shared| {
            elementwise::copy(&rank.device, shared.view(), rank.params.view_mut());
        });
    }

    /// What to send of the inner steps since [`Trainer::start_from`]; see [`Compressor::compress`].
    /// The residual stays as it is until [`Trainer::settle`].
    ///
    /// # Errors
    /// The pseudo-gradient is not finite, or a GPU has failed.
    pub fn compress<'c>(
        &mut self,
        compressor: &'c mut Compressor,
        shared: &Buffer<f32>,
        residual: &Buffer<f32>,
    ) -> Result<&'c [SparseTensor], ModelError> {
        let _span = span(c"compress");
        let Some(on_gpu) = &mut self.on_gpu else {
            let (local, scratch) = self.params_and_scratch()?;
            let (local, left) = (local.view(), scratch.view_mut());
            return Ok(compressor.compress(shared.view(), local, residual.view(), left)?);
        };
        if !on_gpu.residual_is_current {
            on_gpu.residual.write(residual.as_host().expect("the host's residual"));
            on_gpu.residual_is_current = true;
        }
        let rank = &mut self.ranks[0];
        let (local, left) = (rank.params.view(), rank.grads.view_mut());
        let residual = on_gpu.residual.view();
        let sent = self.host.install(|| {
            on_gpu
                .shared
                .read(shared, |shared| compressor.compress(shared.view(), local, residual, left))
        });
        // What a device that has failed is said to have kept means nothing.
        rank.device.synchronise()?;
        Ok(sent?)
    }

    /// Commits what the last [`Trainer::compress`] left to `residual`; what was sent and did not
    /// count stays in it.
    ///
    /// # Errors
    /// A GPU has failed; `residual` is of no use then.
    pub fn settle(
        &mut self,
        compressor: &Compressor,
        residual: &mut Buffer<f32>,
        counted: bool,
    ) -> Result<(), ModelError> {
        let Some(on_gpu) = &mut self.on_gpu else {
            let (_, scratch) = self.params_and_scratch()?;
            if !counted {
                compressor.take_back(scratch.view_mut());
            }
            std::mem::swap(scratch, residual);
            return Ok(());
        };
        let rank = &mut self.ranks[0];
        if !counted {
            compressor.take_back(rank.grads.view_mut());
        }
        rank.swap_grads(&mut on_gpu.residual);
        on_gpu.residual.read(host_mut(residual));
        Ok(rank.device.synchronise()?)
    }
}
