//! C07: what SparseLoCo does at a window's end: compress one's own pseudo-gradient; decode and
//! apply those of 20 peers. In ns per parameter, without network, hashes and signatures.

use model::sparseloco::{Aggregation, Compressor, OuterStep};
use rayon::prelude::*;
use runtime::Device;
use wire::{IndexCodec, Layout, Quantiser, Shape, SparseTensor, Uid};

use super::Bench;
use crate::BenchError;
use crate::ceilings::Work;
use crate::noise::Noise;
use crate::row::{Rate, Row, same_bits};

const K: usize = 64;
const BETA: f32 = 0.95;
const PEERS: usize = 20;
/// A matrix of 64 Mi parameters in 4: the shape of the feed-forward layers of the large models.
const ROWS: usize = 4096;
const COLS: usize = 4096;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    let (matrices, side) = if bench.quick { (1, 256) } else { (4, ROWS) };
    let shape = Shape::Matrix(side, if bench.quick { 256 } else { COLS });
    let names = (0..matrices).map(|i| (format!("layers.{i}.weight"), shape));
    let layout = Layout::new(names).expect("distinct matrices with values");
    let mut window = Window::new(&bench.device, layout);
    let shape = format!("{} params, k {K}", window.layout.params());
    let params = window.layout.params() as f64;
    let mut rows = Vec::new();
    for quantiser in [Quantiser::LloydMax, Quantiser::Published] {
        let equal = window.compress(quantiser)? == window.compress(quantiser)?;
        let mut compressor = Compressor::new(&bench.device, &window.layout, K, BETA, quantiser);
        let mut failed = None;
        let times = bench.times(|_| failed = window.compress_with(&mut compressor).err());
        failed.map_or(Ok(()), Err)?;
        // Shared, local and residual are read, the next residual is written.
        let work = Work { read_bytes: 8.0 * params, copied_bytes: 8.0 * params, ..Work::default() };
        let name = format!("compress, {quantiser:?}");
        rows.push(
            Row::new("C07", name, shape.clone(), &times, Rate::Params(params))
                .floor(&bench.ceilings, &work)
                .bit_equal(equal),
        );
    }
    rows.push(decode_and_apply(bench, &mut window, shape)?);
    Ok(rows)
}

/// The four vectors of a peer, `[params]` each.
struct Window {
    device: Device,
    layout: Layout,
    shared: Vec<f32>,
    local: Vec<f32>,
    residual: Vec<f32>,
    next_residual: Vec<f32>,
}

impl Window {
    fn new(device: &Device, layout: Layout) -> Self {
        let mut noise = Noise::new(1);
        let n = layout.params();
        let shared = noise.vec(n, 0.02);
        let local = shared.iter().map(|x| x + noise.bell(1e-3)).collect();
        let residual = noise.vec(n, 1e-3);
        Self {
            device: device.clone(),
            layout,
            shared,
            local,
            residual,
            next_residual: vec![0.0; n],
        }
    }

    fn compress(&mut self, quantiser: Quantiser) -> Result<Vec<SparseTensor>, BenchError> {
        let mut compressor = Compressor::new(&self.device, &self.layout, K, BETA, quantiser);
        Ok(self.compress_with(&mut compressor)?.to_vec())
    }

    fn compress_with<'c>(
        &mut self,
        compressor: &'c mut Compressor,
    ) -> Result<&'c [SparseTensor], BenchError> {
        let next = (&mut self.next_residual[..]).into();
        let (shared, local) = (self.shared[..].into(), self.local[..].into());
        Ok(compressor.compress(shared, local, self.residual[..].into(), next)?)
    }
}

/// From 20 payloads' bytes to the next shared parameters.
fn decode_and_apply(bench: &Bench, window: &mut Window, shape: String) -> Result<Row, BenchError> {
    let codec = IndexCodec::EliasFano;
    let mut payloads = Vec::with_capacity(PEERS);
    for peer in 0..PEERS {
        // Every peer trained on its own samples.
        let mut noise = Noise::new(2 + peer as u64);
        window.residual.par_iter_mut().for_each(|x| *x *= 0.5);
        window.residual.iter_mut().for_each(|x| *x += noise.bell(1e-3));
        let sections = window.compress(Quantiser::LloydMax)?;
        payloads.push(sections.iter().map(|tensor| section(codec, tensor)).collect::<Vec<_>>());
    }
    let layout = window.layout.clone();
    let outer = OuterStep { alpha: 1.0, rule: Aggregation::Contributors };
    let shapes: Vec<_> = window.compress(Quantiser::LloydMax)?.iter().map(|t| t.shape()).collect();
    let mut decoded: Vec<(Uid, Vec<SparseTensor>)> = (0..PEERS)
        .map(|uid| (Uid(uid as u16), shapes.iter().copied().map(SparseTensor::zero).collect()))
        .collect();
    let mut step = |shared: &mut [f32]| {
        // In the memory of the window before: a page's first touch costs more than its content.
        decoded.par_iter_mut().zip(&payloads).for_each(|((_, tensors), sections)| {
            let spare = std::mem::take(tensors).into_iter().map(SparseTensor::into_parts);
            let sections = sections.iter().zip(&shapes).zip(spare);
            let read = sections.map(|((bytes, shape), spare)| {
                let tensor = codec.decode_over(*shape, bytes, spare);
                tensor.expect("sections that were encoded here")
            });
            tensors.extend(read);
        });
        let contributions: Vec<_> =
            decoded.iter().map(|(uid, tensors)| (*uid, tensors.as_slice())).collect();
        outer.apply(&bench.device, &layout, shared.into(), &contributions).map(drop)
    };
    let mut again = window.shared.clone();
    let mut once = window.shared.clone();
    bench.device.install(|| step(&mut once).and_then(|()| step(&mut again)))?;
    let equal = same_bits(&once, &again);
    let mut failed = None;
    let times = bench.times(|_| failed = step(&mut once).err());
    failed.map_or(Ok(()), Err)?;
    let params = layout.params() as f64;
    let payload_bytes: usize = payloads.iter().flatten().map(Vec::len).sum();
    let work =
        Work { read_bytes: payload_bytes as f64, updated_bytes: 8.0 * params, ..Work::default() };
    let name = format!("decode and apply {PEERS} payloads");
    Ok(Row::new("C07", name, shape, &times, Rate::Params(params))
        .floor(&bench.ceilings, &work)
        .bit_equal(equal))
}

fn section(codec: IndexCodec, tensor: &SparseTensor) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode(tensor, &mut bytes);
    bytes
}
