//! What the body of every contribution to a run looks like: fixed by layout, k and codec, so that
//! each length is known before a byte is read.

use std::ops::Range;

use rayon::prelude::*;

use crate::{Digest, IndexCodec, Layout, Rejection, SparseShape, SparseTensor};

/// Shapes and places of all sections of a run's contributions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyShape {
    layout: Digest,
    k: u32,
    index_codec: IndexCodec,
    sections: Vec<SparseShape>,
    /// Where each section ends within the body.
    ends: Vec<usize>,
}

impl BodyShape {
    /// The shape that `layout` implies when `k` values are asked for per chunk.
    pub fn new(layout: &Layout, k: usize, index_codec: IndexCodec) -> Self {
        let tilings = layout.tensors().iter().map(|tensor| tensor.shape.tiling());
        let sections: Vec<_> = tilings.map(|tiling| SparseShape::new(tiling, k)).collect();
        let mut body_bytes = 0;
        let end = |section: &SparseShape| {
            body_bytes += index_codec.section_bytes(*section);
            body_bytes
        };
        let ends = sections.iter().map(end).collect();
        let k = u32::try_from(k).unwrap_or(u32::MAX);
        Self { layout: layout.hash(), k, index_codec, sections, ends }
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

    /// What each tensor sends, in the layout's order.
    pub fn sections(&self) -> &[SparseShape] {
        &self.sections
    }

    /// Where section `section` lies within the body.
    pub fn section_range(&self, section: usize) -> Range<usize> {
        let start = if section == 0 { 0 } else { self.ends[section - 1] };
        start..self.ends[section]
    }

    /// Decodes a body, all sections on all threads.
    ///
    /// # Errors
    /// It is not as long as it should be, or a section is not the encoding of a valid update; of
    /// several, the first is named.
    pub fn decode(&self, body: &[u8]) -> Result<Vec<SparseTensor>, Rejection> {
        let (found, claimed) = (body.len() as u64, self.body_bytes());
        if found != claimed {
            return Err(Rejection::OtherBodyLength { found, claimed });
        }
        let decode = |section| self.decode_section(section, &body[self.section_range(section)]);
        let tensors: Vec<_> = (0..self.sections.len()).into_par_iter().map(decode).collect();
        tensors.into_iter().collect()
    }

    /// Decodes what tensor `section` sends.
    pub(crate) fn decode_section(
        &self,
        section: usize,
        bytes: &[u8],
    ) -> Result<SparseTensor, Rejection> {
        let tensor = self.index_codec.decode(self.sections[section], bytes);
        tensor.map_err(|fault| Rejection::of_section(section as u32, fault))
    }

    /// Length of the body.
    pub fn body_bytes(&self) -> u64 {
        self.ends.last().map_or(0, |end| *end as u64)
    }

    /// Length of the whole object: a download of more is refused.
    pub fn object_bytes(&self) -> u64 {
        super::HEADER_BYTES as u64 + self.body_bytes()
    }
}
