//! Sketches: the values of a contribution at a few thousand places that only the validator knows.
//!
//! Which chunks are looked into, and which places within them, follows from a hash that is salted
//! with the validator's secret and the window. All contributions are looked at in the same places,
//! so what two have in common there estimates what they have in common; and who copies cannot
//! change just those places, today or after having been caught.

use std::borrow::Borrow;

use wire::{SparseShape, SparseTensor, Window};

use crate::draw::Secret;
use crate::rules::{SKETCH_CHUNKS, SKETCH_VALUES};

/// What a contribution keeps at the places that are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    /// Hashes of the places, ascending; the lowest bit is set if the value there is negative.
    places: Vec<u64>,
}

impl Sketch {
    /// Values that it holds.
    pub fn values(&self) -> usize {
        self.places.len()
    }

    pub(super) fn places(&self) -> &[u64] {
        &self.places
    }
}

/// Takes sketches of the contributions that are compared in one window.
#[derive(Clone, Debug)]
pub struct Sketcher {
    salt: [u64; 2],
    /// A chunk, then a place, is looked at if its hash is at most this.
    chunk_hash_max: u64,
    place_hash_max: u64,
}

impl Sketcher {
    /// For contributions whose tensors have the shapes `sections`. To compare a window with the
    /// last one, take a second sketch of each contribution for the window after its own.
    pub fn new(sections: &[SparseShape], secret: &Secret, window: Window) -> Self {
        let telling = || sections.iter().filter(|shape| is_telling(**shape));
        let chunks: u64 = telling().map(|shape| shape.chunks() as u64).sum();
        let values: u64 = telling().map(|shape| shape.values() as u64).sum();
        let chunk_rate = rate(SKETCH_CHUNKS as f64, chunks as f64);
        let place_rate = rate(SKETCH_VALUES as f64, values as f64 * chunk_rate);
        let mut draw = secret.draw("sketch", window, None);
        Self {
            salt: [draw.word(), draw.word()],
            chunk_hash_max: (chunk_rate * u64::MAX as f64) as u64,
            place_hash_max: (place_rate * u64::MAX as f64) as u64,
        }
    }

    /// The sketch of a contribution whose tensors come in the layout's order; they may be decoded
    /// one by one, none is kept.
    pub fn sketch<T: Borrow<SparseTensor>>(&self, update: impl IntoIterator<Item = T>) -> Sketch {
        let mut places = Vec::with_capacity(SKETCH_VALUES as usize * 9 / 8);
        for (section, tensor) in update.into_iter().enumerate() {
            if is_telling(tensor.borrow().shape()) {
                self.look_into(section, tensor.borrow(), &mut places);
            }
        }
        places.sort_unstable();
        Sketch { places }
    }

    fn look_into(&self, section: usize, tensor: &SparseTensor, places: &mut Vec<u64>) {
        let [chunk_salt, place_salt] = self.salt;
        let negative = tensor.codebook().map(|value| value < 0.0);
        for (chunk, indices) in tensor.indices().chunks_exact(tensor.shape().k()).enumerate() {
            let chunk_hash = mix(chunk_salt ^ (section as u64) << 40 ^ chunk as u64, place_salt);
            if chunk_hash > self.chunk_hash_max {
                continue;
            }
            // Within the chosen chunks the hash is small; the salt fills it up again.
            let seed = mix(chunk_hash ^ place_salt, chunk_salt);
            for (i, index) in indices.iter().enumerate() {
                let place = mix(seed ^ u64::from(*index), place_salt ^ seed.rotate_left(32));
                if place <= self.place_hash_max {
                    let is_negative = negative[usize::from(tensor.code(chunk, i))];
                    places.push(place & !1 | u64::from(is_negative));
                }
            }
        }
    }
}

/// Whether two contributions can differ in which values of a tensor they keep. Small chunks of
/// vectors are kept whole, or nearly.
pub(super) fn is_telling(shape: SparseShape) -> bool {
    4 * shape.k() <= shape.chunk_len()
}

/// The share to take of `of` so that about `wanted` are left.
fn rate(wanted: f64, of: f64) -> f64 {
    if wanted < of { wanted / of } else { 1.0 }
}

/// Both halves of a product of 128 bits, folded. With a factor that is secret, so is the result.
fn mix(a: u64, b: u64) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(a ^ ODD) * u128::from(b | 1);
    let folded = (product as u64) ^ (product >> 64) as u64;
    // One more round: the top bits of the first depend on few of the low bits of `a`.
    let product = u128::from(folded) * u128::from(ODD);
    (product as u64) ^ (product >> 64) as u64
}
