//! Selection against sorting, in every width of SIMD and number of threads.

use super::*;
use crate::cpu::top_k::Portable;
use crate::ops::compress::{Feedback, select_top_k, subtract_sent};
use crate::{Device, View};

/// What a selection gives: m, indices, values.
type Selected = (Vec<f32>, Vec<u16>, Vec<f32>);

fn noise(len: usize, mut seed: u64, mut value: impl FnMut(u32) -> f32) -> Vec<f32> {
    let mut next = move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 32) as u32
    };
    (0..len).map(|_| value(next())).collect()
}

/// Heavy tails: a product of three uniform values.
fn heavy(bits: u32) -> f32 {
    let part = |shift: u32| (bits >> shift & 0x3ff) as f32 / 512.0 - 1.0;
    part(0) * part(10) * part(20)
}

fn sorted_reference(grid: TileGrid, k: usize, beta: f32, inputs: [&[f32]; 3]) -> Selected {
    let [shared, local, residual] = inputs;
    let m: Vec<f32> =
        (0..grid.len()).map(|i| beta * residual[i] + (shared[i] - local[i])).collect();
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    let (cols, tile_cols) = (grid.cols(), grid.tile_cols());
    for chunk in 0..grid.chunks() {
        let (band, tile) = (chunk / grid.band_chunks(), chunk % grid.band_chunks());
        let at = |i: usize| {
            band * grid.band_len() + i / tile_cols * cols + tile * tile_cols + i % tile_cols
        };
        let mut order: Vec<usize> = (0..grid.chunk_len()).collect();
        order.sort_by(|&a, &b| m[at(b)].abs().total_cmp(&m[at(a)].abs()).then(a.cmp(&b)));
        order.truncate(k);
        order.sort_unstable();
        indices.extend(order.iter().map(|&i| i as u16));
        values.extend(order.iter().map(|&i| m[at(i)]));
    }
    (m, indices, values)
}

fn run<F>(grid: TileGrid, k: usize, select: F) -> Result<Selected, NonFinite>
where
    F: FnOnce(ViewMut<'_, f32>, ViewMut<'_, u16>, ViewMut<'_, f32>) -> Result<(), NonFinite>,
{
    let kept = grid.chunks() * k;
    let (mut m, mut indices, mut values) = (vec![9.0; grid.len()], vec![9; kept], vec![9.0; kept]);
    select((&mut m[..]).into(), (&mut indices[..]).into(), (&mut values[..]).into())?;
    Ok((m, indices, values))
}

fn bits((m, indices, values): &Selected) -> (Vec<u32>, &[u16], Vec<u32>) {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    (bits(m), indices, bits(values))
}

fn assert_all_ways_equal_sorting(grid: TileGrid, k: usize, inputs: [&[f32]; 3]) {
    let [shared, local, residual] = inputs.map(View::from);
    let feedback = Feedback { shared, local, residual, beta: 0.95 };
    let expected = sorted_reference(grid, k, 0.95, inputs);
    let portable = run(grid, k, |m, indices, values| {
        select_with(Portable, grid, k, feedback, m, indices, values)
    });
    assert!(bits(&portable.unwrap()) == bits(&expected), "portable {grid:?} k {k}");
    #[cfg(target_arch = "x86_64")]
    if let Some(avx2) = pulp::x86::V3::try_new() {
        let by_avx2 = run(grid, k, |m, indices, values| {
            select_with(avx2, grid, k, feedback, m, indices, values)
        });
        assert!(bits(&by_avx2.unwrap()) == bits(&expected), "AVX2 {grid:?} k {k}");
    }
    for threads in 1..=3 {
        let device = Device::cpu(threads).unwrap();
        let selected = run(grid, k, |m, indices, values| {
            select_top_k(&device, grid, k, feedback, m, indices, values)
        });
        assert!(bits(&selected.unwrap()) == bits(&expected), "{threads} threads {grid:?} k {k}");
    }
}

/// Square, non-divisible, narrow and one-dimensional shapes, with what they keep.
fn grids() -> Vec<(TileGrid, usize)> {
    vec![
        (TileGrid::new(192, 256, 64, 64), 64),
        (TileGrid::new(64, 256, 64, 64), 2),
        (TileGrid::new(64, 128, 64, 64), 4094),
        (TileGrid::new(128, 88, 64, 44), 64),
        (TileGrid::new(6, 35, 6, 35), 64),
        (TileGrid::new(1, 320, 1, 64), 64),
        (TileGrid::new(1, 27, 1, 27), 26),
        (TileGrid::new(97, 101, 1, 1), 1),
    ]
}

#[test]
fn random_values_are_selected_as_by_sorting() {
    for (grid, k) in grids() {
        let inputs = [1, 2, 3].map(|seed| noise(grid.len(), seed, heavy));
        assert_all_ways_equal_sorting(grid, k, inputs.each_ref().map(Vec::as_slice));
    }
}

#[test]
fn equal_values_go_to_the_lower_index() {
    for (grid, k) in grids() {
        let zero = vec![0.0; grid.len()];
        for levels in [1, 2, 5] {
            let coarse = |bits: u32| (bits % levels) as f32 - (levels / 2) as f32;
            let shared = noise(grid.len(), 4, coarse);
            assert_all_ways_equal_sorting(grid, k, [&shared, &zero, &zero]);
        }
    }
}

#[test]
fn chunks_that_are_mostly_or_wholly_zero_are_selected_as_by_sorting() {
    for (grid, k) in grids() {
        let zero = vec![0.0; grid.len()];
        let rare = |bits: u32| if bits.is_multiple_of(100) { heavy(bits) } else { 0.0 };
        let shared = noise(grid.len(), 5, rare);
        assert_all_ways_equal_sorting(grid, k, [&shared, &zero, &zero]);
        assert_all_ways_equal_sorting(grid, k, [&zero, &zero, &zero]);
    }
}

#[test]
fn scales_that_jump_from_chunk_to_chunk_do_not_mislead_the_guess() {
    let grid = TileGrid::new(64, 64 * 40, 64, 64);
    let mut shared = noise(grid.len(), 6, heavy);
    for (i, value) in shared.iter_mut().enumerate() {
        *value *= 10f32.powi((i % grid.cols() / 64 * 7 % 60) as i32 - 38);
    }
    let zero = vec![0.0; grid.len()];
    assert_all_ways_equal_sorting(grid, 64, [&shared, &zero, &zero]);
}

#[test]
fn the_first_value_that_is_not_finite_is_named() {
    for (grid, k) in grids() {
        let zero = vec![0.0; grid.len()];
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut shared = noise(grid.len(), 7, heavy);
            let first = grid.len() / 2;
            shared[first] = poison;
            shared[grid.len() - 1] = poison;
            let device = Device::cpu(2).unwrap();
            let [shared, zero] = [&shared[..], &zero[..]].map(View::from);
            let feedback = Feedback { shared, local: zero, residual: zero, beta: 0.95 };
            let refused = run(grid, k, |m, indices, values| {
                select_top_k(&device, grid, k, feedback, m, indices, values)
            });
            assert_eq!(refused.unwrap_err(), NonFinite { offset: first });
        }
    }
}

#[test]
fn what_was_sent_is_taken_from_exactly_its_places() {
    let codebook = [-2.0, -0.5, 0.5, 2.0];
    for (grid, k) in grids() {
        let m = noise(grid.len(), 8, heavy);
        let zero = vec![0.0; grid.len()];
        let (_, indices, _) = sorted_reference(grid, k, 0.0, [&m, &zero, &zero]);
        let chunk_bytes = k.div_ceil(4);
        let code = |chunk: usize, i: usize| (chunk + 3 * i) % 4;
        let mut codes = vec![0; grid.chunks() * chunk_bytes];
        let mut expected = m.clone();
        for (at, &index) in indices.iter().enumerate() {
            let (chunk, i) = (at / k, at % k);
            codes[chunk * chunk_bytes + i / 4] |= (code(chunk, i) as u8) << (i % 4 * 2);
            let (band, tile) = (chunk / grid.band_chunks(), chunk % grid.band_chunks());
            let (row, col) =
                (usize::from(index) / grid.tile_cols(), usize::from(index) % grid.tile_cols());
            let start = band * grid.band_len() + row * grid.cols() + tile * grid.tile_cols();
            expected[start + col] -= codebook[code(chunk, i)];
        }
        for threads in 1..=3 {
            let device = Device::cpu(threads).unwrap();
            let mut left = m.clone();
            let (indices, codes) = (indices.as_slice().into(), codes.as_slice().into());
            subtract_sent(&device, grid, k, codebook, indices, codes, (&mut left[..]).into());
            assert_eq!(left, expected);
        }
    }
}
