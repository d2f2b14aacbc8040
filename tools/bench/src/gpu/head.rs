//! G09 and G10: the two ends of a model: linear + cross-entropy, and embedding.

use runtime::collective::Solo;
use runtime::ops::cross_entropy::{self, Scratch};
use runtime::ops::{elementwise, embedding};
use runtime::{Buffer, Device};

use super::data::{Kind, empty, exact, part, put, rounded};
use super::{GpuBench, GpuWork, What, by};
use crate::BenchError;
use crate::noise::Noise;
use crate::row::{Rate, Row};

/// Tokens, width and vocabulary: 1B, 1B with the large vocabulary, a rank of 72B in eight parts.
const HEADS: [[usize; 3]; 3] = [[16384, 2048, 32000], [8192, 2048, 262208], [8192, 8192, 32776]];

pub(super) fn cross_entropy(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let shapes: &[_] = if bench.quick { &[[40, 32, 136]] } else { &HEADS };
    shapes.iter().map(|shape| head_row(bench, *shape)).collect()
}

struct Head {
    x: Buffer<f32>,
    w: Buffer<f32>,
    targets: Buffer<u32>,
    dx: Buffer<f32>,
    dw: Buffer<f32>,
    scratch: Scratch,
}

impl Head {
    fn new(
        dev: &Device,
        [t, d, v]: [usize; 3],
        mut draw: impl FnMut(Kind, usize, f32) -> Buffer<f32>,
    ) -> Self {
        let targets = Noise::new(1).indices(t, v as u32);
        Self {
            x: draw(Kind::Activations, t * d, 1.0),
            w: draw(Kind::Activations, v * d, 0.02),
            targets: exact(dev, &targets),
            dx: empty(dev, Kind::Activations, t * d),
            dw: dev.alloc(v * d),
            scratch: Scratch::new(dev, t, v),
        }
    }

    fn run(&mut self, dev: &Device) {
        let Self { x, w, targets, dx, dw, scratch } = self;
        let (x, w, targets) = (x.view(), w.view(), targets.view());
        let (dx, dw) = (dx.view_mut(), dw.view_mut());
        cross_entropy::backward(dev, &Solo, x, w, 0, targets, 1.0, dx, dw, scratch);
    }

    fn outcome(&mut self, dev: &Device) -> Vec<f32> {
        elementwise::fill(dev, self.dw.view_mut(), 0.0);
        self.run(dev);
        [part(dev, &self.dx), part(dev, &self.dw)].concat()
    }
}

fn head_row(bench: &GpuBench, shape: [usize; 3]) -> Result<Row, BenchError> {
    let (dev, [t, d, v]) = (&bench.device, shape);
    let flops = 6.0 * (t * d) as f64 * v as f64;
    let what = What {
        id: "G09",
        scenario: "linear + cross-entropy".into(),
        shape: by(&shape),
        rate: Rate::Flops(flops),
        work: GpuWork { flops, bytes: 0.0 },
        error: bench.error(|dev| {
            let mut noise = Noise::new(2);
            let draw = |kind, len, scale| put(dev, kind, &rounded(&mut noise, len, scale));
            let mut head = Head::new(dev, [40, 72, 264], draw);
            head.run(dev);
            part(dev, &head.dx)
        }),
        peer: "linear_ce.fwdbwd",
    };
    let mut head = Head::new(dev, shape, |kind, len, scale| bench.noise(kind, len, scale));
    let held = [&head.x, &head.w, &head.dx, &head.dw].map(Buffer::bytes);
    let held = held.iter().sum::<usize>() + head.targets.bytes();
    let row = bench.row(what, &mut head, |head| head.run(dev), |head| head.outcome(dev))?;
    let extra = row.peak_bytes.unwrap_or(0).saturating_sub(held);
    Ok(row.also("extra_mib", extra as f64 / f64::from(1 << 20)))
}

pub(super) fn embedding(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let (dev, [t, v, d]) = (&bench.device, bench.size([16384, 262208, 2048], [40, 96, 64]));
    let tokens = exact(dev, &Noise::new(1).indices(t, v as u32));
    let table = bench.noise(Kind::Activations, v * d, 1.0);
    let len = (t * d) as f64;
    let small = |backward: bool| {
        bench.error(|dev| {
            let mut noise = Noise::new(2);
            let tokens = exact(dev, &noise.indices(50, 24));
            let table = put(dev, Kind::Activations, &rounded(&mut noise, 24 * 72, 1.0));
            let dout = put(dev, Kind::Activations, &rounded(&mut noise, 50 * 72, 1.0));
            let (mut out, mut dtable) =
                (empty(dev, Kind::Activations, 50 * 72), dev.alloc::<f32>(24 * 72));
            if backward {
                embedding::backward(dev, tokens.view(), dout.view(), 0, dtable.view_mut());
                return part(dev, &dtable);
            }
            embedding::forward(dev, tokens.view(), table.view(), 0, out.view_mut());
            part(dev, &out)
        })
    };
    let what = |name: &str, bytes: f64, error| What {
        id: "G10",
        scenario: name.into(),
        shape: by(&[t, v, d]),
        rate: Rate::Bytes(bytes),
        work: GpuWork { bytes, flops: 0.0 },
        error,
        peer: "embedding",
    };
    let forward = what("embedding forward", 4.0 * len, small(false));
    let mut out = empty(dev, Kind::Activations, t * d);
    let run = |out: &mut Buffer<f32>| {
        embedding::forward(dev, tokens.view(), table.view(), 0, out.view_mut())
    };
    let forward = bench.row(forward, &mut out, run, |out| {
        run(out);
        part(dev, out)
    })?;
    // Gradients are read once, and rows of the table's read and written.
    let backward = what("embedding backward", 10.0 * len, small(true));
    let mut dtable = dev.alloc(v * d);
    let run = |dtable: &mut Buffer<f32>| {
        embedding::backward(dev, tokens.view(), out.view(), 0, dtable.view_mut());
    };
    let backward = bench.row(backward, &mut dtable, run, |dtable| {
        elementwise::fill(dev, dtable.view_mut(), 0.0);
        run(dtable);
        part(dev, dtable)
    })?;
    Ok(vec![forward, backward])
}
