//! The shared parameters in the memory of a GPU, beside those of the host.
//!
//! Roots, checkpoints and other nodes' state are affairs of the host. Inner steps start from the
//! parameters of the GPU, pseudo-gradients are taken from them and outer steps are applied to them,
//! so that nothing as long as the model is copied to the GPU from one window to the next.

use std::sync::{Mutex, MutexGuard, PoisonError};

use runtime::{Buffer, Device, ViewMut};

use crate::ModelError;

/// One copy of the shared parameters on a GPU.
#[derive(Debug)]
pub struct Mirror {
    device: Device,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    values: Buffer<f32>,
    /// Whether they are the host's.
    is_current: bool,
}

impl Mirror {
    pub(crate) fn new(device: &Device, params: usize) -> Self {
        let held = Held { values: device.alloc(params), is_current: false };
        Self { device: device.clone(), held: Mutex::new(held) }
    }

    /// The host's parameters have changed: they are brought here before they are used next.
    pub fn outdate(&self) {
        self.held().is_current = false;
    }

    /// Changes the parameters here and brings the result to the host.
    ///
    /// # Errors
    /// That of `change`, or the GPU has failed; the host's parameters are as they were.
    pub fn update<R, E: Into<ModelError>>(
        &self,
        host: &mut Buffer<f32>,
        change: impl FnOnce(&Device, ViewMut<'_, f32>) -> Result<R, E>,
    ) -> Result<R, ModelError> {
        let mut held = self.current(host);
        held.is_current = false;
        let done = change(&self.device, held.values.view_mut()).map_err(Into::into)?;
        self.device.synchronise()?;
        held.values.read(host.as_host_mut().expect("the host's parameters"));
        self.device.synchronise()?;
        held.is_current = true;
        Ok(done)
    }

    /// Reads the parameters here, once they are the host's.
    pub(crate) fn read<R>(&self, host: &Buffer<f32>, read: impl FnOnce(&Buffer<f32>) -> R) -> R {
        read(&self.current(host).values)
    }

    fn current(&self, host: &Buffer<f32>) -> MutexGuard<'_, Held> {
        let mut held = self.held();
        if !held.is_current {
            held.values.write(host.as_host().expect("the host's parameters"));
            held.is_current = true;
        }
        held
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
