//! V02: copies among the contributions of a window: a sketch of each, the join of all sketches, the
//! comparison in full of the few pairs that are suspected. Told in GB/s of indices and codes.

use gauntlet::Secret;
use gauntlet::copies::{Candidate, Copies, Priority, Sketcher, find};
use rayon::prelude::*;
use wire::{BlockNumber, Shape, SparseShape, SparseTensor, Uid, Window};

use super::Bench;
use super::bytes::random;
use crate::BenchError;
use crate::ceilings::Work;
use crate::noise::Noise;
use crate::row::{Rate, Row};

const K: usize = 64;
const THIS: Window = Window(1);
/// Contributions of which every next one is a copy of the first.
const COPIES_EVERY: usize = 64;

pub(super) fn rows(bench: &Bench) -> Result<Vec<Row>, BenchError> {
    // Four tensors of 16 Mi parameters keep 1 Mi values.
    let (peers, side) = if bench.quick { (64, 1024) } else { (256, 4096) };
    let shapes = vec![SparseShape::new(Shape::Matrix(side, side).tiling(), K); 4];
    let updates = updates(peers, &shapes);
    let sketcher = Sketcher::new(&shapes, &Secret::new([1; 32]), THIS);
    let look = || {
        let sketches: Vec<_> = updates.par_iter().map(|update| sketcher.sketch(update)).collect();
        let both = sketches.iter().zip(&updates).enumerate();
        let candidates: Vec<_> = both
            .map(|(at, (sketch, update))| Candidate {
                uid: Uid(at as u16),
                window: THIS,
                priority: Priority::new(None, at as u64, BlockNumber(0)),
                sketch,
                update: Some(update),
                counted: true,
            })
            .collect();
        find(&candidates, &[])
    };
    let found: Copies = bench.device.install(look);
    let equal = found == bench.device.install(look) && found.copies.len() == peers / COPIES_EVERY;
    let times = bench.times(|_| {
        std::hint::black_box(look());
    });
    let tensors = updates.iter().flatten();
    let bytes: usize =
        tensors.map(|tensor| 2 * tensor.indices().len() + tensor.codes().len()).sum();
    let work = Work { read_bytes: bytes as f64, ..Work::default() };
    let values = shapes.iter().map(|shape| shape.values()).sum::<usize>();
    let shape = format!("{peers} contributions of {values} values");
    let row = Row::new("V02", "find copies", shape, &times, Rate::Bytes(bytes as f64));
    Ok(vec![row.floor(&bench.ceilings, &work).bit_equal(equal).dtype("u16")])
}

/// Contributions of which two have two fifths in common, as honest peers have, and every
/// [`COPIES_EVERY`]-th of which is that before it.
fn updates(peers: usize, shapes: &[SparseShape]) -> Vec<Vec<SparseTensor>> {
    let mut noise = Noise::new(1);
    let mut tensors = || shapes.iter().map(|shape| random(*shape, &mut noise)).collect::<Vec<_>>();
    let (common, own) = (tensors(), tensors());
    let mut updates: Vec<Vec<SparseTensor>> = Vec::with_capacity(peers);
    for peer in 0..peers {
        let is_copy = peer % COPIES_EVERY == COPIES_EVERY - 1;
        let mixed = |(common, own)| mix(common, own, peer, &mut noise);
        let update = match updates.last() {
            Some(last) if is_copy => last.clone(),
            _ => common.iter().zip(&own).map(mixed).collect(),
        };
        updates.push(update);
    }
    updates
}

/// One peer's tensor: two fifths of all pairs of peers take the common chunk, the others one that
/// no other peer has there.
fn mix(common: &SparseTensor, own: &SparseTensor, peer: usize, noise: &mut Noise) -> SparseTensor {
    let shape = common.shape();
    let (k, code_bytes) = (shape.k(), shape.chunk_code_bytes());
    let mut indices = Vec::with_capacity(shape.values());
    let mut codes = Vec::with_capacity(shape.code_bytes());
    for chunk in 0..shape.chunks() {
        let is_common = noise.next() % 100 < 63;
        let (from, at) = if is_common { (common, chunk) } else { (own, chunk + peer) };
        let at = at % shape.chunks();
        indices.extend_from_slice(&from.indices()[at * k..][..k]);
        codes.extend_from_slice(&from.codes()[at * code_bytes..][..code_bytes]);
    }
    SparseTensor::new(shape, common.codebook(), indices, codes).expect("chunks that were whole")
}
