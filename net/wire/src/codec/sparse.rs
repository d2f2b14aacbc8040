//! One tensor's sparse update in memory: a codebook of four values, and per chunk `k` indices and
//! codes.
//!
//! Indices lie chunk after chunk, ascending within each; codes lie as on the wire, four to a byte,
//! each chunk starting a byte. A value of this type is well formed for its shape, whoever sent it.

use std::ops::Range;

use super::SectionFault;
use crate::Tiling;

/// Codes in one byte.
pub const CODES_PER_BYTE: usize = 4;

/// How many values of which chunks an update of one tensor keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SparseShape {
    tiling: Tiling,
    k: usize,
}

impl SparseShape {
    /// The update of a tensor cut by `tiling` of which `k` values per chunk are asked for; small
    /// chunks keep fewer, see [`Tiling::k_eff`].
    pub fn new(tiling: Tiling, k: usize) -> Self {
        Self { tiling, k: tiling.k_eff(k) }
    }

    /// How the tensor is cut into chunks.
    pub fn tiling(self) -> Tiling {
        self.tiling
    }

    /// Values kept per chunk.
    pub fn k(self) -> usize {
        self.k
    }

    /// Values in a chunk.
    pub fn chunk_len(self) -> usize {
        self.tiling.chunk_len()
    }

    /// Chunks in the tensor.
    pub fn chunks(self) -> usize {
        self.tiling.chunks()
    }

    /// Values kept of the tensor.
    pub fn values(self) -> usize {
        self.chunks() * self.k
    }

    /// Bytes of one chunk's codes.
    pub fn chunk_code_bytes(self) -> usize {
        self.k.div_ceil(CODES_PER_BYTE)
    }

    /// Bytes of all codes.
    pub fn code_bytes(self) -> usize {
        self.chunks() * self.chunk_code_bytes()
    }

    /// Rows of tiles in the tensor.
    pub fn bands(self) -> usize {
        self.tiling.rows / self.tiling.tile_rows
    }

    /// The update of as many rows of tiles alone.
    pub(crate) fn of_bands(self, bands: usize) -> Self {
        let rows = bands * self.tiling.tile_rows;
        Self { tiling: Tiling { rows, ..self.tiling }, ..self }
    }

    /// Cuts the tensor into ranges of whole rows of tiles, each as long as it can be while it keeps
    /// at most `values` values, but one row at least. Rows of tiles lie one behind the other in the
    /// tensor, in the list of indices and in that of codes.
    pub fn cut(self, values: usize) -> impl Iterator<Item = Range<usize>> {
        let bands = self.bands();
        let fit = values / self.of_bands(1).values().max(1);
        // An odd number of 12-bit indices ends within a byte: such small tensors stay whole.
        let step = if self.k.is_multiple_of(2) { fit.clamp(1, bands.max(1)) } else { bands.max(1) };
        (0..bands).step_by(step).map(move |start| start..(start + step).min(bands))
    }
}

/// A well-formed sparse update of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct SparseTensor {
    shape: SparseShape,
    codebook: [f32; 4],
    indices: Vec<u16>,
    codes: Vec<u8>,
}

impl SparseTensor {
    /// Checks that `indices` (`[chunks, k]`) and `codes` (`[chunks, bytes per chunk]`) make an
    /// update.
    ///
    /// # Errors
    /// A list has another length than `shape` says, a codebook entry is not finite, the indices of
    /// a chunk leave it or do not ascend, or unused bits of a chunk's last code byte are set.
    pub fn new(
        shape: SparseShape,
        codebook: [f32; 4],
        indices: Vec<u16>,
        codes: Vec<u8>,
    ) -> Result<Self, SectionFault> {
        let lengths = [(shape.values(), indices.len()), (shape.code_bytes(), codes.len())];
        for (expected, found) in lengths {
            if expected != found {
                return Err(SectionFault::Length { expected, found });
            }
        }
        if let Some(entry) = codebook.iter().position(|entry| !entry.is_finite()) {
            return Err(SectionFault::Codebook { entry });
        }
        for (chunk, indices) in indices.chunks_exact(shape.k).enumerate() {
            check_indices(chunk, indices, shape.chunk_len())?;
        }
        let used_bits = (shape.k - 1) % CODES_PER_BYTE * 2 + 2;
        let is_unfilled = |codes: &[u8]| codes[codes.len() - 1] >> used_bits != 0;
        let mut chunks = codes.chunks_exact(shape.chunk_code_bytes());
        if used_bits < 8
            && let Some(chunk) = chunks.position(is_unfilled)
        {
            return Err(SectionFault::Padding { chunk, part: "codes" });
        }
        Ok(Self { shape, codebook, indices, codes })
    }

    /// The update that changes nothing: codebook zero, each chunk's first `k` indices.
    pub fn zero(shape: SparseShape) -> Self {
        let indices = (0..shape.values()).map(|i| (i % shape.k) as u16).collect();
        Self { shape, codebook: [0.0; 4], indices, codes: vec![0; shape.code_bytes()] }
    }

    /// Which values of which chunks are kept.
    pub fn shape(&self) -> SparseShape {
        self.shape
    }

    /// What each code stands for.
    pub fn codebook(&self) -> [f32; 4] {
        self.codebook
    }

    /// Indices within their chunk, `[chunks, k]`.
    pub fn indices(&self) -> &[u16] {
        &self.indices
    }

    /// Codes, four to a byte, `[chunks, bytes per chunk]`.
    pub fn codes(&self) -> &[u8] {
        &self.codes
    }

    /// Code of the `i`-th kept value of a chunk.
    pub fn code(&self, chunk: usize, i: usize) -> u8 {
        let byte = chunk * self.shape.chunk_code_bytes() + i / CODES_PER_BYTE;
        self.codes[byte] >> (i % CODES_PER_BYTE * 2) & 3
    }

    /// Gives the memory back, to be filled again: indices and codes.
    pub fn into_parts(self) -> (Vec<u16>, Vec<u8>) {
        (self.indices, self.codes)
    }
}

fn check_indices(chunk: usize, indices: &[u16], chunk_len: usize) -> Result<(), SectionFault> {
    // Without a branch per pair and as narrow as an index, so that it vectorises.
    let pairs = indices.iter().zip(&indices[1..]);
    let falls = pairs.fold(0, |falls, (left, right)| falls | u16::from(left >= right));
    let largest = indices.iter().fold(0, |largest, &index| largest.max(index));
    let index = usize::from(largest);
    if index >= chunk_len {
        return Err(SectionFault::IndexOutOfRange { chunk, index, chunk_len });
    }
    match falls {
        0 => Ok(()),
        _ => Err(SectionFault::NotAscending { chunk }),
    }
}
