//! Loss, gradient norm and clip of an inner step on a GPU: nothing between the gradients and the
//! update waits for the host, which hears of a step when it asks.
//!
//! A step whose loss or norm is not finite updates nothing, and neither does any step after it
//! until [`Ledger::restart`]. On the CPU there is nothing to wait for, and hence no ledger.

use super::adamw::{Hyper, Rates, check};
use super::cross_entropy::{LossSum, Scratch};
use crate::cuda::later::Coming;
use crate::cuda::{adamw as cuda, ledger};
use crate::{Device, Storage, View, ViewMut};

/// What the steps of one GPU write down.
#[derive(Debug)]
pub struct Ledger {
    device: Device,
    ledger: ledger::Ledger,
}

/// What is known of a step once it is done.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// The loss of all its micro-batches.
    pub loss: LossSum,
    /// Sum of squares of the gradient of the summed loss.
    pub square: f64,
}

/// A step's report, on its way to the host.
#[derive(Debug)]
pub struct Report {
    device: Device,
    coming: Coming,
}

impl Ledger {
    /// A ledger on a GPU; none on the CPU.
    pub fn new(device: &Device) -> Option<Self> {
        match device {
            Device::Cpu(_) => None,
            Device::Gpu(gpu) => {
                Some(Self { device: device.clone(), ledger: ledger::Ledger::new(gpu) })
            }
        }
    }

    /// Bytes that [`Ledger::new`] will ask a device of that kind for.
    pub fn planned_bytes(storage: Storage) -> usize {
        match storage {
            Storage::Host => 0,
            Storage::Gpu => ledger::BYTES,
        }
    }

    /// Forgets a step that was begun, and one that was not finite.
    pub fn restart(&mut self) {
        self.ledger.restart();
    }

    /// Adds the losses of `targets` that a head left in `scratch`.
    pub fn add(&mut self, targets: View<'_, u32>, scratch: &Scratch) {
        let (sums, chunk_tokens) = scratch.losses(targets.len());
        self.ledger.add(sums.on_gpu(), targets.on_gpu(), chunk_tokens);
    }

    /// Ends a step whose gradients, of the loss summed over targets, are `grads`: the next
    /// [`Ledger::update`] takes their mean, no longer than `clip_norm`.
    pub fn close(&mut self, grads: View<'_, f32>, clip_norm: f64) -> Report {
        let coming = self.ledger.close(grads.on_gpu(), clip_norm);
        Report { device: self.device.clone(), coming }
    }

    /// [`adamw::step`](super::adamw::step), scaled as [`Ledger::close`] found, unless a step was
    /// not finite or no target counted.
    pub fn update(
        &mut self,
        params: ViewMut<'_, f32>,
        grads: View<'_, f32>,
        m: ViewMut<'_, f32>,
        v: ViewMut<'_, f32>,
        hyper: &Hyper,
        step_number: u64,
    ) {
        check(params.len(), [grads.len(), m.len(), v.len()], step_number);
        let Device::Gpu(gpu) = &self.device else { unreachable!("a ledger is on a GPU") };
        let (rates, moments) = (Rates::new(hyper, step_number), [m, v].map(ViewMut::on_gpu));
        let (params, grads) = (params.on_gpu(), grads.on_gpu());
        cuda::step_by(gpu, params, grads, moments, &rates, self.ledger.control());
    }
}

impl Report {
    /// Waits for the step.
    ///
    /// # Errors
    /// The device has failed.
    pub fn wait(self) -> Result<Closed, crate::RuntimeError> {
        let mut report = [f64::NAN; 3];
        self.coming.wait(&mut report);
        if report[1].is_nan() {
            self.device.synchronise()?;
        }
        let [sum, count, square] = report;
        Ok(Closed { loss: LossSum { sum, count: count as usize }, square })
    }
}
