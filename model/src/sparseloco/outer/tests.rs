//! The outer step over several tensors: order, rules, and refusals.

use runtime::{Device, View};
use wire::{
    BodyShape, IndexCodec, Layout, Quantiser, ReadAt, Shape, SparseShape, SparseTensor, Uid,
};

use super::*;
use crate::sparseloco::{CheckedBody, Compressor};

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

/// A body as it lies on a disk, behind a header of one byte.
fn body(layout: &Layout, update: &[SparseTensor]) -> CheckedBody<Vec<u8>> {
    let mut bytes = vec![0];
    update.iter().for_each(|tensor| IndexCodec::EliasFano.encode(tensor, &mut bytes));
    let shape = BodyShape::new(layout, 64, IndexCodec::EliasFano);
    CheckedBody::check(&shape, bytes, 1).unwrap()
}

/// The step in one piece and in parts of at most so many bytes: what both skip.
fn both_ways(
    layout: &Layout,
    rule: Aggregation,
    sent: &[Vec<SparseTensor>],
    parts_bytes: usize,
) -> Vec<SkippedTensor> {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
    let uid = |at: usize| Uid(at as u16);
    let (device, outer) = (Device::cpu(2).unwrap(), OuterStep { alpha: 0.5, rule });
    let (mut whole, mut parted) = (vec![1.0; layout.params()], vec![1.0; layout.params()]);
    let pieces: Vec<_> = sent.iter().enumerate().map(|(at, sent)| (uid(at), &sent[..])).collect();
    let expected = outer.apply(&device, layout, (&mut whole[..]).into(), &pieces).unwrap();
    let shape = BodyShape::new(layout, 64, IndexCodec::EliasFano);
    let bodies: Vec<_> = sent.iter().map(|sent| body(layout, sent)).collect();
    let bodies = bodies.iter().enumerate().map(|(at, body)| (uid(at), body)).collect();
    let round = partwise::Round { outer, device: &device, shape: &shape, bodies, parts_bytes };
    let report = round.step(layout, (&mut parted[..]).into()).unwrap();
    assert_eq!(bits(&parted), bits(&whole), "{parts_bytes}");
    assert_eq!(bits(&report.clip_scales), bits(&expected.clip_scales));
    assert_eq!((report.uids, &report.skipped), (expected.uids, &expected.skipped));
    report.skipped
}

#[test]
fn a_step_in_parts_gives_the_bits_of_a_step_in_one_piece() {
    let shapes = [("tall", Shape::Matrix(320, 128)), ("norm", Shape::Vector(64))];
    let layout = Layout::new(shapes.map(|(name, shape)| (name.to_string(), shape))).unwrap();
    let learned = |peer: usize| move |i: usize| ((i * 37 + peer * 101) as f32).sin();
    let sent: Vec<_> = (0..5).map(|peer| contribution(&layout, learned(peer))).collect();
    for rule in [Aggregation::Contributors, Aggregation::All] {
        for parts_bytes in [0, 4_000, 1 << 20] {
            assert_eq!(both_ways(&layout, rule, &sent, parts_bytes), []);
        }
    }
    // Three times 1.5e38 is too large, in the first value of the last chunk alone.
    let mut huge = constant(&layout, 0.0);
    let shape = huge[0].shape();
    let (indices, mut codes) = huge.swap_remove(0).into_parts();
    codes[(shape.chunks() - 1) * shape.chunk_code_bytes()] = 3;
    huge.insert(0, SparseTensor::new(shape, [0.0, 0.0, 0.0, 1.5e38], indices, codes).unwrap());
    let sent = [huge.clone(), huge.clone(), huge];
    let skipped = both_ways(&layout, Aggregation::Contributors, &sent, 0);
    assert_eq!(skipped, [SkippedTensor { tensor: 0, offset: 256 * 128 + 64 }]);
}

#[test]
fn a_body_that_changes_after_it_was_checked_ends_the_step_by_name() {
    struct Fading(Vec<u8>, std::sync::atomic::AtomicBool);
    impl ReadAt for Fading {
        fn len(&self) -> u64 {
            self.0.len() as u64
        }
        fn read_at(&self, at: u64, into: &mut [u8]) -> std::io::Result<()> {
            match self.1.load(std::sync::atomic::Ordering::Relaxed) {
                true => Err(std::io::ErrorKind::UnexpectedEof.into()),
                false => self.0.read_at(at, into),
            }
        }
    }
    let layout = layout();
    let shape = BodyShape::new(&layout, 64, IndexCodec::EliasFano);
    let mut bytes = Vec::new();
    let update = constant(&layout, 1.0);
    update.iter().for_each(|tensor| IndexCodec::EliasFano.encode(tensor, &mut bytes));
    let fading = std::sync::Arc::new(Fading(bytes, false.into()));
    let body = CheckedBody::check(&shape, fading.clone(), 0).unwrap();
    fading.1.store(true, std::sync::atomic::Ordering::Relaxed);
    let (device, mut shared) = (Device::cpu(1).unwrap(), vec![1.0; layout.params()]);
    let outer = OuterStep { alpha: 0.5, rule: Aggregation::All };
    let shared = (&mut shared[..]).into();
    let error = outer.apply_bodies(&device, &layout, &shape, shared, &[(Uid(4), body)]);
    assert!(matches!(error, Err(SparseLocoError::Unreadable { uid: Uid(4), .. })), "{error:?}");
}
