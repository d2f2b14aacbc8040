//! G04 to G06: causal attention with grouped queries, forward and backward.

use runtime::ops::attention::{self, Shape};
use runtime::{Buffer, Device};

use super::data::{Kind, part, put, rounded};
use super::{GpuBench, GpuWork, What, by};
use crate::BenchError;
use crate::noise::Noise;
use crate::row::{Rate, Row};

const fn shape(batch: usize, heads: usize, kv_heads: usize, seq: usize, head_dim: usize) -> Shape {
    Shape { batch, seq, heads, kv_heads, head_dim }
}

/// 72B.
const LARGE: Shape = shape(8, 64, 8, 2048, 128);
/// A rank of 72B in eight parts, 1B, narrow heads, wide heads, long sequences.
const OTHERS: [Shape; 5] = [
    shape(1, 8, 1, 2048, 128),
    shape(8, 16, 8, 2048, 128),
    shape(8, 32, 8, 2048, 64),
    shape(8, 8, 8, 2048, 256),
    shape(2, 64, 8, 8192, 128),
];
const QUICK: Shape = shape(1, 2, 1, 70, 64);

pub(super) fn forward(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    Ok(vec![row(bench, "G04", bench.size(LARGE, QUICK), Pass::Forward)?])
}

pub(super) fn backward(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    Ok(vec![row(bench, "G05", bench.size(LARGE, QUICK), Pass::Backward)?])
}

pub(super) fn others(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let quick = [shape(1, 1, 1, 33, 128)];
    let shapes: &[Shape] = if bench.quick { &quick } else { &OTHERS };
    let rows = shapes.iter().flat_map(|shape| [Pass::Forward, Pass::Backward].map(|p| (*shape, p)));
    rows.map(|(shape, pass)| row(bench, "G06", shape, pass)).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Pass {
    Forward,
    Backward,
}

struct State {
    qkv: Buffer<f32>,
    out: Buffer<f32>,
    lse: Buffer<f32>,
    dout: Buffer<f32>,
    dqkv: Buffer<f32>,
}

impl State {
    fn new(dev: &Device, shape: Shape, qkv: Buffer<f32>, dout: Buffer<f32>) -> Self {
        let mut state = Self {
            out: dev.alloc_activations(dout.len()),
            lse: dev.alloc(shape.lse_len()),
            dqkv: dev.alloc_activations(qkv.len()),
            qkv,
            dout,
        };
        state.run(dev, shape, Pass::Forward);
        state
    }

    fn run(&mut self, dev: &Device, shape: Shape, pass: Pass) {
        let Self { qkv, out, lse, dout, dqkv } = self;
        match pass {
            Pass::Forward => {
                attention::forward(dev, shape, None, qkv.view(), out.view_mut(), lse.view_mut());
            }
            Pass::Backward => {
                let (out, dout, lse) = (out.view(), dout.view(), lse.view());
                attention::backward(dev, shape, None, qkv.view(), out, dout, lse, dqkv.view_mut());
            }
        }
    }

    fn outcome(&mut self, dev: &Device, shape: Shape, pass: Pass) -> Vec<f32> {
        self.run(dev, shape, pass);
        part(dev, if pass == Pass::Forward { &self.out } else { &self.dqkv })
    }
}

/// The same heads on a short sequence of an awkward length.
fn small(dev: &Device, of: Shape, pass: Pass) -> Vec<f32> {
    let group = of.heads / of.kv_heads;
    let shape = Shape { batch: 1, seq: 150, heads: group, kv_heads: 1, ..of };
    let mut noise = Noise::new(1);
    let mut draw = |len| put(dev, Kind::Activations, &rounded(&mut noise, len, 1.0));
    let qkv = draw(shape.tokens() * shape.qkv_row());
    let dout = draw(shape.tokens() * shape.out_row());
    State::new(dev, shape, qkv, dout).outcome(dev, shape, pass)
}

fn row(bench: &GpuBench, id: &'static str, s: Shape, pass: Pass) -> Result<Row, BenchError> {
    // Two products forward, five backward, of which causality leaves half.
    let pairs = (s.batch * s.heads) as f64 * (s.seq * s.seq) as f64 / 2.0;
    let forward = 4.0 * pairs * s.head_dim as f64;
    let (name, flops, peer) = match pass {
        Pass::Forward => ("attention forward", forward, "attn.fwd"),
        Pass::Backward => ("attention backward", 2.5 * forward, "attn.bwd"),
    };
    let dev = &bench.device;
    let qkv = bench.noise(Kind::Activations, s.tokens() * s.qkv_row(), 1.0);
    let dout = bench.noise(Kind::Activations, s.tokens() * s.out_row(), 1.0);
    let what = What {
        id,
        scenario: name.into(),
        shape: by(&[s.batch, s.heads, s.kv_heads, s.seq, s.head_dim]),
        rate: Rate::Flops(flops),
        work: GpuWork { flops, bytes: 0.0 },
        error: bench.error(|dev| small(dev, s, pass)),
        peer,
    };
    let mut state = State::new(dev, s, qkv, dout);
    bench.row(what, &mut state, |st| st.run(dev, s, pass), |st| st.outcome(dev, s, pass))
}
