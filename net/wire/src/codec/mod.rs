//! Bytes of one tensor's sparse update: 16 bytes of codebook, then the indices, then the codes.
//!
//! The codebook is four little-endian f32. Codes are 2 bits each, four to a byte from the low bits
//! up, each chunk padded with zeros to a whole byte. Indices are in one of the [`IndexCodec`]s.
//! A section's length follows from shape and codec alone, so it is known before anything is
//! allocated; each update has exactly one encoding, and every departure from it is named.

mod elias_fano;
mod fields;
mod packed12;
mod sparse;

use serde::{Deserialize, Serialize};

pub use sparse::{CODES_PER_BYTE, SparseShape, SparseTensor};

use elias_fano::EliasFano;

/// Bytes of a codebook: four f32.
pub const CODEBOOK_BYTES: usize = 16;

/// How the indices of kept values are written. Both forms lose nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IndexCodec {
    /// 12 bits per index, two indices in three bytes; 14 bits per kept value with its code.
    Packed12,
    /// Low bits plain, high bits in unary, chunk by chunk; 10 bits per kept value at 64 of 4,096.
    /// Takes no bytes where every value of a chunk is kept.
    #[default]
    EliasFano,
}

impl IndexCodec {
    /// Bytes of all indices of one tensor.
    pub fn index_bytes(self, shape: SparseShape) -> usize {
        match self {
            IndexCodec::Packed12 => packed12::bytes(shape),
            IndexCodec::EliasFano => shape.chunks() * EliasFano::new(shape).chunk_bytes(),
        }
    }

    /// Bytes of one tensor's section: codebook, indices and codes.
    pub fn section_bytes(self, shape: SparseShape) -> usize {
        CODEBOOK_BYTES + self.index_bytes(shape) + shape.code_bytes()
    }

    /// Writes one tensor's section over `section`.
    ///
    /// # Panics
    /// `section` is not exactly [`section_bytes`](Self::section_bytes) long.
    pub fn encode_into(self, tensor: &SparseTensor, section: &mut [u8]) {
        let shape = tensor.shape();
        assert_eq!(section.len(), self.section_bytes(shape), "section has another shape's length");
        let (codebook, rest) = section.split_at_mut(CODEBOOK_BYTES);
        let (indices, codes) = rest.split_at_mut(self.index_bytes(shape));
        for (bytes, entry) in codebook.chunks_exact_mut(4).zip(tensor.codebook()) {
            bytes.copy_from_slice(&entry.to_le_bytes());
        }
        match self {
            IndexCodec::Packed12 => packed12::encode(tensor.indices(), indices),
            IndexCodec::EliasFano => EliasFano::new(shape).encode(tensor.indices(), indices),
        }
        codes.copy_from_slice(tensor.codes());
    }

    /// Appends one tensor's section to `out`.
    pub fn encode(self, tensor: &SparseTensor, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + self.section_bytes(tensor.shape()), 0);
        self.encode_into(tensor, &mut out[start..]);
    }

    /// Reads one tensor's section, written by a stranger.
    ///
    /// # Errors
    /// The first departure from the one encoding of a valid update; nothing is allocated unless the
    /// length is right.
    pub fn decode(self, shape: SparseShape, section: &[u8]) -> Result<SparseTensor, SectionFault> {
        self.decode_over(shape, section, Default::default())
    }

    /// Reads one tensor's section into the memory of `spare`, the parts of an update that is no
    /// longer needed: a window after the other, no page is touched for the first time.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_over(
        self,
        shape: SparseShape,
        section: &[u8],
        (mut indices, mut codes): (Vec<u16>, Vec<u8>),
    ) -> Result<SparseTensor, SectionFault> {
        let expected = self.section_bytes(shape);
        if section.len() != expected {
            return Err(SectionFault::Length { expected, found: section.len() });
        }
        let (codebook, rest) = section.split_at(CODEBOOK_BYTES);
        let (index_bytes, code_bytes) = rest.split_at(self.index_bytes(shape));
        let mut entries =
            codebook.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let codebook = std::array::from_fn(|_| entries.next().unwrap_or_default());
        indices.resize(shape.values(), 0);
        match self {
            IndexCodec::Packed12 => packed12::decode(index_bytes, &mut indices)?,
            IndexCodec::EliasFano => EliasFano::new(shape).decode(index_bytes, &mut indices)?,
        }
        codes.clear();
        codes.extend_from_slice(code_bytes);
        SparseTensor::new(shape, codebook, indices, codes)
    }
}

/// What is wrong with a tensor's section; the sender's fault, never ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SectionFault {
    /// Not as long as the layout says.
    #[error("the section holds {found} bytes where its layout says {expected}")]
    Length {
        /// What shape and codec call for.
        expected: usize,
        /// What there is.
        found: usize,
    },
    /// A codebook entry is infinite or not a number.
    #[error("codebook entry {entry} is not finite")]
    Codebook {
        /// Which of the four.
        entry: usize,
    },
    /// An index points beyond its chunk.
    #[error("chunk {chunk} holds index {index}, beyond its {chunk_len} values")]
    IndexOutOfRange {
        /// Which chunk of the tensor.
        chunk: usize,
        /// The index found.
        index: usize,
        /// Values in the chunk.
        chunk_len: usize,
    },
    /// An index does not exceed the one before it.
    #[error("the indices of chunk {chunk} do not ascend strictly")]
    NotAscending {
        /// Which chunk of the tensor.
        chunk: usize,
    },
    /// The unary half of an Elias-Fano chunk marks more or fewer values than are kept.
    #[error("chunk {chunk} marks {found} indices where {expected} are kept")]
    BitCount {
        /// Which chunk of the tensor.
        chunk: usize,
        /// Values kept per chunk.
        expected: usize,
        /// Bits set.
        found: usize,
    },
    /// Bits that only fill up a byte, or the last pair of indices, are not zero.
    #[error("the padding of chunk {chunk}'s {part} is not zero")]
    Padding {
        /// Which chunk of the tensor.
        chunk: usize,
        /// `"indices"` or `"codes"`.
        part: &'static str,
    },
}

#[cfg(test)]
mod tests;
