//! C06, the parts bound by memory: RMSNorm, SwiGLU and AdamW, forward and backward.

use runtime::ops::{adamw, rms_norm, swiglu};

use super::{Bench, Rotation, written};
use crate::BenchError;
use crate::ceilings::Work;
use crate::noise::Noise;
use crate::row::{Rate, Row, relative_error, same_bits};

const TOKENS: usize = 2048;
const EPS: f32 = 1e-5;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let tokens = if bench.quick { 64 } else { TOKENS };
    Ok(vec![
        norm_forward(bench, tokens, 384),
        norm_backward(bench, tokens, 384),
        swiglu_forward(bench, tokens, 1024),
        swiglu_backward(bench, tokens, 1024),
        adamw_step(bench, if bench.quick { 1 << 16 } else { 12_000_000 }),
    ])
}

fn norm_forward(bench: &Bench, t: usize, d: usize) -> Row {
    let mut noise = Noise::new(1);
    let rotation = Rotation::over(8 * t * d);
    let xs = rotation.sets(|| noise.vec(t * d, 1.0));
    let w = noise.vec(d, 1.0);
    let mut ys = rotation.sets(|| (written(t * d), written(t)));
    let run = |x: &[f32], (y, rstd): &mut (Vec<f32>, Vec<f32>)| {
        let (y, rstd) = ((&mut y[..]).into(), (&mut rstd[..]).into());
        rms_norm::forward(&bench.device, x.into(), w[..].into(), EPS, y, rstd);
    };
    let times = bench.times(|call| run(&xs[rotation.at(call)], &mut ys[rotation.at(call)]));
    let mut again = (vec![0.0; t * d], vec![0.0; t]);
    run(&xs[0], &mut ys[0]);
    run(&xs[0], &mut again);
    let reference: Vec<f64> = xs[0]
        .chunks(d)
        .flat_map(|row| {
            let square: f64 = row.iter().map(|&x| f64::from(x).powi(2)).sum();
            let rstd = (square / d as f64 + f64::from(EPS)).powf(-0.5);
            row.iter().zip(&w).map(move |(&x, &w)| f64::from(x) * rstd * f64::from(w))
        })
        .collect();
    memory_row(bench, "RMSNorm forward", format!("{t}x{d}"), &times, 8.0 * (t * d) as f64, 0.0)
        .f64_error(relative_error(&ys[0].0, &reference))
        .bit_equal(same_bits(&ys[0].0, &again.0))
}

/// Reads dy and x, and adds to dx.
fn norm_backward(bench: &Bench, t: usize, d: usize) -> Row {
    let mut noise = Noise::new(1);
    let rotation = Rotation::over(12 * t * d);
    let inputs = rotation.sets(|| [noise.vec(t * d, 1.0), noise.vec(t * d, 1.0)]);
    let (w, rstd) = (noise.vec(d, 1.0), vec![1.0; t]);
    let mut scratch = vec![0.0; rms_norm::scratch_len(d)];
    let mut grads = rotation.sets(|| [written(t * d), written(d)]);
    let mut run = |[dy, x]: &[Vec<f32>; 2], [dx, dw]: &mut [Vec<f32>; 2]| {
        let (dx, dw) = ((&mut dx[..]).into(), (&mut dw[..]).into());
        let (dy, x, w) = (dy[..].into(), x[..].into(), w[..].into());
        let scratch = (&mut scratch[..]).into();
        rms_norm::backward(&bench.device, dy, x, w, rstd[..].into(), dx, dw, scratch);
    };
    let times = bench.times(|call| run(&inputs[rotation.at(call)], &mut grads[rotation.at(call)]));
    let [mut once, mut again] = [(); 2].map(|()| [vec![0.0; t * d], vec![0.0; d]]);
    run(&inputs[0], &mut once);
    run(&inputs[0], &mut again);
    let [dy, x] = &inputs[0];
    let rows = dy.chunks(d).zip(x.chunks(d));
    let reference: Vec<f64> = rows
        .flat_map(|(dy, x)| {
            let g: Vec<f64> =
                dy.iter().zip(&w).map(|(&dy, &w)| f64::from(dy) * f64::from(w)).collect();
            let mean = g.iter().zip(x).map(|(g, &x)| g * f64::from(x)).sum::<f64>() / d as f64;
            x.iter().zip(g).map(|(&x, g)| g - f64::from(x) * mean).collect::<Vec<_>>()
        })
        .collect();
    let bytes = (t * d) as f64;
    let name = "RMSNorm backward";
    memory_row(bench, name, format!("{t}x{d}"), &times, 8.0 * bytes, 8.0 * bytes)
        .f64_error(relative_error(&once[0], &reference))
        .bit_equal(same_bits(&once[0], &again[0]) && same_bits(&once[1], &again[1]))
}

fn swiglu_forward(bench: &Bench, t: usize, f: usize) -> Row {
    let mut noise = Noise::new(1);
    let rotation = Rotation::over(12 * t * f);
    let inputs = rotation.sets(|| noise.vec(2 * t * f, 1.0));
    let mut ys = rotation.sets(|| written(t * f));
    let run = |x: &[f32], y: &mut [f32]| swiglu::forward(&bench.device, x.into(), y.into(), t);
    let times = bench.times(|call| run(&inputs[rotation.at(call)], &mut ys[rotation.at(call)]));
    let mut again = vec![0.0; t * f];
    run(&inputs[0], &mut ys[0]);
    run(&inputs[0], &mut again);
    let reference: Vec<f64> =
        pairs(&inputs[0], f).map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up).collect();
    memory_row(bench, "SwiGLU forward", format!("{t}x{f}"), &times, 12.0 * (t * f) as f64, 0.0)
        .f64_error(relative_error(&ys[0], &reference))
        .bit_equal(same_bits(&ys[0], &again))
}

/// Gates and ups of rows `[f gates | f ups]`.
fn pairs(gate_up: &[f32], f: usize) -> impl Iterator<Item = (f64, f64)> {
    let halves = gate_up.chunks(2 * f).map(move |row| row.split_at(f));
    halves.flat_map(|(gates, ups)| {
        gates.iter().zip(ups).map(|(&gate, &up)| (f64::from(gate), f64::from(up)))
    })
}

fn swiglu_backward(bench: &Bench, t: usize, f: usize) -> Row {
    let mut noise = Noise::new(1);
    let rotation = Rotation::over(12 * t * f);
    let start = noise.vec(2 * t * f, 1.0);
    let mut grads = rotation.sets(|| start.clone());
    let dys = rotation.sets(|| noise.vec(t * f, 1.0));
    let run = |x: &mut [f32], dy: &[f32]| swiglu::backward(&bench.device, x.into(), dy.into(), t);
    let times = bench.times(|call| run(&mut grads[rotation.at(call)], &dys[rotation.at(call)]));
    let [mut once, mut again] = [(); 2].map(|()| start.clone());
    run(&mut once, &dys[0]);
    run(&mut again, &dys[0]);
    let gates = pairs(&start, f).zip(&dys[0]).map(|((gate, up), &dy)| {
        let sigmoid = 1.0 / (1.0 + (-gate).exp());
        f64::from(dy) * up * sigmoid * (1.0 + gate * (1.0 - sigmoid))
    });
    let found: Vec<f32> = once.chunks(2 * f).flat_map(|row| row[..f].to_vec()).collect();
    let elements = (t * f) as f64;
    let bytes = [4.0 * elements, 16.0 * elements];
    let error = relative_error(&found, &gates.collect::<Vec<_>>());
    let work = Work { read_bytes: bytes[0], updated_bytes: bytes[1], ..Work::default() };
    let rate = Rate::Bytes(bytes[0] + bytes[1]);
    Row::new("C06", "SwiGLU backward", format!("{t}x{f}"), &times, rate)
        .floor(&bench.ceilings, &work)
        .f64_error(error)
        .bit_equal(same_bits(&once, &again))
}

/// Reads gradients, updates parameters and both moments.
fn adamw_step(bench: &Bench, n: usize) -> Row {
    let mut noise = Noise::new(1);
    let grads = noise.vec(n, 1e-3);
    let start = noise.vec(n, 0.02);
    let hyper = adamw::Hyper { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };
    let run = |[p, m, v]: &mut [Vec<f32>; 3]| {
        let [p, m, v] = [p, m, v].map(|values| (&mut values[..]).into());
        adamw::step(&bench.device, p, grads[..].into(), m, v, &hyper, 1, 1.0);
    };
    let fresh = || [start.clone(), vec![0.0; n], vec![0.0; n]];
    let [mut once, mut again] = [fresh(), fresh()];
    run(&mut once);
    run(&mut again);
    // In the first step m / (1 - beta1) is g itself, and the root of v / (1 - beta2) is |g|.
    let widened = |x: f32| f64::from(x);
    let [lr, eps, decay] = [hyper.lr, hyper.eps, hyper.weight_decay].map(widened);
    let change = |(&p, &g): (&f32, &f32)| {
        let g = widened(g);
        -lr * decay * widened(p) - lr * g / (g.abs() + eps)
    };
    let reference: Vec<f64> =
        start.iter().zip(&grads).map(|pair| widened(*pair.0) + change(pair)).collect();
    let error = relative_error(&once[0], &reference);
    let equal = once.iter().zip(&again).all(|(once, again)| same_bits(once, again));
    let times = bench.times(|_| run(&mut again));
    let bytes = n as f64;
    let work = Work { read_bytes: 4.0 * bytes, updated_bytes: 24.0 * bytes, ..Work::default() };
    Row::new("C06", "AdamW", format!("{n}"), &times, Rate::Bytes(28.0 * bytes))
        .floor(&bench.ceilings, &work)
        .f64_error(error)
        .bit_equal(equal)
}

/// A row of something that only moves bytes.
fn memory_row(
    bench: &Bench,
    name: &str,
    shape: String,
    times: &crate::timing::Times,
    copied_bytes: f64,
    updated_bytes: f64,
) -> Row {
    let work = Work { copied_bytes, updated_bytes, ..Work::default() };
    Row::new("C06", name, shape, times, Rate::Bytes(copied_bytes + updated_bytes))
        .floor(&bench.ceilings, &work)
}
