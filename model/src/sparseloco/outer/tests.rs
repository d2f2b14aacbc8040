//! The outer step over several tensors: order, rules, and refusals.

use runtime::{Device, View};
use wire::{Layout, Shape, SparseShape, SparseTensor, Uid};

use super::*;
use wire::Quantiser;

use crate::sparseloco::Compressor;

fn layout() -> Layout {
    let tensors = [("matrix", Shape::Matrix(64, 128)), ("norm", Shape::Vector(64))];
    Layout::new(tensors.map(|(name, shape)| (name.to_string(), shape))).unwrap()
}

/// What a peer that learned `delta` sends.
fn contribution(layout: &Layout, delta: impl Fn(usize) -> f32) -> Vec<SparseTensor> {
    let device = Device::cpu(1).unwrap();
    let mut compressor = Compressor::new(&device, layout, 64, 0.95, Quantiser::LloydMax);
    let shared: Vec<f32> = (0..layout.params()).map(delta).collect();
    let (zero, mut left) = (vec![0.0; layout.params()], vec![0.0; layout.params()]);
    let (shared, zero) = (View::from(&shared[..]), View::from(&zero[..]));
    compressor.compress(shared, zero, zero, (&mut left[..]).into()).unwrap().to_vec()
}

/// An update of both tensors whose codes all stand for `value`.
fn constant(layout: &Layout, value: f32) -> Vec<SparseTensor> {
    let shape = |tensor: &wire::Tensor| SparseShape::new(tensor.shape.tiling(), 64);
    let of = |shape: SparseShape| {
        let (indices, codes) = SparseTensor::zero(shape).into_parts();
        SparseTensor::new(shape, [value; 4], indices, codes).unwrap()
    };
    layout.tensors().iter().map(|tensor| of(shape(tensor))).collect()
}

fn step(rule: Aggregation, contributions: &[(Uid, &[SparseTensor])]) -> (Vec<f32>, OuterReport) {
    let layout = layout();
    let mut shared = vec![1.0; layout.params()];
    let outer = OuterStep { alpha: 0.5, rule };
    let device = Device::cpu(2).unwrap();
    let report = outer.apply(&device, &layout, (&mut shared[..]).into(), contributions).unwrap();
    (shared, report)
}

#[test]
fn the_order_in_which_contributions_arrive_does_not_matter() {
    let layout = layout();
    let sent: Vec<_> = (0..4u16)
        .map(|p| contribution(&layout, |i| ((i * 37 + usize::from(p) * 101) as f32).sin()))
        .collect();
    let of = |order: [u16; 4]| order.map(|uid| (Uid(uid), sent[usize::from(uid)].as_slice()));
    let (ascending, report) = step(Aggregation::Contributors, &of([0, 1, 2, 3]));
    let (shuffled, other) = step(Aggregation::Contributors, &of([2, 0, 3, 1]));
    assert_eq!(ascending, shuffled);
    assert_eq!(report, other);
    assert_eq!(report.uids, [0, 1, 2, 3].map(Uid));
    assert_eq!(report.clip_scales.len(), 2 * 4);
}

#[test]
fn contributors_divide_by_senders_and_all_by_peers() {
    let layout = layout();
    let (first, silent) = (constant(&layout, 2.0), contribution(&layout, |i| -((i % 7) as f32)));
    let (by_senders, report) = step(Aggregation::Contributors, &[(Uid(5), &first)]);
    assert_eq!(report.clip_scales, [1.0, 1.0]);
    assert_eq!((by_senders[0], by_senders[128]), (0.0, 1.0));
    // The second peer sends none of the first chunk's first values: they have one sender of two.
    let untouched = (0..64u16).find(|index| !silent[0].indices()[..64].contains(index)).unwrap();
    let untouched = usize::from(untouched);
    let both: [(Uid, &[SparseTensor]); 2] = [(Uid(5), &first), (Uid(6), &silent)];
    let (by_senders, report) = step(Aggregation::Contributors, &both);
    let scale = report.clip_scales[0];
    assert_eq!(by_senders[untouched], 1.0 - 0.5 * (2.0 * scale));
    let (by_all, _) = step(Aggregation::All, &both);
    assert_eq!(by_all[untouched], 1.0 - 0.5 * (2.0 * scale / 2.0));
}

#[test]
fn no_contributions_change_nothing() {
    let (shared, report) = step(Aggregation::Contributors, &[]);
    assert!(shared.iter().all(|&value| value == 1.0));
    assert_eq!(report, OuterReport::default());
}

#[test]
fn a_tensor_whose_step_overflows_is_skipped_and_reported_alone() {
    let layout = layout();
    let mut huge = constant(&layout, 2.0);
    huge[0] = constant(&layout, 3e38).swap_remove(0);
    let both: [(Uid, &[SparseTensor]); 2] = [(Uid(1), &huge), (Uid(2), &huge)];
    let (shared, report) = step(Aggregation::Contributors, &both);
    assert_eq!(report.skipped, [SkippedTensor { tensor: 0, offset: 0 }]);
    assert!(shared[..64 * 128].iter().all(|&value| value == 1.0));
    assert!(shared[64 * 128..].iter().all(|&value| value == 0.0));
}

#[test]
fn repeated_uids_and_other_layouts_are_refused_before_anything_moves() {
    let layout = layout();
    let good = constant(&layout, 1.0);
    let device = Device::cpu(1).unwrap();
    let outer = OuterStep { alpha: 0.5, rule: Aggregation::All };
    let mut shared = vec![1.0; layout.params()];
    let mut refuse = |contributions: &[(Uid, &[SparseTensor])]| {
        outer.apply(&device, &layout, (&mut shared[..]).into(), contributions).unwrap_err()
    };
    let twice = refuse(&[(Uid(1), &good), (Uid(1), &good)]);
    assert_eq!(twice, SparseLocoError::Twice { uid: Uid(1) });
    let other = refuse(&[(Uid(1), &good), (Uid(2), &good[..1])]);
    assert_eq!(other, SparseLocoError::OtherLayout { uid: Uid(2) });
    let shape = |tensor: &wire::Tensor| SparseShape::new(tensor.shape.tiling(), 32);
    let fewer: Vec<_> = layout.tensors().iter().map(|t| SparseTensor::zero(shape(t))).collect();
    let other = refuse(&[(Uid(1), &good), (Uid(2), &fewer)]);
    assert_eq!(other, SparseLocoError::OtherLayout { uid: Uid(2) });
    assert!(shared.iter().all(|&value| value == 1.0));
}
