//! The contribution: one peer's sparse update for one window, as signed bytes.
//!
//! header (232 bytes) | signature (64) | table of index lengths | one section per tensor. The format
//! is in `FORMAT.md`. Reading goes in stages, each refusing before the next one spends memory or
//! time: [`Header::parse`], [`Header::verify`], [`Verified::decode`]. Which values a section holds is
//! the affair of [`codec`](crate::codec); here a section is bytes of the right lengths.

mod body;
mod bytes;
mod header;
mod sizes;

pub use body::{Contribution, Section};
pub use header::{Claims, Expected, Header, Verified};
pub use sizes::{BodySizes, SectionSizes};

use crate::{Digest, Keypair};

/// Bytes of the header that are signed. Changing this breaks every contribution.
pub const SIGNED_BYTES: usize = 232;

/// Bytes before the body: signed header and signature.
pub const HEADER_BYTES: usize = SIGNED_BYTES + 64;

/// Writes and signs a contribution: `sections` holds one per tensor, in the layout's order.
///
/// The same claims, sections and key give the same bytes.
///
/// # Panics
/// A section's indices take 4 GiB or more, or there are as many sections.
pub fn encode(claims: &Claims, sections: &[Section<'_>], keypair: &Keypair) -> Vec<u8> {
    let body_bytes = body::encoded_len(sections);
    let mut object = Vec::with_capacity(HEADER_BYTES + body_bytes);
    object.resize(HEADER_BYTES, 0);
    body::encode_into(&mut object, sections);
    let header = Header::sign(
        *claims,
        u32::try_from(sections.len()).expect("a model has fewer than 2^32 tensors"),
        body_bytes as u64,
        Digest(*blake3::hash(&object[HEADER_BYTES..]).as_bytes()),
        keypair,
    );
    object[..HEADER_BYTES].copy_from_slice(&header.to_bytes());
    object
}
