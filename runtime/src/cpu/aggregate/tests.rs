//! Aggregation against the formula written out, and what happens to values that overflow.

use crate::Device;
use crate::ops::aggregate::{Aggregation, SparseView, apply, clip_scales};
use crate::ops::{NonFinite, TileGrid};

/// One peer's update as its sender would hold it.
struct Update {
    codebook: [f32; 4],
    indices: Vec<u16>,
    codes: Vec<u8>,
}

impl Update {
    fn view(&self) -> SparseView<'_> {
        SparseView {
            codebook: self.codebook,
            indices: self.indices.as_slice().into(),
            codes: self.codes.as_slice().into(),
        }
    }

    fn code(&self, k: usize, at: usize) -> usize {
        let (chunk, i) = (at / k, at % k);
        usize::from(self.codes[chunk * k.div_ceil(4) + i / 4] >> (i % 4 * 2) & 3)
    }
}

fn update(grid: TileGrid, k: usize, seed: u64, scale: f32) -> Update {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut draw = move |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    let mut indices = Vec::new();
    let mut codes = vec![0; grid.chunks() * k.div_ceil(4)];
    for chunk in 0..grid.chunks() {
        let mut wanted = k;
        for index in 0..grid.chunk_len() {
            if draw(grid.chunk_len() - index) < wanted {
                indices.push(index as u16);
                wanted -= 1;
            }
        }
        for i in 0..k {
            codes[chunk * k.div_ceil(4) + i / 4] |= (draw(4) as u8) << (i % 4 * 2);
        }
    }
    let codebook = [-1.7, -0.6, 0.55, 1.9].map(|entry| entry * scale);
    Update { codebook, indices, codes }
}

fn offset(grid: TileGrid, k: usize, at: usize, index: u16) -> usize {
    let (band, tile) = (at / k / grid.band_chunks(), at / k % grid.band_chunks());
    let (row, col) = (usize::from(index) / grid.tile_cols(), usize::from(index) % grid.tile_cols());
    band * grid.band_len() + row * grid.cols() + tile * grid.tile_cols() + col
}

/// Spec 3.5 value by value.
fn reference(
    grid: TileGrid,
    k: usize,
    updates: &[Update],
    rule: Aggregation,
    alpha: f32,
    shared: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let norms: Vec<f32> = updates
        .iter()
        .map(|update| {
            let mut counts = [0u32; 4];
            (0..update.indices.len()).for_each(|at| counts[update.code(k, at)] += 1);
            let square = |b: usize| {
                f64::from(counts[b])
                    * (f64::from(update.codebook[b]) * f64::from(update.codebook[b]))
            };
            (0..4).map(square).sum::<f64>().sqrt() as f32
        })
        .collect();
    let mut sorted = norms.clone();
    sorted.sort_by(f32::total_cmp);
    let median = sorted[(sorted.len() - 1) / 2];
    let scales: Vec<f32> = norms.iter().map(|norm| (median / (norm + 1e-8)).min(1.0)).collect();
    let (mut sum, mut count) = (vec![0f32; grid.len()], vec![0f32; grid.len()]);
    for (update, scale) in updates.iter().zip(&scales) {
        for (at, &index) in update.indices.iter().enumerate() {
            let offset = offset(grid, k, at, index);
            sum[offset] += update.codebook[update.code(k, at)] * scale;
            count[offset] += 1.0;
        }
    }
    let stepped = (0..grid.len()).map(|i| {
        let divisor = match rule {
            Aggregation::Contributors => count[i].max(1.0),
            Aggregation::All => updates.len() as f32,
        };
        shared[i] - alpha * (sum[i] / divisor)
    });
    (stepped.collect(), scales)
}

fn shapes() -> Vec<(TileGrid, usize)> {
    vec![
        (TileGrid::new(192, 128, 64, 64), 64),
        (TileGrid::new(128, 88, 64, 44), 63),
        (TileGrid::new(1, 192, 1, 64), 64),
        (TileGrid::new(13, 7, 1, 1), 1),
    ]
}

#[test]
fn every_rule_shape_and_thread_count_gives_the_bits_of_the_formula() {
    for (grid, k) in shapes() {
        for peers in [1, 2, 5, 20] {
            let updates: Vec<Update> =
                (0..peers).map(|p| update(grid, k, p, 0.01 + p as f32 * 0.003)).collect();
            let views: Vec<_> = updates.iter().map(Update::view).collect();
            let shared: Vec<f32> = (0..grid.len()).map(|i| (i as f32 * 0.37).sin()).collect();
            for rule in [Aggregation::Contributors, Aggregation::All] {
                let (expected, scales) = reference(grid, k, &updates, rule, 0.4, &shared);
                for threads in 1..=3 {
                    let device = Device::cpu(threads).unwrap();
                    let mut clipped = vec![0.0; updates.len()];
                    clip_scales(&device, grid, k, &views, &mut clipped);
                    assert_eq!(clipped, scales);
                    let mut stepped = shared.clone();
                    let target = (&mut stepped[..]).into();
                    apply(&device, grid, k, &views, &clipped, rule, 0.4, target).unwrap();
                    assert_eq!(stepped, expected, "{grid:?} {peers} peers {rule:?}");
                }
            }
        }
    }
}

#[test]
fn the_median_is_the_lower_one_and_only_scales_down() {
    let grid = TileGrid::new(64, 64, 64, 64);
    let device = Device::cpu(1).unwrap();
    let scales = |sizes: &[f32]| {
        let updates: Vec<Update> = sizes.iter().map(|&size| update(grid, 64, 1, size)).collect();
        let views: Vec<_> = updates.iter().map(Update::view).collect();
        let mut scales = vec![0.0; sizes.len()];
        clip_scales(&device, grid, 64, &views, &mut scales);
        scales
    };
    let near = |found: Vec<f32>, expected: &[f32]| {
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
    };
    near(scales(&[4.0, 1.0, 2.0]), &[0.5, 1.0, 1.0]);
    near(scales(&[4.0, 1.0, 2.0, 3.0]), &[0.5, 1.0, 1.0, 2.0 / 3.0]);
    near(scales(&[0.0, 0.0, 1.0]), &[0.0, 0.0, 0.0]);
}

#[test]
fn no_peers_change_nothing() {
    let grid = TileGrid::new(64, 64, 64, 64);
    let device = Device::cpu(1).unwrap();
    clip_scales(&device, grid, 64, &[], &mut []);
    let mut shared = vec![1.5; grid.len()];
    let target = (&mut shared[..]).into();
    apply(&device, grid, 64, &[], &[], Aggregation::Contributors, 1.0, target).unwrap();
    assert!(shared.iter().all(|&value| value == 1.5));
}

#[test]
fn a_mean_that_overflows_leaves_the_tensor_alone_and_is_named() {
    let grid = TileGrid::new(128, 128, 64, 64);
    let device = Device::cpu(2).unwrap();
    let huge: Vec<Update> = (0..2).map(|_| update(grid, 64, 3, 1.5e38)).collect();
    let views: Vec<_> = huge.iter().map(Update::view).collect();
    let mut shared = vec![1.5; grid.len()];
    let refused = apply(
        &device,
        grid,
        64,
        &views,
        &[1.0, 1.0],
        Aggregation::Contributors,
        1.0,
        (&mut shared[..]).into(),
    );
    let overflowing = (0..huge[0].indices.len())
        .filter(|&at| matches!(huge[0].code(64, at), 0 | 3))
        .map(|at| offset(grid, 64, at, huge[0].indices[at]));
    assert_eq!(refused, Err(NonFinite { offset: overflowing.min().unwrap() }));
    assert!(shared.iter().all(|&value| value == 1.5));
}

#[test]
fn large_but_finite_means_are_applied() {
    let grid = TileGrid::new(64, 64, 64, 64);
    let device = Device::cpu(1).unwrap();
    let large: Vec<Update> = (0..3).map(|seed| update(grid, 64, seed, 4e37)).collect();
    let views: Vec<_> = large.iter().map(Update::view).collect();
    let shared = vec![0.0; grid.len()];
    let (expected, scales) = reference(grid, 64, &large, Aggregation::All, 1.0, &shared);
    let mut stepped = shared.clone();
    let target = (&mut stepped[..]).into();
    apply(&device, grid, 64, &views, &scales, Aggregation::All, 1.0, target).unwrap();
    assert_eq!(stepped, expected);
}

#[test]
fn one_peer_with_an_endless_norm_is_scaled_to_nothing() {
    let grid = TileGrid::new(64, 64, 64, 64);
    let device = Device::cpu(1).unwrap();
    let updates = [update(grid, 64, 1, 1.0), update(grid, 64, 2, 1.0), update(grid, 64, 3, 1.7e38)];
    let views: Vec<_> = updates.iter().map(Update::view).collect();
    let mut scales = [9.0; 3];
    clip_scales(&device, grid, 64, &views, &mut scales);
    assert_eq!(scales[2], 0.0);
    let mut shared = vec![1.0; grid.len()];
    let target = (&mut shared[..]).into();
    apply(&device, grid, 64, &views, &scales, Aggregation::Contributors, 1.0, target).unwrap();
    assert!(shared.iter().all(|value| value.is_finite()));
}
