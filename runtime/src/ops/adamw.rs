//! AdamW with decoupled weight decay (Loshchilov and Hutter 2019), in the order of operations of
//! `torch.optim.AdamW`, one fused pass.

use super::assert_len;
use crate::cpu::adamw as cpu;
use crate::cuda::adamw as cuda;
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

/// The step's constants, each rounded once from f64.
#[derive(Clone, Copy)]
pub(crate) struct Rates {
    pub(crate) decay: f32,
    pub(crate) beta1: f32,
    pub(crate) beta2: f32,
    pub(crate) rest1: f32,
    pub(crate) rest2: f32,
    pub(crate) step_size: f32,
    pub(crate) root_correction: f32,
    pub(crate) eps: f32,
    /// Number of the step, from 1.
    pub(crate) number: u64,
}

impl Rates {
    pub(crate) fn new(hyper: &Hyper, step_number: u64) -> Self {
        let power = |beta: f32| f64::from(beta).powf(step_number as f64);
        let lr = f64::from(hyper.lr);
        Self {
            decay: (1.0 - lr * f64::from(hyper.weight_decay)) as f32,
            beta1: hyper.beta1,
            beta2: hyper.beta2,
            rest1: (1.0 - f64::from(hyper.beta1)) as f32,
            rest2: (1.0 - f64::from(hyper.beta2)) as f32,
            step_size: (lr / (1.0 - power(hyper.beta1))) as f32,
            root_correction: (1.0 / (1.0 - power(hyper.beta2)).sqrt()) as f32,
            eps: hyper.eps,
            number: step_number,
        }
    }
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
    check(params.len(), [grads.len(), m.len(), v.len()], step_number);
    let rates = Rates::new(hyper, step_number);
    match dev {
        Device::Cpu(_) => dev.install(|| {
            let (params, grads) = (params.on_host(), grads.on_host());
            let (m, v) = (m.on_host(), v.on_host());
            cpu::step(params, grads, m, v, rates, grad_scale);
        }),
        Device::Gpu(gpu) => {
            let (params, grads) = (params.on_gpu(), grads.on_gpu());
            cuda::step(gpu, params, grads, [m, v].map(ViewMut::on_gpu), &rates, grad_scale);
        }
    }
}

pub(super) fn check(params: usize, others: [usize; 3], step_number: u64) {
    for (what, len) in ["grads", "m", "v"].into_iter().zip(others) {
        assert_len(what, len, params);
    }
    assert!(step_number > 0, "AdamW counts its steps from 1");
}
