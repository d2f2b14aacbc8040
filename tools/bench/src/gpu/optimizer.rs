//! G11: AdamW on f32 in two halves and on bf16 rounded at random, and the norm of a gradient.

use runtime::ops::adamw::{self, Hyper};
use runtime::ops::ledger::Ledger;
use runtime::ops::{elementwise, reduce};
use runtime::{Buffer, Device};

use super::data::{Kind, empty, part, put};
use super::{GpuBench, GpuWork, What};
use crate::BenchError;
use crate::noise::Noise;
use crate::row::{Rate, Row};

const HYPER: Hyper = Hyper { lr: 1e-3, beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.1 };

pub(super) fn rows(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let n: usize = bench.size(1 << 30, 5000);
    let mut rows = Vec::new();
    // Gradient and both moments, f32, and parameters read and written.
    for (kind, name, bytes, peer) in [
        (Kind::Params, "AdamW, f32 in two halves", 28.0, "adamw:float32"),
        (Kind::Activations, "AdamW, bf16 rounded at random", 24.0, "adamw:bfloat16"),
    ] {
        let error = matches!(kind, Kind::Params).then(|| bench.error(small)).flatten();
        let what = what(name, n, bytes, error, peer);
        let mut state = State::new(bench, kind, n);
        let row = bench.row(what, &mut state, |state| state.run(bench), |s| s.outcome(bench))?;
        rows.push(row.dtype(if matches!(kind, Kind::Params) { "f32" } else { "bf16" }));
    }
    let grads = bench.noise(Kind::Plain, n, 1e-3);
    let sum = |dev: &Device| {
        let values = put(dev, Kind::Plain, &Noise::new(1).vec(70_001, 1.0));
        vec![reduce::sum_squares(dev, values.view()) as f32]
    };
    let what = what("gradient norm and clip", n, 4.0, bench.error(sum), "");
    let mut ledger = Ledger::new(&bench.device).expect("a GPU has one");
    let row = bench.row(
        what,
        &mut ledger,
        |ledger| drop(ledger.close(grads.view(), 1.0)),
        |_| vec![reduce::sum_squares(&bench.device, grads.view()) as f32],
    )?;
    rows.push(row.dtype("f32"));
    Ok(rows)
}

fn what(name: &str, n: usize, param_bytes: f64, error: Option<f64>, peer: &'static str) -> What {
    let bytes = param_bytes * n as f64;
    What {
        id: "G11",
        scenario: name.into(),
        shape: n.to_string(),
        rate: Rate::Bytes(bytes),
        work: GpuWork { bytes, flops: 0.0 },
        error,
        peer,
    }
}

struct State {
    start: Buffer<f32>,
    params: Buffer<f32>,
    grads: Buffer<f32>,
    m: Buffer<f32>,
    v: Buffer<f32>,
}

impl State {
    fn new(bench: &GpuBench, kind: Kind, n: usize) -> Self {
        let dev = &bench.device;
        let start = if matches!(kind, Kind::Params) { Kind::Plain } else { kind };
        Self {
            start: bench.noise(start, n, 0.02),
            params: empty(dev, kind, n),
            grads: bench.noise(Kind::Plain, n, 1e-3),
            m: dev.alloc(n),
            v: dev.alloc(n),
        }
    }

    fn run(&mut self, bench: &GpuBench) {
        let Self { params, grads, m, v, .. } = self;
        let (params, m, v) = (params.view_mut(), m.view_mut(), v.view_mut());
        adamw::step(&bench.device, params, grads.view(), m, v, &HYPER, 1, 0.5);
    }

    fn outcome(&mut self, bench: &GpuBench) -> Vec<f32> {
        let dev = &bench.device;
        elementwise::copy(dev, self.start.view(), self.params.view_mut());
        for moment in [&mut self.m, &mut self.v] {
            elementwise::fill(dev, moment.view_mut(), 0.0);
        }
        self.run(bench);
        [part(dev, &self.params), part(dev, &self.v)].concat()
    }
}

fn small(dev: &Device) -> Vec<f32> {
    let (mut noise, n) = (Noise::new(1), 3001);
    let mut params = put(dev, Kind::Params, &noise.vec(n, 0.02));
    let grads = put(dev, Kind::Plain, &noise.vec(n, 1e-3));
    let (mut m, mut v) = (dev.alloc(n), dev.alloc(n));
    for number in 1..4 {
        let (params, m, v) = (params.view_mut(), m.view_mut(), v.view_mut());
        adamw::step(dev, params, grads.view(), m, v, &HYPER, number, 0.5);
    }
    part(dev, &params)
}
