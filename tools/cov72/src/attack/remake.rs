//! Sparse updates remade: other values at the same places, or other places.

use wire::{Hotkey, SparseShape, SparseTensor, Window};

/// A stream of numbers that follows from who asks and when.
pub(super) struct Dice(blake3::OutputReader);

impl Dice {
    /// The dice of `hotkey` in `window`.
    pub(super) fn new(hotkey: Hotkey, window: Window) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&hotkey.0).update(&window.0.to_le_bytes());
        Self(hasher.finalize_xof())
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        ((u128::from(u64::from_le_bytes(bytes)) * bound as u128) >> 64) as usize
    }
}

/// Every value times `factor`.
pub(super) fn scaled(update: &[SparseTensor], factor: f32) -> Vec<SparseTensor> {
    let scaled = |tensor: &SparseTensor| {
        let codebook = tensor.codebook().map(|value| (value * factor).clamp(f32::MIN, f32::MAX));
        let (indices, codes) = (tensor.indices().to_vec(), tensor.codes().to_vec());
        SparseTensor::new(tensor.shape(), codebook, indices, codes).expect("as sound as before")
    };
    update.iter().map(scaled).collect()
}

/// Places and signs at random, values of size `size`.
pub(super) fn random(shape: SparseShape, size: f32, dice: &mut Dice) -> SparseTensor {
    let mut indices = Vec::with_capacity(shape.values());
    let mut codes = vec![0; shape.code_bytes()];
    for chunk in 0..shape.chunks() {
        let mut places = std::collections::BTreeSet::new();
        while places.len() < shape.k() {
            places.insert(dice.below(shape.chunk_len()) as u16);
        }
        indices.extend(places);
        for i in 0..shape.k() {
            set_code(shape, &mut codes, (chunk, i), dice.below(4) as u8);
        }
    }
    let codebook = [-size, -size / 2.0, size / 2.0, size];
    SparseTensor::new(shape, codebook, indices, codes).expect("sound by construction")
}

/// The same update with this share of its places, in percent, replaced by random ones.
pub(super) fn perturbed(
    update: &[SparseTensor],
    percent: usize,
    dice: &mut Dice,
) -> Vec<SparseTensor> {
    update.iter().map(|tensor| perturbed_tensor(tensor, percent, dice)).collect()
}

fn perturbed_tensor(tensor: &SparseTensor, percent: usize, dice: &mut Dice) -> SparseTensor {
    let shape = tensor.shape();
    let mut indices = Vec::with_capacity(shape.values());
    let mut codes = vec![0; shape.code_bytes()];
    for (chunk, own) in tensor.indices().chunks_exact(shape.k()).enumerate() {
        let mut kept: std::collections::BTreeMap<u16, u8> = std::collections::BTreeMap::new();
        for (i, index) in own.iter().enumerate() {
            if dice.below(100) >= percent {
                kept.insert(*index, tensor.code(chunk, i));
            }
        }
        while kept.len() < shape.k() {
            let (index, code) = (dice.below(shape.chunk_len()) as u16, dice.below(4) as u8);
            kept.entry(index).or_insert(code);
        }
        for (i, (index, code)) in kept.into_iter().enumerate() {
            indices.push(index);
            set_code(shape, &mut codes, (chunk, i), code);
        }
    }
    SparseTensor::new(shape, tensor.codebook(), indices, codes).expect("sound by construction")
}

/// Sets the code of the `i`-th value of a chunk, which is 0 so far.
pub(super) fn set_code(shape: SparseShape, codes: &mut [u8], (chunk, i): (usize, usize), code: u8) {
    codes[chunk * shape.chunk_code_bytes() + i / 4] |= code << (i % 4 * 2);
}
