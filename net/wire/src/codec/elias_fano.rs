//! Elias-Fano: `k` ascending indices below `n` as plain low bits and a bitmap of the high bits.
//!
//! With `l = floor(log2(n / k))`, each index gives its low `l` bits, packed from the low bit up and
//! filled to a byte; then, for the p-th index `i`, bit `(i >> l) + p` of a bitmap of
//! `((n - 1) >> l) + k` bits, filled to a byte. 64 of 4,096 take 48 + 16 bytes. Every chunk has the
//! same length, so any chunk can be found without reading those before it.

use super::fields::{self, FOUR};
use super::{SectionFault, SparseShape};
use crate::layout::CHUNK_LEN_MAX;

/// Layout of one chunk's indices.
#[derive(Clone, Copy, Debug)]
pub(super) struct EliasFano {
    n: usize,
    k: usize,
    low_bits: u32,
    low_bytes: usize,
    high_bits: usize,
}

impl EliasFano {
    pub(super) fn new(shape: SparseShape) -> Self {
        let (n, k) = (shape.chunk_len(), shape.k());
        if k == n {
            return Self { n, k, low_bits: 0, low_bytes: 0, high_bits: 0 };
        }
        let low_bits = (n / k).ilog2();
        let low_bytes = (k * low_bits as usize).div_ceil(8);
        Self { n, k, low_bits, low_bytes, high_bits: ((n - 1) >> low_bits) + k }
    }

    /// Bytes of one chunk's indices: none where all are kept.
    pub(super) fn chunk_bytes(self) -> usize {
        self.low_bytes + self.high_bits.div_ceil(8)
    }

    /// Writes all indices of a tensor over `out`.
    pub(super) fn encode(self, indices: &[u16], out: &mut [u8]) {
        if self.k == self.n {
            return;
        }
        for (indices, out) in
            indices.chunks_exact(self.k).zip(out.chunks_exact_mut(self.chunk_bytes()))
        {
            // The zeros behind the low bits are where the high bits go.
            fields::pack(indices, self.low_bits, out);
            self.encode_high(indices, &mut out[self.low_bytes..]);
        }
    }

    fn encode_high(self, indices: &[u16], out: &mut [u8]) {
        let (mut word, mut end) = (0u64, 64);
        let mut out = out.chunks_mut(8);
        let mut put = |word: u64| put_word(word, out.next().unwrap_or_default());
        for (p, &index) in indices.iter().enumerate() {
            let bit = usize::from(index >> self.low_bits) + p;
            while bit >= end {
                put(word);
                word = 0;
                end += 64;
            }
            word |= 1 << (bit % 64);
        }
        while end < self.high_bits + 64 {
            put(word);
            word = 0;
            end += 64;
        }
    }

    /// Reads all indices of a tensor, checking that the bytes are the one encoding of `k` indices.
    /// Order and range are left to the caller.
    pub(super) fn decode(self, bytes: &[u8], indices: &mut [u16]) -> Result<(), SectionFault> {
        if self.k == self.n {
            for indices in indices.chunks_exact_mut(self.k) {
                indices.iter_mut().zip(0..).for_each(|(index, i)| *index = i);
            }
            return Ok(());
        }
        let mut scratch = Scratch { low: [0; SCRATCH_LEN], joined: [0; SCRATCH_LEN] };
        let chunks = indices.chunks_exact_mut(self.k).zip(bytes.chunks_exact(self.chunk_bytes()));
        for (chunk, (indices, bytes)) in chunks.enumerate() {
            let (low, high) = bytes.split_at(self.low_bytes);
            let low_bits = self.k * self.low_bits as usize;
            if !(is_filled(low, low_bits) && is_filled(high, self.high_bits)) {
                return Err(SectionFault::Padding { chunk, part: "indices" });
            }
            let (fours, _) = scratch.low.as_chunks_mut();
            fields::unpack(bytes, self.low_bits, &mut fours[..self.k.div_ceil(FOUR)]);
            let found = scratch.join(high, self.low_bits);
            if found != self.k {
                return Err(SectionFault::BitCount { chunk, expected: self.k, found });
            }
            indices.copy_from_slice(&scratch.joined[..self.k]);
        }
        Ok(())
    }
}

/// Whether all bits of the last byte behind the first `bits` are zero.
fn is_filled(bytes: &[u8], bits: usize) -> bool {
    bits.is_multiple_of(8) || bytes.last().is_some_and(|last| last >> (bits % 8) == 0)
}

/// All values of a chunk, and the bits of a byte more.
const SCRATCH_LEN: usize = CHUNK_LEN_MAX + 8;

/// One chunk's indices in the making.
struct Scratch {
    low: [u16; SCRATCH_LEN],
    joined: [u16; SCRATCH_LEN],
}

impl Scratch {
    /// Joins the low bits with the high bits that the bitmap stands for: before the p-th of its
    /// bits lie as many zeros as they say. The number of bits set; only so many are joined.
    fn join(&mut self, bitmap: &[u8], low_bits: u32) -> usize {
        let mut found = 0;
        for (at, &byte) in bitmap.iter().enumerate() {
            let zeros = (8 * at - found) as u16;
            let ahead = &ZEROS_AHEAD[usize::from(byte)];
            let p = found.min(CHUNK_LEN_MAX);
            let (low, joined) = (&self.low[p..p + 8], &mut self.joined[p..p + 8]);
            // Those beyond the byte's own bits are overwritten by what follows.
            for i in 0..8 {
                joined[i] = low[i] | (zeros + ahead[i]) << low_bits;
            }
            found += 8 - usize::from(ahead[7]);
        }
        found
    }
}

/// Per byte, the zeros below each of its bits that are set, from the lowest up, and then the number
/// of all its zeros.
static ZEROS_AHEAD: [[u16; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut byte = 0;
    while byte < 256 {
        let zeros_of_all = 8 - (byte as u8).count_ones() as u16;
        let (mut zeros, mut bit, mut set) = (0, 0, 0);
        while set < 8 {
            if bit < 8 && byte >> bit & 1 == 0 {
                zeros += 1;
            } else {
                table[byte][set] = if bit < 8 { zeros } else { zeros_of_all };
                set += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

/// The low bytes of `word` over up to eight, almost always eight, bytes.
fn put_word(word: u64, out: &mut [u8]) {
    match out.first_chunk_mut() {
        Some(eight) => *eight = word.to_le_bytes(),
        None => out.copy_from_slice(&word.to_le_bytes()[..out.len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;

    fn codec(rows: usize, cols: usize, k: usize) -> EliasFano {
        EliasFano::new(SparseShape::new(Shape::Matrix(rows, cols).tiling(), k))
    }

    #[test]
    fn sixty_four_of_4096_take_64_bytes_and_a_whole_chunk_none() {
        assert_eq!(codec(64, 64, 64).chunk_bytes(), 64);
        assert_eq!(codec(64, 64, 4096).chunk_bytes(), 0);
        assert_eq!(codec(1, 64, 64).chunk_bytes(), 0);
    }

    #[test]
    fn four_indices_below_32_give_these_bytes() {
        // l = 3: low bits 1, 7, 0, 5 = 0b101_000_111_001; high bits at 0+0, 0+1, 2+2, 3+3.
        let codec = codec(1, 32, 4);
        let mut bytes = [0xff; 3];
        codec.encode(&[1, 7, 16, 29], &mut bytes);
        assert_eq!(bytes, [0b00_111_001, 0b0000_1010, 0b0101_0011]);
        let mut back = [0; 4];
        codec.decode(&bytes, &mut back).unwrap();
        assert_eq!(back, [1, 7, 16, 29]);
    }

    #[test]
    fn each_departure_has_its_own_name() {
        let codec = codec(1, 32, 4);
        let decode = |bytes: [u8; 3]| codec.decode(&bytes, &mut [0; 4]);
        let padding = Err(SectionFault::Padding { chunk: 0, part: "indices" });
        assert_eq!(decode([0x39, 0x1a, 0x53]), padding);
        assert_eq!(decode([0x39, 0x0a, 0xd3]), padding);
        let count = |found| Err(SectionFault::BitCount { chunk: 0, expected: 4, found });
        assert_eq!(decode([0x39, 0x0a, 0x51]), count(3));
        assert_eq!(decode([0x39, 0x0a, 0x57]), count(5));
    }
}
