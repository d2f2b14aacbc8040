//! Compression and the outer step: the bits of the CPU, over random shapes and values.

use proptest::prelude::*;
use runtime::ops::aggregate::{Aggregation, SparseView, apply, clip_scales};
use runtime::ops::compress::{Feedback, clear, select_top_k, subtract_sent};
use runtime::ops::{NonFinite, TileGrid};
use runtime::{Buffer, Device};

use crate::both::{gpus, params, plain, read};
use crate::oracle::{bits, device};

/// A matrix somewhere in a buffer, its tiles, and how many values of each are kept.
#[derive(Clone, Copy, Debug)]
struct Tensor {
    grid: TileGrid,
    k: usize,
    /// Values of the buffer before it.
    start: usize,
}

impl Tensor {
    /// As in a run: sides of tiles are the largest divisors up to 64 of the matrix's.
    fn of_matrix(rows: usize, cols: usize, k: usize, start: usize) -> Self {
        let side = |n: usize| (1..=64).rev().find(|side| n.is_multiple_of(*side)).unwrap();
        let grid = TileGrid::new(rows, cols, side(rows), side(cols));
        Self { grid, k: k.clamp(1, grid.chunk_len()), start }
    }

    fn range(self) -> std::ops::Range<usize> {
        self.start..self.start + self.grid.len()
    }

    fn kept(self) -> usize {
        self.grid.chunks() * self.k
    }

    fn code_bytes(self) -> usize {
        self.grid.chunks() * self.k.div_ceil(4)
    }
}

fn tensors() -> impl Strategy<Value = Tensor> {
    let side = prop_oneof![Just(64_usize), Just(128), 1..150_usize];
    let k = prop_oneof![4 => Just(64_usize), 1 => 1..130_usize, 1 => 1..4_097_usize];
    let start = prop_oneof![Just(0_usize), Just(64), 1..9_usize];
    (side.clone(), side, k, start).prop_map(|(r, c, k, start)| Tensor::of_matrix(r, c, k, start))
}

/// How values are spread.
#[derive(Clone, Copy, Debug)]
enum Spread {
    HeavyTails,
    FewLevels,
    MostlyZero,
}

fn spreads() -> impl Strategy<Value = Spread> {
    prop_oneof![Just(Spread::HeavyTails), Just(Spread::FewLevels), Just(Spread::MostlyZero)]
}

/// 32 random bits, over and over.
fn random(mut seed: u64) -> impl FnMut() -> u32 {
    move || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 32) as u32
    }
}

/// Values of the whole buffer.
fn numbers(tensor: Tensor, seed: u64, spread: Spread) -> Vec<f32> {
    let mut next = random(seed);
    let unit = |bits: u32| (bits >> 8) as f32 / (1 << 23) as f32 - 1.0;
    let number = |bits: u32| match spread {
        Spread::HeavyTails => unit(bits).powi(5),
        Spread::FewLevels => (unit(bits) * 3.0).round() / 4.0,
        Spread::MostlyZero if bits.is_multiple_of(97) => unit(bits),
        Spread::MostlyZero => 0.0,
    };
    (0..tensor.range().end).map(|_| number(next())).collect()
}

/// m as bits, indices, values as bits.
type Kept = (Vec<u32>, Vec<u16>, Vec<u32>);

fn select(dev: &Device, tensor: Tensor, inputs: [&[f32]; 3]) -> Result<Kept, NonFinite> {
    let range = tensor.range();
    let [shared, residual] = [inputs[0], inputs[2]].map(|values| plain(dev, values));
    let local = params(dev, inputs[1]);
    let feedback = Feedback {
        shared: shared.slice(range.clone()),
        local: local.slice(range.clone()),
        residual: residual.slice(range.clone()),
        beta: 0.95,
    };
    let mut m: Buffer<f32> = dev.alloc(range.end);
    let (mut indices, mut values) = (vec![9; tensor.kept()], vec![9.0; tensor.kept()]);
    let (kept, kept_values) = ((&mut indices[..]).into(), (&mut values[..]).into());
    let Tensor { grid, k, .. } = tensor;
    select_top_k(dev, grid, k, feedback, m.slice_mut(range), kept, kept_values)?;
    Ok((bits(&read(&m)), indices, bits(&values)))
}

/// One peer's update.
struct Sent {
    codebook: [f32; 4],
    indices: Vec<u16>,
    codes: Vec<u8>,
}

impl Sent {
    fn random(tensor: Tensor, seed: u64, largest: f32) -> Self {
        let m = numbers(tensor, seed, Spread::HeavyTails);
        let zero = vec![0.0; m.len()];
        let (_, indices, _) = select(&device(), tensor, [&m, &zero, &zero]).unwrap();
        let mut next = random(seed);
        let chunk_bytes = tensor.k.div_ceil(4);
        let unused_bits = 2 * (4 * chunk_bytes - tensor.k);
        let code = |at: usize| {
            let is_last = (at + 1).is_multiple_of(chunk_bytes);
            next() as u8 >> if is_last { unused_bits } else { 0 }
        };
        let codes = (0..tensor.code_bytes()).map(code).collect();
        let scale = largest * (1 + seed % 8) as f32 / 8.0;
        Self { codebook: [-1.0, -0.3, 0.3, 0.9].map(|entry: f32| entry * scale), indices, codes }
    }

    fn view(&self) -> SparseView<'_> {
        let (indices, codes) = ((&self.indices[..]).into(), (&self.codes[..]).into());
        SparseView { codebook: self.codebook, indices, codes }
    }
}

fn step(
    dev: &Device,
    tensor: Tensor,
    sent: &[Sent],
    rule: Aggregation,
    shared: &mut Buffer<f32>,
) -> Result<Vec<u32>, NonFinite> {
    let Tensor { grid, k, .. } = tensor;
    let peers: Vec<_> = sent.iter().map(Sent::view).collect();
    let mut scales = vec![0.0; peers.len()];
    clip_scales(dev, grid, k, &peers, &mut scales);
    apply(dev, grid, k, &peers, &scales, rule, 0.8, shared.slice_mut(tensor.range()))?;
    Ok(bits(&scales))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(50))]

    #[test]
    fn the_same_values_are_kept_as_on_the_cpu(
        tensor in tensors(), spread in spreads(), seed: u64,
        poison in prop::option::of(any::<u32>()),
    ) {
        let [mut shared, local, residual] = [0, 1, 2].map(|n| numbers(tensor, seed ^ n, spread));
        if let Some(bits) = poison {
            let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][bits as usize % 3];
            for at in [bits as usize, bits as usize / 7] {
                shared[tensor.start + at % tensor.grid.len()] = bad;
            }
        }
        let inputs = [&shared[..], &local, &residual];
        let expected = select(&device(), tensor, inputs);
        for gpu in gpus() {
            prop_assert!(select(&gpu, tensor, inputs) == expected, "{:?}", tensor);
            prop_assert!(gpu.synchronise().is_ok());
        }
    }

    #[test]
    fn the_same_is_left_of_what_was_sent_as_on_the_cpu(tensor in tensors(), seed: u64) {
        let sent = Sent::random(tensor, seed, 1.0);
        let values = numbers(tensor, seed, Spread::HeavyTails);
        let left = |dev: &Device| {
            let mut m = plain(dev, &values);
            let SparseView { codebook, indices, codes } = sent.view();
            let range = m.slice_mut(tensor.range());
            subtract_sent(dev, tensor.grid, tensor.k, codebook, indices, codes, range);
            bits(&read(&m))
        };
        for gpu in gpus() {
            prop_assert!(left(&gpu) == left(&device()), "{:?}", tensor);
            prop_assert!(gpu.synchronise().is_ok());
        }
    }

    #[test]
    fn the_same_outer_step_is_taken_as_on_the_cpu(
        tensor in tensors(), peers in 1..24_u64, by_all: bool, seed: u64,
        largest in prop_oneof![8 => Just(1.0_f32), 1 => Just(3e38)],
    ) {
        let sent: Vec<_> =
            (0..peers).map(|peer| Sent::random(tensor, seed ^ peer, largest)).collect();
        let rule = if by_all { Aggregation::All } else { Aggregation::Contributors };
        let values = numbers(tensor, seed, Spread::HeavyTails);
        let stepped = |dev: &Device, mut shared: Buffer<f32>| {
            let outcome = step(dev, tensor, &sent, rule, &mut shared);
            (outcome, bits(&read(&shared)))
        };
        let expected = stepped(&device(), plain(&device(), &values));
        for gpu in gpus() {
            prop_assert!(stepped(&gpu, plain(&gpu, &values)) == expected, "{:?}", tensor);
            prop_assert!(gpu.synchronise().is_ok());
        }
    }
}

#[test]
fn a_cleared_residual_is_zero() {
    for gpu in gpus() {
        let mut residual = plain(&gpu, &[1.0; 100]);
        clear(&gpu, residual.slice_mut(10..90));
        let values = read(&residual);
        assert!(values[..10].iter().chain(&values[90..]).all(|value| *value == 1.0));
        assert!(values[10..90].iter().all(|value| value.to_bits() == 0));
    }
}
