//! C06, the head: linear layer and cross-entropy in one, forward and backward.

use runtime::collective::Solo;
use runtime::ops::cross_entropy::{self, Scratch};

use super::Bench;
use crate::BenchError;
use crate::ceilings::Work;
use crate::noise::Noise;
use crate::row::{Rate, Row, relative_error, same_bits};

/// Tokens whose gradient is checked against f64.
const CHECKED_TOKENS: usize = 8;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (t, d, vocab) = if bench.quick { (64, 32, 500) } else { (2048, 288, 32_000) };
    let dev = &bench.device;
    let mut noise = Noise::new(1);
    let (x, w) = (noise.vec(t * d, 1.0), noise.vec(vocab * d, (d as f32).powf(-0.5)));
    let targets = noise.indices(t, vocab as u32);
    let mut scratch = Scratch::new(dev, t, vocab);
    let scale = 1.0 / t as f32;
    let mut run = |dx: &mut [f32], dw: &mut [f32]| {
        let (x, w, targets) = (x[..].into(), w[..].into(), targets[..].into());
        let (dx, dw) = (dx.into(), dw.into());
        let s = &mut scratch;
        cross_entropy::forward_backward(dev, &Solo, x, w, 0, targets, scale, dx, dw, s)
    };
    let [mut once, mut again] = [(); 2].map(|()| (vec![0.0; t * d], vec![0.0; vocab * d]));
    run(&mut once.0, &mut once.1);
    run(&mut again.0, &mut again.1);
    let equal = same_bits(&once.0, &again.0) && same_bits(&once.1, &again.1);
    let times = bench.times(|_| {
        run(&mut again.0, &mut again.1);
    });
    let reference: Vec<f64> = (0..CHECKED_TOKENS)
        .flat_map(|token| {
            let x = &x[token * d..(token + 1) * d];
            gradient(x, &w, targets[token] as usize, f64::from(scale))
        })
        .collect();
    // Three products: the logits, dx, dw.
    let flops = 6.0 * (t * d * vocab) as f64;
    let work = Work { flops, ..Work::default() };
    let shape = format!("{t}x{d}x{vocab}");
    let row = Row::new("C06", "linear + cross-entropy", shape, &times, Rate::Flops(flops));
    Ok(vec![
        row.floor(&bench.ceilings, &work)
            .f64_error(relative_error(&once.0[..CHECKED_TOKENS * d], &reference))
            .bit_equal(equal),
    ])
}

/// Gradient of one token's loss with respect to its `x[d]`, times `scale`.
fn gradient(x: &[f32], w: &[f32], target: usize, scale: f64) -> Vec<f64> {
    let rows = || w.chunks_exact(x.len());
    let logit = |row: &[f32]| -> f64 {
        row.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum()
    };
    let exps: Vec<f64> = rows().map(|row| logit(row).exp()).collect();
    let sum: f64 = exps.iter().sum();
    let mut gradient = vec![0.0; x.len()];
    for (index, (row, exp)) in rows().zip(exps).enumerate() {
        let dlogit = (exp / sum - f64::from(u8::from(index == target))) * scale;
        for (gradient, &w) in gradient.iter_mut().zip(row) {
            *gradient += dlogit * f64::from(w);
        }
    }
    gradient
}
