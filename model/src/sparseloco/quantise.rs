//! Four values for all that is sent of one tensor, and a 2-bit code per value.
//!
//! `Published` is the run's 4-bin quantiser: bins 1.5 sigma wide around the mean. What top-k keeps
//! has two humps and nothing between, so nearly all codes fall into two bins: an error of 11 % on
//! Gaussian values. `LloydMax` fits `{-hi, -lo, lo, hi}` to the magnitudes: 6.6 %. All sums are
//! over tiles of fixed size added in order, so the codebook does not depend on the number of
//! threads.

use rayon::prelude::*;
use runtime::with_widest_vectors;
use wire::{CODES_PER_BYTE, Quantiser};

/// Values summed by one thread in one go; the order of every sum follows from it.
const TILE: usize = 16_384;
/// Accumulators within a tile, so that sums vectorise.
const LANES: usize = 8;
/// Bins of the published quantiser, and the sigmas they span.
const BINS: f32 = 4.0;
const RANGE_SIGMAS: f32 = 6.0;
/// A threshold that moved by less than this share has converged: the error is flat around its
/// minimum.
const CONVERGED_SHARE: f32 = 1e-3;
const LLOYD_STEPS_MAX: usize = 50;
/// Values that the threshold is first looked for among.
const SAMPLE: usize = 8_192;
/// Below every magnitude.
const ALL: f32 = -1.0;

/// Fits the four values to all that is kept of one tensor, which is finite.
pub fn fit(quantiser: Quantiser, values: &[f32]) -> QuantiserFit {
    match quantiser {
        Quantiser::Published => QuantiserFit::Published(PublishedFit::new(values)),
        Quantiser::LloydMax => QuantiserFit::LloydMax(LloydMaxFit::new(values)),
    }
}

/// A quantiser fitted to one tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QuantiserFit {
    /// By [`Quantiser::Published`].
    Published(PublishedFit),
    /// By [`Quantiser::LloydMax`].
    LloydMax(LloydMaxFit),
}

impl QuantiserFit {
    /// What each code stands for.
    pub fn codebook(&self) -> [f32; 4] {
        match self {
            QuantiserFit::Published(fit) => fit.lookup.map(|entry| entry + fit.shift),
            QuantiserFit::LloydMax(fit) => [0.0 - fit.hi, 0.0 - fit.lo, fit.lo, fit.hi],
        }
    }

    /// Code of a value.
    pub fn code(&self, value: f32) -> u8 {
        match self {
            QuantiserFit::Published(fit) => fit.code(value),
            QuantiserFit::LloydMax(fit) => fit.code(value),
        }
    }

    /// Codes of `values` (`[chunks, k]`), four to a byte, each chunk from a new byte.
    ///
    /// # Panics
    /// `codes` is not `ceil(k / 4)` bytes per chunk.
    pub fn encode(&self, k: usize, values: &[f32], codes: &mut [u8]) {
        match self {
            QuantiserFit::Published(fit) => encode(k, values, codes, |value| fit.code(value)),
            QuantiserFit::LloydMax(fit) => encode(k, values, codes, |value| fit.code(value)),
        }
    }
}

fn encode(k: usize, values: &[f32], codes: &mut [u8], code: impl Fn(f32) -> u8 + Sync) {
    assert_eq!(codes.len(), values.len() / k * k.div_ceil(CODES_PER_BYTE), "codes of whole chunks");
    let chunks_per_tile = (TILE / k).max(1);
    codes
        .par_chunks_mut(k.div_ceil(CODES_PER_BYTE) * chunks_per_tile)
        .zip(values.par_chunks(k * chunks_per_tile))
        .for_each(|(codes, values)| {
            with_widest_vectors(
                #[inline(always)]
                || encode_chunks(k, values, codes, &code),
            );
        });
}

#[inline(always)]
fn encode_chunks(k: usize, values: &[f32], codes: &mut [u8], code: &impl Fn(f32) -> u8) {
    let chunk_bytes = k.div_ceil(CODES_PER_BYTE);
    for (values, codes) in values.chunks_exact(k).zip(codes.chunks_exact_mut(chunk_bytes)) {
        let (fours, rest) = values.as_chunks::<CODES_PER_BYTE>();
        let pack = |byte, (i, &value)| byte | code(value) << (2 * i);
        for (four, byte) in fours.iter().zip(&mut *codes) {
            *byte = four.iter().enumerate().fold(0, pack);
        }
        if !rest.is_empty() {
            codes[chunk_bytes - 1] = rest.iter().enumerate().fold(0, pack);
        }
    }
}

/// `q = clamp(round_half_even((v - shift) / scale + 2), 0, 3)`; a bin stands for the mean of its
/// values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PublishedFit {
    /// Mean of all values.
    pub shift: f32,
    /// Width of a bin: 1.5 standard deviations, or 1 where that is no width.
    pub scale: f32,
    /// Mean of each bin, less `shift`; 0 for an empty one.
    pub lookup: [f32; 4],
}

impl PublishedFit {
    fn new(values: &[f32]) -> Self {
        let n = values.len() as f64;
        let [sum] = sums(
            values,
            #[inline(always)]
            |group| [group.map(f64::from)],
        );
        let shift = (sum / n) as f32;
        let [squares] = sums(
            values,
            #[inline(always)]
            |group| {
                let centred = group.map(|value| f64::from(value - shift));
                [centred.map(|centred| centred * centred)]
            },
        );
        let sigma = (squares / (n - 1.0)).sqrt();
        let width = (sigma * f64::from(RANGE_SIGMAS / BINS)) as f32;
        let scale = if width.is_normal() { width } else { 1.0 };
        let mut fit = Self { shift, scale, lookup: [0.0; 4] };
        let bins: [f64; 8] = sums(
            values,
            #[inline(always)]
            |group| {
                let mut terms = [[0.0; LANES]; 8];
                for (lane, value) in group.iter().enumerate() {
                    let (centred, code) = (f64::from(value - shift), fit.code(*value));
                    for bin in 0..4 {
                        let is_in = code == bin as u8;
                        terms[bin][lane] = if is_in { centred } else { 0.0 };
                        terms[4 + bin][lane] = if is_in { 1.0 } else { 0.0 };
                    }
                }
                terms
            },
        );
        for code in 0..4 {
            if bins[4 + code] > 0.0 {
                fit.lookup[code] = (bins[code] / bins[4 + code]) as f32;
            }
        }
        fit
    }

    /// Bin of a value.
    #[inline(always)]
    pub fn code(&self, value: f32) -> u8 {
        // Adding 1.5 * 2^23 rounds half to even and leaves the integer in the low bits; to ask for
        // rounding by name is a call on the plainest machines.
        const ROUND: f32 = 12_582_912.0;
        let bin = (value - self.shift) / self.scale + BINS / 2.0;
        (bin.clamp(0.0, BINS - 1.0) + ROUND).to_bits() as u8 & 3
    }
}

/// Two magnitudes, each for the values nearest to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LloydMaxFit {
    /// Mean of the magnitudes up to the threshold.
    pub lo: f32,
    /// Mean of the magnitudes above it.
    pub hi: f32,
    /// Halfway between the two.
    pub threshold: f32,
}

impl LloydMaxFit {
    /// Lloyd's iteration, first on a sample to get near, then on all values.
    fn new(values: &[f32]) -> Self {
        let stride = values.len().div_ceil(SAMPLE).max(1);
        let sample: Vec<f32> = values.iter().step_by(stride).copied().collect();
        let mean = (sum_above(&sample, ALL).0 / sample.len() as f64) as f32;
        let start = Self { lo: mean, hi: mean, threshold: mean };
        match stride {
            1 => start.converged_on(values),
            _ => start.converged_on(&sample).converged_on(values),
        }
    }

    /// Splits at the threshold, takes both means and moves the threshold between them until it
    /// stays.
    fn converged_on(mut self, values: &[f32]) -> Self {
        let (total, n) = sum_above(values, ALL);
        for _ in 0..LLOYD_STEPS_MAX {
            let threshold = self.threshold;
            let (above, count) = sum_above(values, threshold);
            if count == 0 || count == n {
                let mean = (total / n as f64) as f32;
                return Self { lo: mean, hi: mean, threshold: mean };
            }
            self.hi = (above / count as f64) as f32;
            self.lo = ((total - above) / (n - count) as f64) as f32;
            self.threshold = self.lo + (self.hi - self.lo) / 2.0;
            if (self.threshold - threshold).abs() <= CONVERGED_SHARE * threshold {
                break;
            }
        }
        self
    }

    /// 0 to 3, from the lowest value of the codebook to the highest.
    #[inline(always)]
    pub fn code(&self, value: f32) -> u8 {
        let outer = u8::from(value.abs() > self.threshold);
        if value < 0.0 { 1 - outer } else { 2 + outer }
    }
}

/// Sums of `N` terms of each value over all of them, tile by tile in order.
fn sums<const N: usize>(
    values: &[f32],
    terms: impl Fn(&[f32; LANES]) -> [[f64; LANES]; N] + Sync,
) -> [f64; N] {
    let tile_sum = |tile: &[f32]| {
        with_widest_vectors(
            #[inline(always)]
            || sums_of_tile(tile, &terms),
        )
    };
    let tiles: Vec<[f64; N]> = values.par_chunks(TILE).map(tile_sum).collect();
    tiles.into_iter().fold([0.0; N], add)
}

/// Lane `i` adds every `LANES`th value; then the lanes are added, then what fills no group.
#[inline(always)]
fn sums_of_tile<const N: usize>(
    tile: &[f32],
    terms: &impl Fn(&[f32; LANES]) -> [[f64; LANES]; N],
) -> [f64; N] {
    let (groups, rest) = tile.as_chunks::<LANES>();
    let mut sums = [[0.0; LANES]; N];
    for group in groups {
        let terms = terms(group);
        for n in 0..N {
            for lane in 0..LANES {
                sums[n][lane] += terms[n][lane];
            }
        }
    }
    let lanes = (0..LANES).map(|lane| sums.map(|sums| sums[lane]));
    let tail = rest.iter().map(|&value| terms(&[value; LANES]).map(|terms| terms[0]));
    lanes.chain(tail).fold([0.0; N], add)
}

fn add<const N: usize>(left: [f64; N], right: [f64; N]) -> [f64; N] {
    std::array::from_fn(|n| left[n] + right[n])
}

/// Sum and number of the magnitudes above `threshold`, in the same fixed order. Partial sums are
/// f32 over at most 64 values, which costs less than 1e-5 and makes them vectorise.
fn sum_above(values: &[f32], threshold: f32) -> (f64, u64) {
    const RUN: usize = 64 * LANES;
    let add = |(sum, count), (more, n)| (sum + more, count + n);
    let tile_sum = |tile: &[f32]| {
        with_widest_vectors(
            #[inline(always)]
            || tile.chunks(RUN).map(|run| sum_of_run_above(run, threshold)).fold((0.0, 0), add),
        )
    };
    let tiles: Vec<(f64, u64)> = values.par_chunks(TILE).map(tile_sum).collect();
    tiles.into_iter().fold((0.0, 0), add)
}

#[inline(always)]
fn sum_of_run_above(run: &[f32], threshold: f32) -> (f64, u64) {
    let (mut sums, mut counts) = ([0f32; LANES], [0u32; LANES]);
    let mut add = |lane: usize, value: f32| {
        let is_above = value.abs() > threshold;
        sums[lane] += if is_above { value.abs() } else { 0.0 };
        counts[lane] += u32::from(is_above);
    };
    let (groups, rest) = run.as_chunks::<LANES>();
    for group in groups {
        for lane in 0..LANES {
            add(lane, group[lane]);
        }
    }
    rest.iter().enumerate().for_each(|(lane, &value)| add(lane, value));
    (sums.iter().map(|&sum| f64::from(sum)).sum(), counts.iter().copied().map(u64::from).sum())
}

/// `|values - decoded| / |values|`, both L2 norms: what quantising loses.
pub fn relative_error(fit: &QuantiserFit, values: &[f32]) -> f64 {
    let codebook = fit.codebook();
    let [lost, all] = sums(values, |group| {
        let lost =
            group.map(|value| f64::from(value) - f64::from(codebook[usize::from(fit.code(value))]));
        let square = |x: f64| x * x;
        [lost.map(square), group.map(|value| square(f64::from(value)))]
    });
    (lost / all).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uniform in (0, 1), from a counter.
    fn uniform(i: u64) -> f64 {
        let mut x = i.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64 + 1e-17
    }

    fn gaussian(i: u64) -> f64 {
        (-2.0 * uniform(2 * i).ln()).sqrt() * (std::f64::consts::TAU * uniform(2 * i + 1)).cos()
    }

    /// The 64 largest magnitudes of each 4,096 values.
    fn top_64(chunks: u64, value: impl Fn(u64) -> f64) -> Vec<f32> {
        let mut kept = Vec::new();
        for chunk in 0..chunks {
            let mut m: Vec<f32> = (0..4096).map(|i| value(chunk * 4096 + i) as f32).collect();
            m.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
            kept.extend(&m[..64]);
        }
        kept
    }

    #[test]
    fn the_published_quantiser_gives_its_golden_values() {
        let values = [-0.30, -0.02, 0.01, 0.25, 0.12, -0.11, 0.40, -0.05];
        let fit = PublishedFit::new(&values);
        assert!((fit.shift - 0.0375).abs() < 1e-7);
        assert!((fit.scale - 0.326056).abs() < 1e-6);
        for (found, golden) in fit.lookup.iter().zip([0.0, -0.3375, -0.0475, 0.2875]) {
            assert!((found - golden).abs() < 1e-6, "{found} is not {golden}");
        }
        let codes = values.map(|value| fit.code(value));
        assert_eq!(codes, [1, 2, 2, 3, 2, 2, 3, 2]);
        let mut packed = [0; 2];
        QuantiserFit::Published(fit).encode(4, &values, &mut packed);
        assert_eq!(packed, [0b11_10_10_01, 0b10_11_10_10]);
    }

    #[test]
    fn bins_round_half_to_even_and_end_at_three() {
        let fit = PublishedFit { shift: 0.0, scale: 1.0, lookup: [0.0; 4] };
        let codes = [-9.0, -1.5, -1.4, -0.5, 0.5, 0.6, 1.5, 9.0].map(|value| fit.code(value));
        assert_eq!(codes, [0, 0, 1, 2, 2, 3, 3, 3]);
    }

    #[test]
    fn a_scale_that_is_no_width_becomes_one() {
        for values in [&[0.0; 10][..], &[0.25; 10], &[7.0]] {
            let fit = PublishedFit::new(values);
            assert_eq!(fit.scale, 1.0);
            let fit = QuantiserFit::Published(fit);
            assert_eq!(fit.codebook()[usize::from(fit.code(values[0]))], values[0]);
        }
    }

    #[test]
    fn two_magnitudes_are_met_exactly() {
        let values = [-3.0, -1.0, 1.0, 3.0, 3.0, 1.0, -1.0];
        let fit = fit(Quantiser::LloydMax, &values);
        assert_eq!(fit.codebook(), [-3.0, -1.0, 1.0, 3.0]);
        assert_eq!(values.map(|value| fit.code(value)), [0, 1, 2, 3, 3, 2, 1]);
        assert_eq!(relative_error(&fit, &values), 0.0);
    }

    #[test]
    fn values_that_are_all_alike_or_all_zero_have_a_finite_codebook() {
        for values in [[0.0; 9], [0.1; 9], [-0.1; 9]] {
            for quantiser in [Quantiser::Published, Quantiser::LloydMax] {
                let fit = fit(quantiser, &values);
                assert!(fit.codebook().iter().all(|entry| entry.is_finite()));
                let entry = fit.codebook()[usize::from(fit.code(values[0]))];
                assert!((entry - values[0]).abs() <= 1e-7);
            }
        }
    }

    #[test]
    fn lloyd_max_loses_less_than_the_published_quantiser() {
        let laplace = |i| {
            let u = uniform(i) - 0.5;
            -u.signum() * (1.0 - 2.0 * u.abs()).max(1e-300).ln()
        };
        let heavy = |i| gaussian(2 * i) * (0.6 * gaussian(2 * i + 1)).exp();
        let inputs = [
            ("Gaussian", top_64(40, gaussian)),
            ("Laplace", top_64(40, laplace)),
            ("log-normal scale", top_64(40, heavy)),
        ];
        for (name, values) in &inputs {
            let error = |quantiser: Quantiser| relative_error(&fit(quantiser, values), values);
            let (published, lloyd) = (error(Quantiser::Published), error(Quantiser::LloydMax));
            println!("top 64 of 4,096, {name}: published {published:.4}, Lloyd-Max {lloyd:.4}");
            assert!(lloyd < published, "{name}");
        }
        let gaussian = &inputs[0].1;
        let published = relative_error(&fit(Quantiser::Published, gaussian), gaussian);
        assert!((published - 0.11).abs() < 0.01, "{published} is not the known 11 %");
        let lloyd = relative_error(&fit(Quantiser::LloydMax, gaussian), gaussian);
        assert!(lloyd < 0.07, "{lloyd}");
    }

    #[test]
    fn the_fit_does_not_depend_on_the_number_of_threads() {
        let values: Vec<f32> = (0..100_003).map(|i| gaussian(i) as f32).collect();
        for quantiser in [Quantiser::Published, Quantiser::LloydMax] {
            let fits = [1, 2, 3].map(|threads| {
                let device = runtime::Device::cpu(threads).unwrap();
                device.install(|| fit(quantiser, &values))
            });
            assert!(fits.iter().all(|fit| *fit == fits[0]));
        }
    }
}
