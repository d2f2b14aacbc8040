//! A part of a body: some rows of tiles of one tensor's section, read from wherever the body lies.

use std::io;
use std::ops::Range;

use super::BodyShape;
use crate::codec::CODEBOOK_BYTES;
use crate::{ReadAt, Rejection, SparseTensor};

/// Memory for one part after the other; the second one of a size allocates nothing.
#[derive(Debug, Default)]
pub struct Part {
    bytes: Vec<u8>,
    tensor: Option<SparseTensor>,
}

/// Why a part could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PartFault {
    /// It is not what it must be: its sender's fault.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// It could not be read: ours.
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

impl Part {
    /// Reads rows of tiles `bands` of tensor `section`, of the body of `shape` that begins at
    /// `body_at`. Chunks are counted from the first of them, and the tensor has no other rows.
    ///
    /// # Errors
    /// It is not the encoding of a valid update, or cannot be read.
    ///
    /// # Panics
    /// There is no such tensor, it has fewer rows of tiles, or `bands` is none that
    /// [`SparseShape::cut`](crate::SparseShape::cut) gives.
    pub fn read(
        &mut self,
        shape: &BodyShape,
        body: &(impl ReadAt + ?Sized),
        body_at: u64,
        section: usize,
        bands: Range<usize>,
    ) -> Result<&SparseTensor, PartFault> {
        let (whole, codec) = (shape.sections()[section], shape.index_codec());
        let (before, part) = (whole.of_bands(bands.start), whole.of_bands(bands.len()));
        assert!(before.chunks() + part.chunks() <= whole.chunks(), "rows of tiles of this tensor");
        self.bytes.resize(codec.section_bytes(part), 0);
        let (codebook, rest) = self.bytes.split_at_mut(CODEBOOK_BYTES);
        let (indices, codes) = rest.split_at_mut(codec.index_bytes(part));
        let section_at = body_at + shape.section_range(section).start as u64;
        let indices_at = section_at + CODEBOOK_BYTES as u64;
        let codes_at = indices_at + codec.index_bytes(whole) as u64;
        body.read_at(section_at, codebook)?;
        body.read_at(indices_at + codec.index_bytes(before) as u64, indices)?;
        body.read_at(codes_at + before.code_bytes() as u64, codes)?;
        let spare = self.tensor.take().map(SparseTensor::into_parts).unwrap_or_default();
        let tensor = codec.decode_over(part, &self.bytes, spare);
        let tensor = tensor.map_err(|fault| Rejection::of_section(section as u32, fault))?;
        Ok(self.tensor.insert(tensor))
    }

    /// What was read last.
    ///
    /// # Panics
    /// Nothing was read, or it had a fault.
    pub fn tensor(&self) -> &SparseTensor {
        self.tensor.as_ref().expect("a part that was read")
    }
}
