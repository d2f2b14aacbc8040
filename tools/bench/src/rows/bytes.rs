//! C08: payloads to bytes and back, BLAKE3 of a payload, and the state root of all parameters.
//!
//! Packing is told in GB/s of payload, the root in GB/s of parameters.

use rayon::prelude::*;
use wire::{IndexCodec, Layout, Shape, SparseShape, SparseTensor, StateTree};

use super::Bench;
use crate::BenchError;
use crate::ceilings::Work;
use crate::noise::Noise;
use crate::row::{Rate, Row};

const K: usize = 64;
const CHUNK_LEN: usize = 4096;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    // Tensors of 16 Mi parameters; 54 of them make a payload of 18 to 25 MB.
    let (tensors, side) = if bench.quick { (2, 256) } else { (54, 4096) };
    let shape = SparseShape::new(Shape::Matrix(side, side).tiling(), K);
    let mut noise = Noise::new(1);
    let payload: Vec<SparseTensor> = (0..tensors).map(|_| random(shape, &mut noise)).collect();
    let mut rows = Vec::new();
    for codec in [IndexCodec::EliasFano, IndexCodec::Packed12] {
        rows.extend(codec_rows(bench, codec, &payload));
    }
    rows.push(hash_row(bench, tensors * IndexCodec::EliasFano.section_bytes(shape)));
    rows.push(root_row(bench, if bench.quick { 1 } else { 4 }, side));
    Ok(rows)
}

/// An update with `K` random indices per chunk.
pub(super) fn random(shape: SparseShape, noise: &mut Noise) -> SparseTensor {
    let mut indices = Vec::with_capacity(shape.values());
    let mut taken = [false; CHUNK_LEN];
    for _ in 0..shape.chunks() {
        taken.fill(false);
        let mut left = shape.k();
        while left > 0 {
            let index = noise.next() as usize % shape.chunk_len();
            left -= usize::from(!taken[index]);
            taken[index] = true;
        }
        indices.extend((0..shape.chunk_len() as u16).filter(|&index| taken[usize::from(index)]));
    }
    let codes = (0..shape.code_bytes()).map(|_| noise.next() as u8).collect();
    SparseTensor::new(shape, [-2e-3, -1e-3, 1e-3, 2e-3], indices, codes)
        .expect("indices ascend within their chunk")
}

/// Packing and unpacking, tensors in parallel.
fn codec_rows(bench: &Bench, codec: IndexCodec, payload: &[SparseTensor]) -> [Row; 2] {
    let mut sections: Vec<Vec<u8>> =
        payload.iter().map(|tensor| vec![0; codec.section_bytes(tensor.shape())]).collect();
    let bytes: usize = sections.iter().map(Vec::len).sum();
    let pack = bench.times(|_| {
        let pairs = payload.par_iter().zip(&mut sections);
        pairs.for_each(|(tensor, section)| codec.encode_into(tensor, section));
    });
    // In the memory of the time before: a page's first touch costs more than its content.
    let mut back: Vec<_> =
        payload.iter().map(|tensor| SparseTensor::zero(tensor.shape())).collect();
    let unpack = bench.times(|_| {
        let spare = std::mem::take(&mut back).into_par_iter().zip(&sections);
        let read = spare.map(|(tensor, section)| {
            let read = codec.decode_over(tensor.shape(), section, tensor.into_parts());
            read.expect("sections that were encoded here")
        });
        back = read.collect();
    });
    // A tensor's indices are two bytes each; the codes stay as they are.
    let values: usize = payload.iter().map(|tensor| tensor.shape().values()).sum();
    let memory = (bytes + values * 2 + values / 4) as f64;
    let row = |name: &str, times| {
        let work = Work { copied_bytes: memory, ..Work::default() };
        let name = format!("{name}, {codec:?}");
        let shape = format!("{:.1} MB payload", bytes as f64 / 1e6);
        Row::new("C08", name, shape, times, Rate::Bytes(bytes as f64))
            .floor(&bench.ceilings, &work)
            .bit_equal(back == payload)
            .dtype("u8")
    };
    [row("pack", &pack), row("unpack", &unpack)]
}

/// The hash of a payload's body, as a header signs it: one stream, hence one thread.
fn hash_row(bench: &Bench, bytes: usize) -> Row {
    let mut noise = Noise::new(2);
    let body: Vec<u8> = (0..bytes.div_ceil(8)).flat_map(|_| noise.next().to_le_bytes()).collect();
    let times = bench.times(|_| {
        std::hint::black_box(blake3::hash(&body));
    });
    let bytes = body.len() as f64;
    let work = Work { hashed_bytes: bytes, ..Work::default() };
    let shape = format!("{:.1} MB payload", bytes / 1e6);
    Row::new("C08", "BLAKE3 of a body", shape, &times, Rate::Bytes(bytes))
        .floor(&bench.ceilings, &work)
        .bit_equal(blake3::hash(&body) == blake3::hash(&body))
        .dtype("u8")
}

fn root_row(bench: &Bench, matrices: usize, side: usize) -> Row {
    let names = (0..matrices).map(|i| (format!("layers.{i}.weight"), Shape::Matrix(side, side)));
    let layout = Layout::new(names).expect("distinct matrices with values");
    let params = Noise::new(3).vec(layout.params(), 0.02);
    let root = || bench.device.install(|| StateTree::of_params(&layout, &params).root());
    let equal = root() == root();
    let times = bench.times(|_| {
        std::hint::black_box(StateTree::of_params(&layout, &params));
    });
    let bytes = size_of_val(&params[..]) as f64;
    let work = Work { hashed_bytes: bytes, ..Work::default() };
    Row::new("C08", "state root", format!("{} params", params.len()), &times, Rate::Bytes(bytes))
        .floor(&bench.ceilings, &work)
        .bit_equal(equal)
}
