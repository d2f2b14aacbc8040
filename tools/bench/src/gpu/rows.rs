//! G07 and G08: what streams through rows: norms, rotations, gates.

use runtime::ops::{elementwise, rms_norm, rope, swiglu};
use runtime::{Buffer, Device};

use super::data::{Kind, empty, part, put, rounded};
use super::{GpuBench, GpuWork, What, by};
use crate::BenchError;
use crate::noise::Noise;
use crate::row::{Rate, Row};

const NORMS: [(usize, usize); 3] = [(16384, 2048), (8192, 8192), (2048, 8192)];
const GATES: [(usize, usize); 2] = [(16384, 8192), (8192, 28672)];
const HEADS: [(usize, usize, usize); 2] = [(16384, 24, 128), (8192, 72, 128)];
const EPS: f32 = 1e-5;

/// A row of something that only moves bytes.
fn what(
    id: &'static str,
    scenario: &str,
    shape: String,
    bytes: f64,
    error: Option<f64>,
    peer: &'static str,
) -> What {
    let (rate, work) = (Rate::Bytes(bytes), GpuWork { bytes, flops: 0.0 });
    What { id, scenario: scenario.into(), shape, rate, work, error, peer }
}

pub(super) fn norms(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let shapes: &[_] = if bench.quick { &[(40, 64)] } else { &NORMS };
    let mut rows = Vec::new();
    for &(t, d) in shapes {
        let (dev, bytes) = (&bench.device, (2 * t * d) as f64);
        let mut norm = Norm::new(dev, t, d, |kind, len| bench.noise(kind, len, 1.0));
        let run = |norm: &mut Norm| norm.forward(dev);
        let error = bench.error(|dev| small_norm(dev, Norm::forward, |norm| &norm.y));
        let name = "add + RMSNorm";
        let what_is = what("G07", name, by(&[t, d]), 4.0 * bytes, error, "add_rmsnorm.fwd");
        rows.push(bench.row(what_is, &mut norm, run, |norm| {
            norm.forward(dev);
            [part(dev, &norm.y), part(dev, &norm.sum)].concat()
        })?);
        let run = |norm: &mut Norm| norm.backward(dev);
        let error = bench.error(|dev| small_norm(dev, Norm::backward, |norm| &norm.dx));
        let name = "RMSNorm backward";
        let what_is = what("G07", name, by(&[t, d]), 4.0 * bytes, error, "rmsnorm.bwd");
        rows.push(bench.row(what_is, &mut norm, run, |norm| {
            for gradient in [&mut norm.dx, &mut norm.dw] {
                elementwise::fill(dev, gradient.view_mut(), 0.0);
            }
            norm.backward(dev);
            [part(dev, &norm.dx), part(dev, &norm.dw)].concat()
        })?);
    }
    Ok(rows)
}

struct Norm {
    x: Buffer<f32>,
    delta: Buffer<f32>,
    w: Buffer<f32>,
    sum: Buffer<f32>,
    y: Buffer<f32>,
    rstd: Buffer<f32>,
    dx: Buffer<f32>,
    dw: Buffer<f32>,
    scratch: Buffer<f32>,
}

impl Norm {
    fn new(
        dev: &Device,
        t: usize,
        d: usize,
        mut draw: impl FnMut(Kind, usize) -> Buffer<f32>,
    ) -> Self {
        let mut norm = Self {
            x: draw(Kind::Activations, t * d),
            delta: draw(Kind::Activations, t * d),
            w: draw(Kind::Params, d),
            sum: empty(dev, Kind::Activations, t * d),
            y: empty(dev, Kind::Activations, t * d),
            rstd: dev.alloc(t),
            dx: empty(dev, Kind::Activations, t * d),
            dw: dev.alloc(d),
            scratch: dev.alloc(rms_norm::scratch_len(d)),
        };
        norm.forward(dev);
        norm
    }

    fn forward(&mut self, dev: &Device) {
        let Self { x, delta, w, sum, y, rstd, .. } = self;
        let (x, delta, w) = (x.view(), delta.view(), w.view());
        let (sum, y, rstd) = (sum.view_mut(), y.view_mut(), rstd.view_mut());
        rms_norm::forward_residual(dev, x, delta, w, EPS, sum, y, rstd);
    }

    fn backward(&mut self, dev: &Device) {
        let Self { x, delta, w, rstd, dx, dw, scratch, .. } = self;
        let (dy, x, w, rstd) = (delta.view(), x.view(), w.view(), rstd.view());
        let (dx, dw) = (dx.view_mut(), dw.view_mut());
        rms_norm::backward(dev, dy, x, w, rstd, dx, dw, scratch.view_mut());
    }
}

fn small_norm(
    dev: &Device,
    run: impl Fn(&mut Norm, &Device),
    of: impl Fn(&Norm) -> &Buffer<f32>,
) -> Vec<f32> {
    let mut noise = Noise::new(1);
    let mut norm =
        Norm::new(dev, 37, 264, |kind, len| put(dev, kind, &rounded(&mut noise, len, 1.0)));
    run(&mut norm, dev);
    part(dev, of(&norm))
}

pub(super) fn gates(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let mut rows = Vec::new();
    let shapes: &[_] = if bench.quick { &[(8, 4, 64)] } else { &HEADS };
    for &(t, heads, head_dim) in shapes {
        let (dev, len) = (&bench.device, t * heads * head_dim);
        // As many sequences as there are; positions start over in each.
        let seq = t.min(2048);
        let table = rope::Table::new(dev, seq, head_dim, 500_000.0);
        let error = bench.error(|dev| turned(dev, head_dim));
        let shape = by(&[t, heads, head_dim]);
        let what_is = what("G08", "RoPE", shape, 4.0 * len as f64, error, "rope.fwd");
        let run = |x: &mut Buffer<f32>| {
            rope::forward(dev, &table, x.view_mut(), t, seq, heads);
        };
        let start = bench.noise(Kind::Activations, len, 1.0);
        let mut x = empty(dev, Kind::Activations, len);
        rows.push(bench.row(what_is, &mut x, run, |x| {
            elementwise::copy(dev, start.view(), x.view_mut());
            run(x);
            part(dev, x)
        })?);
    }
    let shapes: &[_] = if bench.quick { &[(24, 64)] } else { &GATES };
    for &(t, f) in shapes {
        rows.extend(swiglu_rows(bench, t, f)?);
    }
    Ok(rows)
}

fn turned(dev: &Device, head_dim: usize) -> Vec<f32> {
    let (seq, heads) = (19, 3);
    let table = rope::Table::new(dev, seq, head_dim, 500_000.0);
    let values = rounded(&mut Noise::new(1), 2 * seq * heads * head_dim, 1.0);
    let mut x = put(dev, Kind::Activations, &values);
    rope::forward(dev, &table, x.view_mut(), 2 * seq, seq, heads);
    part(dev, &x)
}

fn swiglu_rows(bench: &GpuBench, t: usize, f: usize) -> Result<[Row; 2], BenchError> {
    let (dev, len) = (&bench.device, (t * f) as f64);
    let start = bench.noise(Kind::Activations, 2 * t * f, 1.0);
    let dy = bench.noise(Kind::Activations, t * f, 1.0);
    let small = |backward: bool| {
        bench.error(|dev| {
            let mut noise = Noise::new(1);
            let mut draw = |len| put(dev, Kind::Activations, &rounded(&mut noise, len, 1.0));
            let (mut x, dy, mut y) = (draw(2 * 9 * 72), draw(9 * 72), draw(9 * 72));
            if backward {
                swiglu::backward(dev, x.view_mut(), dy.view(), 9);
                return part(dev, &x);
            }
            swiglu::forward(dev, x.view(), y.view_mut(), 9);
            part(dev, &y)
        })
    };
    let shape = by(&[t, f]);
    let forward =
        what("G08", "SwiGLU forward", shape.clone(), 6.0 * len, small(false), "swiglu.fwd");
    let run = |y: &mut Buffer<f32>| swiglu::forward(dev, start.view(), y.view_mut(), t);
    let forward = bench.row(forward, &mut empty(dev, Kind::Activations, t * f), run, |y| {
        run(y);
        part(dev, y)
    })?;
    let backward = what("G08", "SwiGLU backward", shape, 10.0 * len, small(true), "swiglu.bwd");
    let run = |x: &mut Buffer<f32>| swiglu::backward(dev, x.view_mut(), dy.view(), t);
    let backward =
        bench.row(backward, &mut empty(dev, Kind::Activations, 2 * t * f), run, |x| {
            elementwise::copy(dev, start.view(), x.view_mut());
            run(x);
            part(dev, x)
        })?;
    Ok([forward, backward])
}
