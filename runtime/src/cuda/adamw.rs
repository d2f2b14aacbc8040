//! AdamW on a GPU: the bits of the CPU, but for parameters that are kept as bf16 alone.

use kernels::adamw::{SHARE, THREADS, adamw_split, adamw_stochastic, join_f32, split_f32};
use kernels::simt::{Global, Launch};

use super::{Gpu, Span, Stored, blocks};
use crate::ops::adamw::Rates;

/// Decides how parameters in bf16 are rounded.
const KEY: u64 = 72;

fn launch(len: usize, share: u32) -> Launch {
    Launch::new(blocks(len, share), THREADS, 0)
}

/// A step whose gradients are scaled by `grad_scale`.
pub(crate) fn step(
    gpu: &Gpu,
    params: Span<'_>,
    grads: Span<'_>,
    moments: [Span<'_>; 2],
    rates: &Rates,
    grad_scale: f32,
) {
    let control = gpu.hold(&[grad_scale, 0.0, 0.0]);
    step_by(gpu, params, grads, moments, rates, control.global());
}

/// A step that goes as `control` says.
pub(crate) fn step_by(
    gpu: &Gpu,
    params: Span<'_>,
    grads: Span<'_>,
    moments: [Span<'_>; 2],
    rates: &Rates,
    control: Global<f32>,
) {
    let grads = grads.plain(gpu);
    let [m, v] = moments.map(|values| values.plain(gpu));
    let Rates { decay, beta1, beta2, rest1, rest2, step_size, root_correction, eps, .. } = *rates;
    let (launch, len) = (launch(params.len(), SHARE), params.len() as u64);
    macro_rules! start {
        ($kernel:ident { $($own:ident),* }) => {
            gpu.launch(launch, &$kernel {
                $($own,)*
                grads, m, v, control, len, decay, beta1, rest1, beta2, rest2, step_size,
                root_correction, eps,
            })
        };
    }
    if params.stored() == Stored::Bf16 {
        let (params, key, step) = (params.bf16(gpu), KEY, rates.number);
        return start!(adamw_stochastic { params, key, step });
    }
    let (high, low) = params.halves(gpu);
    start!(adamw_split { high, low });
}

/// Parameters from f32.
pub(super) fn split(gpu: &Gpu, x: Global<f32>, params: Span<'_>) {
    let ((high, low), len) = (params.halves(gpu), params.len() as u64);
    gpu.launch(launch(params.len(), THREADS), &split_f32 { x, high, low, len });
}

/// Parameters as f32.
pub(super) fn join(gpu: &Gpu, params: Span<'_>, y: Global<f32>) {
    let ((high, low), len) = (params.halves(gpu), params.len() as u64);
    gpu.launch(launch(params.len(), THREADS), &join_f32 { high, low, y, len });
}
