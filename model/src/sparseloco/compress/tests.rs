//! The whole chain against sorting, and the account that error feedback has to keep.

use runtime::Device;
use wire::{Layout, Shape, SparseTensor};

use super::Compressor;
use wire::Quantiser;

use crate::sparseloco::{SparseLocoError, fit};

fn layout() -> Layout {
    let tensors = [
        ("square", Shape::Matrix(128, 192)),
        ("odd", Shape::Matrix(70, 88)),
        ("prime", Shape::Matrix(3, 5)),
        ("norm", Shape::Vector(128)),
        ("short", Shape::Vector(27)),
    ];
    Layout::new(tensors.map(|(name, shape)| (name.to_string(), shape))).unwrap()
}

fn noise(len: usize, mut seed: u64) -> Vec<f32> {
    let mut next = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next() * next() * next()).collect()
}

fn compress<'a>(
    compressor: &'a mut Compressor,
    [shared, local, residual]: [&[f32]; 3],
    m_out: &mut [f32],
) -> Result<&'a [SparseTensor], SparseLocoError> {
    compressor.compress(shared.into(), local.into(), residual.into(), m_out.into())
}

/// Offset within its tensor of each value of one chunk, in index order.
fn chunk_offsets(shape: Shape, chunk: usize) -> Vec<usize> {
    let tiling = shape.tiling();
    let row = |r: usize| tiling.chunk_start(chunk) + r * tiling.cols;
    (0..tiling.tile_rows).flat_map(|r| (0..tiling.tile_cols).map(move |c| row(r) + c)).collect()
}

/// Adds what a receiver decodes of `sent` to `sum`.
fn add_decoded(layout: &Layout, sent: &[SparseTensor], sum: &mut [f64]) {
    for (tensor, sparse) in layout.tensors().iter().zip(sent) {
        let k = sparse.shape().k();
        for chunk in 0..sparse.shape().chunks() {
            let offsets = chunk_offsets(tensor.shape, chunk);
            for i in 0..k {
                let index = usize::from(sparse.indices()[chunk * k + i]);
                let value = sparse.codebook()[usize::from(sparse.code(chunk, i))];
                sum[tensor.offset + offsets[index]] += f64::from(value);
            }
        }
    }
}

#[test]
fn the_chain_keeps_what_sorting_keeps_and_the_residual_is_the_rest() {
    let layout = layout();
    let n = layout.params();
    let inputs = [1, 2, 3].map(|seed| noise(n, seed));
    let [shared, local, residual] = inputs.each_ref().map(Vec::as_slice);
    for quantiser in [Quantiser::Published, Quantiser::LloydMax] {
        let device = Device::cpu(2).unwrap();
        let mut compressor = Compressor::new(&device, &layout, 64, 0.95, quantiser);
        let mut left = vec![0.0; n];
        let sent = compress(&mut compressor, [shared, local, residual], &mut left).unwrap();
        let m: Vec<f32> = (0..n).map(|i| 0.95 * residual[i] + (shared[i] - local[i])).collect();
        for (tensor, sparse) in layout.tensors().iter().zip(sent) {
            let k = sparse.shape().k();
            let mut kept = Vec::new();
            let mut expected = m[tensor.range()].to_vec();
            for chunk in 0..sparse.shape().chunks() {
                let offsets = chunk_offsets(tensor.shape, chunk);
                let value = |i: usize| m[tensor.offset + offsets[i]];
                let mut order: Vec<usize> = (0..offsets.len()).collect();
                order.sort_by(|&a, &b| value(b).abs().total_cmp(&value(a).abs()).then(a.cmp(&b)));
                order.truncate(k);
                order.sort_unstable();
                let indices = &sparse.indices()[chunk * k..(chunk + 1) * k];
                assert!(order.iter().zip(indices).all(|(&a, &b)| a == usize::from(b)));
                for (i, &index) in order.iter().enumerate() {
                    kept.push(value(index));
                    expected[offsets[index]] -=
                        sparse.codebook()[usize::from(sparse.code(chunk, i))];
                }
            }
            assert_eq!(sparse.codebook(), fit(quantiser, &kept).codebook(), "{}", tensor.name);
            assert_eq!(left[tensor.range()], expected, "{}", tensor.name);
        }
    }
}

#[test]
fn with_beta_one_everything_learned_is_either_sent_or_still_owed() {
    let layout = layout();
    let n = layout.params();
    let device = Device::cpu(2).unwrap();
    for quantiser in [Quantiser::Published, Quantiser::LloydMax] {
        let mut compressor = Compressor::new(&device, &layout, 64, 1.0, quantiser);
        let (mut residual, mut next) = (vec![0.0; n], vec![0.0; n]);
        let (mut learned, mut decoded) = (vec![0f64; n], vec![0f64; n]);
        let zero = vec![0.0; n];
        for window in 0..60 {
            let delta = noise(n, window);
            learned.iter_mut().zip(&delta).for_each(|(sum, &d)| *sum += f64::from(d));
            let sent = compress(&mut compressor, [&delta, &zero, &residual], &mut next).unwrap();
            add_decoded(&layout, sent, &mut decoded);
            std::mem::swap(&mut residual, &mut next);
        }
        for i in 0..n {
            let owed = learned[i] - decoded[i];
            assert!((owed - f64::from(residual[i])).abs() < 1e-4, "value {i} of {quantiser:?}");
        }
        let size = |values: &[f64]| values.iter().map(|v| v * v).sum::<f64>().sqrt();
        assert!(size(&decoded) > 0.1 * size(&learned), "hardly anything was sent");
    }
}

#[test]
fn threads_do_not_change_a_bit_and_memory_is_used_again() {
    let layout = layout();
    let n = layout.params();
    let mut results = Vec::new();
    for threads in 1..=3 {
        let device = Device::cpu(threads).unwrap();
        let mut compressor = Compressor::new(&device, &layout, 64, 0.95, Quantiser::LloydMax);
        let mut left = vec![0.0; n];
        let mut places = Vec::new();
        for window in 0..3 {
            let inputs = [1, 2, 3].map(|seed| noise(n, 10 * window + seed));
            let inputs = inputs.each_ref().map(Vec::as_slice);
            let sent = compress(&mut compressor, inputs, &mut left).unwrap();
            places.push(sent[0].indices().as_ptr());
            results.push((window, sent.to_vec(), left.clone()));
        }
        assert!(places.iter().all(|place| *place == places[0]));
    }
    for result in &results[3..] {
        assert!(results[..3].contains(result), "window {}", result.0);
    }
}

#[test]
fn a_null_round_sends_nothing_and_forgets_the_residual() {
    let layout = layout();
    let device = Device::cpu(1).unwrap();
    let mut compressor = Compressor::new(&device, &layout, 64, 0.95, Quantiser::Published);
    let mut left = vec![7.0; layout.params()];
    let sent = compressor.null_round((&mut left[..]).into());
    let mut sum = vec![0.0; layout.params()];
    add_decoded(&layout, sent, &mut sum);
    assert!(sum.iter().all(|&value| value == 0.0));
    assert!(left.iter().all(|&value| value == 0.0));
    assert_eq!(sent.len(), layout.tensors().len());
}

#[test]
fn equal_parameters_and_no_residual_give_a_contribution_of_zeros() {
    let layout = layout();
    let device = Device::cpu(1).unwrap();
    for quantiser in [Quantiser::Published, Quantiser::LloydMax] {
        let mut compressor = Compressor::new(&device, &layout, 64, 0.95, quantiser);
        let same = noise(layout.params(), 1);
        let zero = vec![0.0; layout.params()];
        let mut left = vec![7.0; layout.params()];
        let sent = compress(&mut compressor, [&same, &same, &zero], &mut left).unwrap();
        let mut sum = vec![0.0; layout.params()];
        add_decoded(&layout, sent, &mut sum);
        assert!(sum.iter().chain(&sum).all(|&value| value == 0.0));
        assert_eq!(sent[0].indices()[..64], std::array::from_fn::<u16, 64, _>(|i| i as u16));
    }
}

#[test]
fn a_value_that_is_not_finite_is_named_and_the_next_window_works() {
    let layout = layout();
    let n = layout.params();
    let device = Device::cpu(2).unwrap();
    let mut compressor = Compressor::new(&device, &layout, 64, 0.95, Quantiser::LloydMax);
    let (zero, mut left) = (vec![0.0; n], vec![0.0; n]);
    let good = noise(n, 1);
    let mut bad = good.clone();
    let odd = layout.find("odd").unwrap().offset;
    bad[odd + 9] = f32::NAN;
    let error = compress(&mut compressor, [&bad, &zero, &zero], &mut left).unwrap_err();
    assert_eq!(error, SparseLocoError::NonFinite { tensor: "odd".into(), offset: 9 });
    let sent = compress(&mut compressor, [&good, &zero, &zero], &mut left).unwrap();
    assert_eq!(sent.len(), layout.tensors().len());
}
