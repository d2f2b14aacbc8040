//! AdamW with decoupled weight decay (Loshchilov and Hutter 2019), in the order of operations of
//! `torch.optim.AdamW`, one fused pass.

use super::assert_len;
use crate::cpu::adamw as cpu;
use crate::{Device, View, ViewMut};

/// Constants of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// Learning rate of this step.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decay of the parameters, times `lr`.
    pub weight_decay: f32,
}

/// One step over equally long `params`, `grads` and moments `m`, `v`; gradients are multiplied by
/// `grad_scale` (the clip factor) as they are read. `step_number` counts from 1.
///
/// `p *= 1 - lr wd; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
/// p -= lr / (1 - b1^n) * m / (sqrt(v) / sqrt(1 - b2^n) + eps)`.
pub fn step(
    dev: &Device,
    params: ViewMut<'_, f32>,
    grads: View<'_, f32>,
    m: ViewMut<'_, f32>,
    v: ViewMut<'_, f32>,
    hyper: &Hyper,
    step_number: u64,
    grad_scale: f32,
) {
    assert_len("grads", grads.len(), params.len());
    assert_len("m", m.len(), params.len());
    assert_len("v", v.len(), params.len());
    assert!(step_number > 0, "AdamW counts its steps from 1");
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let (params, grads) = (params.on_host(), grads.on_host());
            let (m, v) = (m.on_host(), v.on_host());
            cpu::step(params, grads, m, v, hyper, step_number, grad_scale);
        }),
    }
}
