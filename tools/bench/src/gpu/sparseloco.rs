//! G12 and G13: what SparseLoCo does at a window's end, on a GPU: compress a pseudo-gradient, apply
//! those of 20 peers. The bits are compared with the host's on a part of the vector.

use model::sparseloco::{Aggregation, Compressor, OuterStep};
use runtime::{Buffer, Device};
use wire::{Layout, Quantiser, Shape, SparseShape, SparseTensor, Uid};

use super::data::{Kind, part, put};
use super::{GpuBench, GpuWork, What};
use crate::BenchError;
use crate::noise::Noise;
use crate::row::{Rate, Row, same_bits};

const K: usize = 64;
const BETA: f32 = 0.95;
const PEERS: usize = 20;
const OUTER: OuterStep = OuterStep { alpha: 1.0, rule: Aggregation::Contributors };

/// 1.07 G parameters in 16 matrices.
fn layout(bench: &GpuBench) -> Layout {
    let (matrices, side) = bench.size((16, 8192), (2, 128));
    let names = (0..matrices).map(|i| (format!("layers.{i}.weight"), Shape::Matrix(side, side)));
    Layout::new(names).expect("distinct matrices with values")
}

/// The first matrix alone, of at most 1,024 rows: what the host compresses for comparison.
fn beside(layout: &Layout) -> Layout {
    let (rows, cols) = layout.tensors()[0].shape.rows_cols();
    let shape = Shape::Matrix(rows.min(1024), cols);
    Layout::new([("part".to_string(), shape)]).expect("one matrix")
}

pub(super) fn compress(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let (dev, layout) = (&bench.device, layout(bench));
    let n = layout.params();
    let quantiser = Quantiser::LloydMax;
    let mut compressor = Compressor::new(dev, &layout, K, BETA, quantiser);
    let (shared, local) = (bench.noise(Kind::Plain, n, 0.02), bench.noise(Kind::Params, n, 0.021));
    let residual = bench.noise(Kind::Plain, n, 1e-3);
    let mut left: Buffer<f32> = dev.alloc(n);
    let (params, mut failed) = (n as f64, None);
    let what = What {
        id: "G12",
        scenario: "compress, codebooks on the host".into(),
        shape: n.to_string(),
        rate: Rate::Params(params),
        // Three vectors are read, one is written.
        work: GpuWork { bytes: 16.0 * params, flops: 0.0 },
        error: None,
        peer: "compress",
    };
    let mut state = (&mut compressor, &mut left, &mut failed);
    let run = |(compressor, left, failed): &mut (
        &mut Compressor,
        &mut Buffer<f32>,
        &mut Option<BenchError>,
    )| {
        let (shared, local, residual) = (shared.view(), local.view(), residual.view());
        let sent = compressor.compress(shared, local, residual, left.view_mut());
        if let Err(error) = sent {
            failed.get_or_insert(error.into());
        }
    };
    let row = bench.row(what, &mut state, run, |state| {
        run(state);
        part(dev, state.1)
    })?;
    failed.map_or(Ok(()), Err)?;
    let layout = beside(&layout);
    let equal = sent(&bench.host, &layout)? == sent(dev, &layout)?;
    Ok(vec![row.dtype("f32").also("bits_of_the_cpu", f64::from(u8::from(equal)))])
}

/// What a device sends of a small vector, and what it keeps.
fn sent(dev: &Device, layout: &Layout) -> Result<(Vec<SparseTensor>, Vec<u32>), BenchError> {
    let (mut noise, n) = (Noise::new(1), layout.params());
    let shared = put(dev, Kind::Plain, &noise.vec(n, 0.02));
    let local = put(dev, Kind::Params, &noise.vec(n, 0.021));
    let residual = put(dev, Kind::Plain, &noise.vec(n, 1e-3));
    let mut left = dev.alloc(n);
    let mut compressor = Compressor::new(dev, layout, K, BETA, Quantiser::LloydMax);
    let (from, to, kept) = (shared.view(), local.view(), residual.view());
    let sent = compressor.compress(from, to, kept, left.view_mut())?.to_vec();
    let bits = part(dev, &left).iter().map(|value| value.to_bits()).collect();
    Ok((sent, bits))
}

pub(super) fn apply(bench: &GpuBench) -> Result<Vec<Row>, BenchError> {
    let (dev, layout) = (&bench.device, layout(bench));
    let n = layout.params() as f64;
    let round = round(&layout);
    let of: Vec<(Uid, &[SparseTensor])> =
        round.iter().map(|(uid, sent)| (*uid, sent.as_slice())).collect();
    let start = bench.noise(Kind::Plain, layout.params(), 0.02);
    let mut shared = dev.alloc(layout.params());
    let what = What {
        id: "G13",
        scenario: format!("apply {PEERS} peers from the host"),
        shape: layout.params().to_string(),
        rate: Rate::Params(n),
        // Parameters are read and written, and of each peer 18 bits of a value in 64 are read.
        work: GpuWork { bytes: (8.0 + PEERS as f64 * 2.25 / 64.0) * n, flops: 0.0 },
        error: None,
        peer: "decode_apply_R20",
    };
    let run = |shared: &mut Buffer<f32>| {
        OUTER.apply(dev, &layout, shared.view_mut(), &of).expect("contributions of one layout");
    };
    let row = bench.row(what, &mut shared, run, |shared| {
        runtime::ops::elementwise::copy(dev, start.view(), shared.view_mut());
        run(shared);
        part(dev, shared)
    })?;
    let layout = beside(&layout);
    let [host, gpu] = [&bench.host, dev].map(|dev| stepped(dev, &layout));
    let equal = same_bits(&host?, &gpu?);
    Ok(vec![row.dtype("f32").also("bits_of_the_cpu", f64::from(u8::from(equal)))])
}

/// Parameters after a round.
fn stepped(dev: &Device, layout: &Layout) -> Result<Vec<f32>, BenchError> {
    let round = round(layout);
    let of: Vec<(Uid, &[SparseTensor])> =
        round.iter().map(|(uid, sent)| (*uid, sent.as_slice())).collect();
    let mut shared = put(dev, Kind::Plain, &Noise::new(9).vec(layout.params(), 0.02));
    OUTER.apply(dev, layout, shared.view_mut(), &of)?;
    Ok(part(dev, &shared))
}

/// What 20 peers send: ascending indices drawn at random, and random codes.
fn round(layout: &Layout) -> Vec<(Uid, Vec<SparseTensor>)> {
    let sent = |peer: u16| {
        let mut noise = Noise::new(100 + u64::from(peer));
        let tensors = layout.tensors().iter().map(|tensor| {
            let shape = SparseShape::new(tensor.shape.tiling(), K);
            let stride = (shape.chunk_len() / shape.k()) as u64;
            let index = |at: usize| (at % shape.k()) as u64 * stride + noise.next() % stride;
            let indices = (0..shape.values()).map(index).map(|index| index as u16).collect();
            let codes = (0..shape.code_bytes()).map(|_| noise.next() as u8).collect();
            let codebook = [-3e-3, -1e-3, 1e-3, 3e-3];
            SparseTensor::new(shape, codebook, indices, codes).expect("ascending indices")
        });
        (Uid(peer), tensors.collect())
    };
    (0..PEERS as u16).map(sent).collect()
}
