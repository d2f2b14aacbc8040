//! G01 to G03: copies and products, which the floors of all other rows come from.

use runtime::ops::{elementwise, linear};
use runtime::{Buffer, Device};

use super::data::{Kind, empty, part, put, rounded};
use super::{GpuBench, GpuWork, What, by};
use crate::BenchError;
use crate::noise::Noise;
use crate::row::{Rate, Row};

/// Tokens, outputs and inputs of linear layers: 72B alone and in eight parts, 1B.
const LAYERS: [[usize; 3]; 10] = [
    [2048, 10240, 8192],
    [2048, 57344, 8192],
    [2048, 8192, 28672],
    [8192, 1280, 8192],
    [8192, 7168, 8192],
    [8192, 8192, 3584],
    [16384, 4096, 2048],
    [16384, 16384, 2048],
    [16384, 2048, 8192],
    [16384, 32000, 2048],
];

pub(super) fn copy(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let bytes: usize = bench.size(2 << 30, 1 << 16);
    let from = bench.noise(Kind::Plain, bytes / 4, 1.0);
    let what = What {
        id: "G01",
        scenario: "device copy".into(),
        shape: bytes.to_string(),
        rate: Rate::Bytes(2.0 * bytes as f64),
        work: GpuWork { bytes: 2.0 * bytes as f64, flops: 0.0 },
        error: Some(0.0),
        peer: "copy",
    };
    let run = |to: &mut Buffer<f32>| elementwise::copy(&bench.device, from.view(), to.view_mut());
    let row = bench.row(what, &mut bench.device.alloc(bytes / 4), run, |to| {
        run(to);
        part(&bench.device, to)
    })?;
    Ok(vec![row.dtype("f32")])
}

pub(super) fn square(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let n = bench.size(8192, 64);
    let kinds = Pass::ALL.into_iter();
    kinds.map(|pass| product(bench, "G02", pass, [n; 3])).collect()
}

pub(super) fn layers(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let shapes: &[[usize; 3]] = bench.size(&LAYERS, &[[24, 40, 64]]);
    let rows = shapes.iter().flat_map(|shape| Pass::ALL.map(|pass| (*shape, pass)));
    rows.map(|(shape, pass)| product(bench, "G03", pass, shape)).collect()
}

/// The three products of a linear layer.
#[derive(Clone, Copy)]
enum Pass {
    Forward,
    Input,
    Weight,
}

impl Pass {
    const ALL: [Self; 3] = [Pass::Forward, Pass::Input, Pass::Weight];
}

/// A layer's values and gradients.
struct Layer {
    x: Buffer<f32>,
    w: Buffer<f32>,
    y: Buffer<f32>,
    dw: Buffer<f32>,
}

fn run(dev: &Device, pass: Pass, layer: &mut Layer, t: usize) {
    let Layer { x, w, y, dw } = layer;
    match pass {
        Pass::Forward => linear::forward(dev, x.view(), w.view(), y.view_mut(), t),
        Pass::Input => linear::backward_input(dev, y.view(), w.view(), x.view_mut(), t, false),
        Pass::Weight => linear::backward_weight(dev, y.view(), x.view(), dw.view_mut(), t),
    }
}

fn result(pass: Pass, layer: &Layer) -> &Buffer<f32> {
    match pass {
        Pass::Forward => &layer.y,
        Pass::Input => &layer.x,
        Pass::Weight => &layer.dw,
    }
}

/// [`run`] from the start: weight gradients are added to.
fn outcome(dev: &Device, pass: Pass, layer: &mut Layer, t: usize) -> Vec<f32> {
    elementwise::fill(dev, layer.dw.view_mut(), 0.0);
    run(dev, pass, layer, t);
    part(dev, result(pass, layer))
}

fn small(dev: &Device, pass: Pass) -> Vec<f32> {
    let (mut noise, [t, n, k]) = (Noise::new(1), [70, 136, 264]);
    let mut draw = |kind, len| put(dev, kind, &rounded(&mut noise, len, 1.0));
    let mut layer = Layer {
        x: draw(Kind::Activations, t * k),
        w: draw(Kind::Activations, n * k),
        y: draw(Kind::Activations, t * n),
        dw: empty(dev, Kind::Plain, n * k),
    };
    outcome(dev, pass, &mut layer, t)
}

fn product(
    bench: &GpuBench,
    id: &'static str,
    pass: Pass,
    [t, n, k]: [usize; 3],
) -> Result<Row, BenchError> {
    let (name, shape, peer) = match pass {
        Pass::Forward => ("linear forward", [t, n, k], "gemm.fwd_TN"),
        Pass::Input => ("linear backward, input", [t, k, n], "gemm.dgrad_NN"),
        Pass::Weight => ("linear backward, weight", [n, k, t], "gemm.wgrad_NT"),
    };
    let dw_len = if matches!(pass, Pass::Weight) { n * k } else { 1 };
    let mut layer = Layer {
        x: bench.noise(Kind::Activations, t * k, 1.0),
        w: bench.noise(Kind::Activations, n * k, 1.0),
        y: bench.noise(Kind::Activations, t * n, 1.0),
        dw: bench.device.alloc(dw_len),
    };
    let flops = 2.0 * (t * n) as f64 * k as f64;
    let what = What {
        id,
        scenario: name.into(),
        shape: by(&shape),
        rate: Rate::Flops(flops),
        work: GpuWork { flops, bytes: 0.0 },
        error: bench.error(|dev| small(dev, pass)),
        peer,
    };
    let dev = &bench.device;
    bench.row(what, &mut layer, |layer| run(dev, pass, layer, t), |l| outcome(dev, pass, l, t))
}
