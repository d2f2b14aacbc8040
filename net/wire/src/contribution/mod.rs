//! The contribution: one peer's sparse update for one window, as signed bytes.
//!
//! header (232 bytes) | signature (64) | one section per tensor. The format is in `FORMAT.md`.
//! Reading goes in stages, each refusing before the next one spends memory or time:
//! [`Header::parse`], [`Header::verify`], [`Verified::body`], then [`Body::tensor`] one by one or
//! [`Body::decode`] all at once; [`Verified::body_at`] and [`Part::read`] where the body does not
//! lie in memory. Sections are written and read by the [`IndexCodec`](crate::IndexCodec).

mod body;
mod header;
mod part;
mod reader;
mod shape;

pub use body::{Body, Contribution};
pub use header::{Claims, Expected, Header, Verified};
pub use part::{Part, PartFault};
pub use shape::BodyShape;

use rayon::prelude::*;

use crate::{Keypair, SparseTensor};

/// Bytes of the header that are signed. Changing this breaks every contribution.
pub const SIGNED_BYTES: usize = 232;

/// Bytes before the body: signed header and signature.
pub const HEADER_BYTES: usize = SIGNED_BYTES + 64;

/// Writes and signs a contribution: `tensors` holds one update per tensor, in the layout's order.
///
/// The same claims, updates and key give the same bytes.
///
/// # Panics
/// There are 2^32 tensors or more.
pub fn encode(claims: &Claims, tensors: &[SparseTensor], keypair: &Keypair) -> Vec<u8> {
    let codec = claims.index_codec;
    let lengths = tensors.iter().map(|tensor| codec.section_bytes(tensor.shape()));
    let body_bytes: usize = lengths.clone().sum();
    let mut object = vec![0; HEADER_BYTES + body_bytes];
    let (header, body) = object.split_at_mut(HEADER_BYTES);
    let mut rest = &mut *body;
    let mut sections = Vec::with_capacity(tensors.len());
    for (tensor, len) in tensors.iter().zip(lengths) {
        let (section, behind) = std::mem::take(&mut rest).split_at_mut(len);
        sections.push((tensor, section));
        rest = behind;
    }
    sections.into_par_iter().for_each(|(tensor, section)| codec.encode_into(tensor, section));
    let section_count = u32::try_from(tensors.len()).expect("a model has fewer tensors");
    let signed = Header::sign(*claims, section_count, body_bytes as u64, body::hash(body), keypair);
    header.copy_from_slice(&signed.to_bytes());
    object
}
