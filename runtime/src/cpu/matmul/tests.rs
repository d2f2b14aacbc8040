//! Products of bf16 factors, kernel by kernel, against f64 sums of the rounded factors, in all the
//! layouts of linear layers. A scalar model of the AVX-512 instruction goes through the same
//! indexing as the instruction itself, whatever this machine has.
//! Tolerance 2e-6 of the largest value, as in f32: products of bf16 are exact, only sums round.

use super::bf16::rounded_bits;
use super::kernel::Strided;
use super::pairs::{Dot, LANES, Paired};
use super::tile::{DEPTH, Tile};
use super::{Matrix, WithWidened, has_bf16, matmul, tiled};
use crate::{Compute, Device};

const TOLERANCE: f64 = 2e-6;
/// (m, n, k): single values, odd depths, below and above the tiles of 6, 16, 32, 96, 256 and 512.
const SIZES: [(usize, usize, usize); 8] = [
    (1, 1, 1),
    (1, 7, 3),
    (5, 16, 33),
    (7, 33, 16),
    (49, 97, 130),
    (200, 257, 37),
    (193, 31, 513),
    (520, 50, 65),
];

/// `vdpbf16ps` in scalar arithmetic: the odd product is added before the even one, denormals are
/// zero.
#[derive(Clone, Copy)]
struct Model;

fn widen(pair: u32) -> (f32, f32) {
    (f32::from_bits(pair << 16), f32::from_bits(pair & 0xffff_0000))
}

fn flush(x: f32) -> f32 {
    if x.is_subnormal() { 0.0 } else { x }
}

fn dot_pair(sum: f32, a: u32, b: u32) -> f32 {
    let ((a_even, a_odd), (b_even, b_odd)) = (widen(a), widen(b));
    let sum = flush(flush(a_odd).mul_add(flush(b_odd), flush(sum)));
    flush(flush(a_even).mul_add(flush(b_even), sum))
}

impl Dot for Model {
    type Sums = [f32; LANES];
    type Pairs = [u32; LANES];

    unsafe fn pack<const WIDTH: usize>(
        self,
        from: Strided,
        outer: usize,
        depth: usize,
        panels: &mut [f32],
    ) {
        let words = depth.div_ceil(2);
        // SAFETY: the caller's promise.
        let read = |i: usize, k: usize| unsafe { *from.start.add(i * from.outer + k * from.depth) };
        let rounded = |i, k| match i < outer && k < depth {
            true => rounded_bits(read(i, k).to_bits()),
            false => 0,
        };
        for i in 0..outer.next_multiple_of(WIDTH) {
            for word in 0..words {
                let pair = rounded(i, 2 * word) >> 16 | rounded(i, 2 * word + 1);
                panels[(i / WIDTH * words + word) * WIDTH + i % WIDTH] = f32::from_bits(pair);
            }
        }
    }

    fn sums(self, values: &[f32; LANES]) -> [f32; LANES] {
        *values
    }

    fn splat(self, pair: u32) -> [u32; LANES] {
        [pair; LANES]
    }

    fn load(self, pairs: &[u32; LANES]) -> [u32; LANES] {
        *pairs
    }

    fn add(self, sums: [f32; LANES], a: [u32; LANES], b: [u32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| dot_pair(sums[i], a[i], b[i]))
    }

    fn join(self, a: [f32; LANES], b: [f32; LANES]) -> [f32; LANES] {
        std::array::from_fn(|i| a[i] + b[i])
    }

    fn values(self, sums: [f32; LANES]) -> [f32; LANES] {
        sums
    }
}

/// A tile by the scalar model.
fn modelled(tile: Tile<'_>) {
    // SAFETY: `tiled` made the tile.
    unsafe { tile.multiply(Paired(Model)) }
}

/// A product in one of the layouts that linear layers use.
struct Case {
    dims: (usize, usize, usize),
    a: Vec<f32>,
    b: Vec<f32>,
    a_is_transposed: bool,
    b_is_transposed: bool,
}

impl Case {
    /// Forward, gradient of the input, gradient of the weight.
    fn all() -> impl Iterator<Item = Self> {
        let layouts = [(false, true), (false, false), (true, false)];
        SIZES.into_iter().flat_map(move |dims| {
            layouts.map(|(a_is_transposed, b_is_transposed)| {
                let (m, n, k) = dims;
                Self {
                    dims,
                    a: random(m * k, 1),
                    b: random(k * n, 2),
                    a_is_transposed,
                    b_is_transposed,
                }
            })
        })
    }

    fn a(&self) -> Matrix<'_> {
        let (m, _, k) = self.dims;
        match self.a_is_transposed {
            true => Matrix::rows(&self.a, m).transposed(),
            false => Matrix::rows(&self.a, k),
        }
    }

    fn b(&self) -> Matrix<'_> {
        let (_, n, k) = self.dims;
        match self.b_is_transposed {
            true => Matrix::rows(&self.b, k).transposed(),
            false => Matrix::rows(&self.b, n),
        }
    }

    /// `start + a b` from rounded factors, as `sum` adds the products of one value.
    fn expected<T>(&self, sum: impl Fn(&[u32], &[u32]) -> T) -> Vec<T> {
        let (m, n, k) = self.dims;
        let (a, b) = (self.a(), self.b());
        let at = |f: Matrix<'_>, i: usize, j: usize| {
            rounded_bits(f.values[i * f.row_stride + j * f.col_stride].to_bits())
        };
        let row = |i| (0..k).map(|s| at(a, i, s)).collect::<Vec<_>>();
        let column = |j| (0..k).map(|s| at(b, s, j)).collect::<Vec<_>>();
        let columns: Vec<_> = (0..n).map(column).collect();
        (0..m)
            .flat_map(|i| {
                let row = row(i);
                columns.iter().map(|column| sum(&row, column)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// By the scalar model of the instruction, piece after piece of k.
    fn expected_by_model(&self) -> Vec<f32> {
        self.expected(|a, b| {
            let pieces = a.chunks(DEPTH).zip(b.chunks(DEPTH)).map(|(a, b)| {
                let word = |pair: &[u32]| pair[0] >> 16 | pair.get(1).copied().unwrap_or(0);
                let words = a.chunks(2).map(word).zip(b.chunks(2).map(word));
                words.fold(0.0, |sum, (a, b)| dot_pair(sum, a, b))
            });
            pieces.reduce(|a, b| a + b).expect("at least one piece")
        })
    }

    fn expected_f64(&self) -> Vec<f64> {
        self.expected(|a, b| {
            let wide = |bits: &u32| f64::from(f32::from_bits(*bits));
            a.iter().zip(b).map(|(a, b)| wide(a) * wide(b)).sum()
        })
    }

    #[track_caller]
    fn assert_near(&self, got: &[f32], start: f32) {
        let want = self.expected_f64();
        let scale = want.iter().fold(1e-30_f64, |a, b| a.max(b.abs()));
        for (got, want) in got.iter().zip(want) {
            let error = (f64::from(*got) - f64::from(start) - want).abs() / scale;
            assert!(error <= TOLERANCE, "{:?}: {got} for {want}, error {error:e}", self.dims);
        }
    }
}

/// Deterministic values in (-1, 1).
fn random(len: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let draw = || {
        state = state.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1);
        ((state >> 40) as f32 / (1_u64 << 23) as f32) - 1.0
    };
    std::iter::repeat_with(draw).take(len).collect()
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn rounding_takes_the_nearest_bf16_and_of_two_the_even_one() {
    for seed in 0..50 {
        for x in random(2_000, seed) {
            let x = x * 2.0_f32.powi(seed as i32 * 5 - 125);
            let down = x.to_bits() & 0xffff_0000;
            let up = down + 0x1_0000;
            let distance = |bits| (f64::from(f32::from_bits(bits)) - f64::from(x)).abs();
            let even = if down & 0x1_0000 == 0 { down } else { up };
            let want = match distance(down).total_cmp(&distance(up)) {
                std::cmp::Ordering::Less => down,
                std::cmp::Ordering::Equal => even,
                std::cmp::Ordering::Greater => up,
            };
            assert_eq!(rounded_bits(x.to_bits()), want, "{x:e}");
        }
    }
    for (x, want) in [(0x3f80_8000, 0x3f80_0000), (0x3f81_8000, 0x3f82_0000)] {
        assert_eq!(rounded_bits(x), want, "a tie: {x:x}");
    }
}

#[test]
fn rounding_keeps_what_is_no_number_and_overflows_to_infinity() {
    let round = |x: f32| f32::from_bits(rounded_bits(x.to_bits()));
    assert_eq!(round(f32::INFINITY), f32::INFINITY);
    assert_eq!(round(f32::MIN), f32::NEG_INFINITY);
    for payload in [1, 0x7fff, 0x8000, 0x40_0000, 0x7f_ffff] {
        for sign in [0, 1 << 31] {
            assert!(round(f32::from_bits(0x7f80_0000 | sign | payload)).is_nan(), "{payload:x}");
        }
    }
    assert_eq!(bits(&[round(-0.0), round(0.0)]), bits(&[-0.0, 0.0]));
}

#[test]
fn widened_products_have_the_bits_of_f32_products_of_rounded_factors() {
    for case in Case::all() {
        let round = |x: &[f32]| -> Vec<f32> {
            x.iter().map(|x| f32::from_bits(rounded_bits(x.to_bits()))).collect()
        };
        let rounded = Case { a: round(&case.a), b: round(&case.b), ..case };
        for accumulate in [false, true] {
            let (m, n, _) = case.dims;
            let [mut got, mut want] = [(); 2].map(|()| vec![0.5; m * n]);
            tiled(case.dims, &mut got, case.a(), case.b(), accumulate, |tile| {
                pulp::Arch::new().dispatch(WithWidened(tile));
            });
            let (a, b) = (rounded.a(), rounded.b());
            matmul(case.dims, &mut want, a, b, accumulate, Compute::F32);
            assert_eq!(bits(&got), bits(&want), "{:?}", case.dims);
        }
        let mut got = vec![f32::NAN; case.dims.0 * case.dims.1];
        tiled(case.dims, &mut got, case.a(), case.b(), false, |tile| {
            pulp::Arch::new().dispatch(WithWidened(tile));
        });
        case.assert_near(&got, 0.0);
    }
}

#[test]
fn paired_panels_hold_every_product_once_and_in_the_order_of_the_instruction() {
    for case in Case::all() {
        let want = case.expected_by_model();
        let mut got = vec![f32::NAN; want.len()];
        let (a, b) = (case.a(), case.b());
        tiled(case.dims, &mut got, a, b, false, modelled);
        assert_eq!(bits(&got), bits(&want), "{:?}", case.dims);
        case.assert_near(&got, 0.0);
        got.fill(0.5);
        tiled(case.dims, &mut got, a, b, true, modelled);
        case.assert_near(&got, 0.5);
    }
}

#[test]
fn products_by_avx512_bf16_have_the_bits_of_the_model() {
    if !has_bf16() {
        println!("skipped: this machine has no AVX512-BF16");
        return;
    }
    let devices = [1, 2, 3].map(|threads| Device::cpu(threads).expect("three threads"));
    for case in Case::all() {
        let want = case.expected_by_model();
        for device in &devices {
            for accumulate in [false, true] {
                let mut got = vec![0.5; want.len()];
                device.install(|| {
                    matmul(case.dims, &mut got, case.a(), case.b(), accumulate, Compute::Bf16);
                });
                match accumulate {
                    false => assert_eq!(bits(&got), bits(&want), "{:?}", case.dims),
                    true => case.assert_near(&got, 0.5),
                }
            }
        }
    }
}
