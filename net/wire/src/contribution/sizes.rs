//! How long each part of a body may be: known from layout, k and codec before a byte is read.

use std::ops::RangeInclusive;

use crate::protocol::CODEBOOK_LEN;
use crate::{Digest, IndexCodec, Layout, Tiling};

/// Bytes of one entry of the table of index lengths.
pub(super) const TABLE_ENTRY_BYTES: u64 = 4;

/// Bytes of one codebook.
pub(super) const CODEBOOK_BYTES: u64 = 4 * CODEBOOK_LEN as u64;

/// Lengths of one section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionSizes {
    /// Values sent: chunks times values kept of each.
    pub values: u64,
    /// Bytes that the indices may take.
    pub index_bytes: RangeInclusive<u64>,
    /// Bytes that the 2-bit codes take.
    pub code_bytes: u64,
}

/// Lengths of all sections of a run's contributions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodySizes {
    layout: Digest,
    k: u32,
    index_codec: IndexCodec,
    sections: Vec<SectionSizes>,
    body_bytes: RangeInclusive<u64>,
}

impl BodySizes {
    /// The lengths that `layout` implies when `k` values are asked for per chunk.
    pub fn new(layout: &Layout, k: usize, index_codec: IndexCodec) -> Self {
        let tilings = layout.tensors().iter().map(|tensor| tensor.shape.tiling());
        let sections: Vec<_> = tilings.map(|tiling| sizes_of(tiling, k, index_codec)).collect();
        let fixed =
            |section: &SectionSizes| TABLE_ENTRY_BYTES + CODEBOOK_BYTES + section.code_bytes;
        let fixed: u64 = sections.iter().map(fixed).sum();
        let min: u64 = sections.iter().map(|section| section.index_bytes.start()).sum();
        let max: u64 = sections.iter().map(|section| section.index_bytes.end()).sum();
        Self {
            layout: layout.hash(),
            k: u32::try_from(k).unwrap_or(u32::MAX),
            index_codec,
            sections,
            body_bytes: fixed + min..=fixed + max,
        }
    }

    /// Hash of the layout.
    pub fn layout(&self) -> Digest {
        self.layout
    }

    /// Values asked for per chunk.
    pub fn k(&self) -> u32 {
        self.k
    }

    /// How indices are written.
    pub fn index_codec(&self) -> IndexCodec {
        self.index_codec
    }

    /// Lengths by tensor, in the layout's order.
    pub fn sections(&self) -> &[SectionSizes] {
        &self.sections
    }

    /// How long a body may be.
    pub fn body_bytes(&self) -> RangeInclusive<u64> {
        self.body_bytes.clone()
    }

    /// Longest object: a download stops here.
    pub fn object_bytes_max(&self) -> u64 {
        super::HEADER_BYTES as u64 + self.body_bytes.end()
    }
}

fn sizes_of(tiling: Tiling, k: usize, index_codec: IndexCodec) -> SectionSizes {
    let values = (tiling.chunks() * tiling.k_eff(k)) as u64;
    SectionSizes {
        values,
        index_bytes: index_bytes(tiling, k, index_codec),
        code_bytes: values.div_ceil(4),
    }
}

/// The seam to the codecs: how many bytes the indices of a tensor take.
fn index_bytes(tiling: Tiling, k: usize, index_codec: IndexCodec) -> RangeInclusive<u64> {
    let chunks = tiling.chunks() as u64;
    let values = chunks * tiling.k_eff(k) as u64;
    match index_codec {
        IndexCodec::Packed12 => {
            let exact = (3 * values).div_ceil(2);
            exact..=exact
        }
        // At most two bits a value above its low bits, of which there are at most twelve.
        IndexCodec::EliasFano => 0..=2 * values + chunks,
    }
}
