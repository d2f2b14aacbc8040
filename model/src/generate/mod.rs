//! From a trained model to text: a decoder is fed tokens and gives logits, a sampler chooses the
//! next one.
//!
//! `decoder` holds keys and values of several sequences,
//! which share prefixes by `fork` and go back by `truncate`; `layers` is its forward pass; `logits`
//! what they say of a token.

mod decoder;
mod layers;
mod logits;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Extend, Place, Wanted};
pub use logits::{LogSoftmax, greedy};
