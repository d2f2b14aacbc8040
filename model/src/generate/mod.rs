//! From a trained model to text: a decoder is fed tokens and gives logits, a sampler chooses the
//! next one.
//!
//! `decoder` holds keys and values of several sequences, which share prefixes by `fork` and go back
//! by `truncate`; `layers` is its forward pass; `logits` what they say of a token; `sampler` draws
//! one; `text` makes text of them while they come, and `continuation` puts the three together.

mod continuation;
mod decoder;
mod layers;
mod logits;
mod sampler;
#[cfg(test)]
mod tests;
mod text;

pub use continuation::{Addition, Continuation, Finish};
pub use decoder::{Decoder, Extend, Place, Wanted};
pub use logits::{LogSoftmax, greedy};
pub use sampler::{Sampler, Sampling};
pub use text::{StopText, TextStream};
