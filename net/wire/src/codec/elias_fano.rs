//! Elias-Fano: `k` ascending indices below `n` as plain low bits and a bitmap of the high bits.
//!
//! With `l = floor(log2(n / k))`, each index gives its low `l` bits, packed from the low bit up and
//! filled to a byte; then, for the p-th index `i`, bit `(i >> l) + p` of a bitmap of
//! `((n - 1) >> l) + k` bits, filled to a byte. 64 of 4,096 take 48 + 16 bytes. Every chunk has the
//! same length, so any chunk can be found without reading those before it.

use super::{SectionFault, SparseShape};

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
            let (low, high) = out.split_at_mut(self.low_bytes);
            self.encode_low(indices, low);
            self.encode_high(indices, high);
        }
    }

    fn encode_low(self, indices: &[u16], out: &mut [u8]) {
        let mask = (1u64 << self.low_bits) - 1;
        let (mut word, mut filled) = (0u64, 0);
        let mut out = out.chunks_mut(4);
        let mut put = |word: u64| put_word::<4>(word, out.next().unwrap_or_default());
        for &index in indices {
            word |= (u64::from(index) & mask) << filled;
            filled += self.low_bits;
            if filled >= 32 {
                put(word);
                word >>= 32;
                filled -= 32;
            }
        }
        if filled > 0 {
            put(word);
        }
    }

    fn encode_high(self, indices: &[u16], out: &mut [u8]) {
        let (mut word, mut at) = (0u64, 0);
        let mut out = out.chunks_mut(8);
        let mut put = |word: u64| put_word::<8>(word, out.next().unwrap_or_default());
        for (p, &index) in indices.iter().enumerate() {
            let bit = usize::from(index >> self.low_bits) + p;
            while bit / 64 > at {
                put(word);
                word = 0;
                at += 1;
            }
            word |= 1 << (bit % 64);
        }
        while at < self.high_bits.div_ceil(64) {
            put(word);
            word = 0;
            at += 1;
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
        let chunks = indices.chunks_exact_mut(self.k).zip(bytes.chunks_exact(self.chunk_bytes()));
        for (chunk, (indices, bytes)) in chunks.enumerate() {
            let (low, high) = bytes.split_at(self.low_bytes);
            let low_is_padded_right = self.decode_low(low, indices);
            let found = self.decode_high(high, indices).ok_or(padding(chunk))?;
            if found != self.k {
                return Err(SectionFault::BitCount { chunk, expected: self.k, found });
            }
            if !low_is_padded_right {
                return Err(padding(chunk));
            }
        }
        Ok(())
    }

    /// Sets every index to its low bits; whether what is left over is zero.
    fn decode_low(self, bytes: &[u8], indices: &mut [u16]) -> bool {
        let mask = (1u64 << self.low_bits) - 1;
        let (mut word, mut filled) = (0u64, 0);
        let mut words = bytes.chunks(4);
        for index in indices {
            if filled < self.low_bits {
                word |= word_of::<4>(words.next().unwrap_or_default()) << filled;
                filled += 32;
            }
            *index = (word & mask) as u16;
            word >>= self.low_bits;
            filled -= self.low_bits;
        }
        word == 0
    }

    /// Adds the high bits to the indices. The number of bits set, or `None` where one of them lies
    /// beyond the bitmap.
    fn decode_high(self, bytes: &[u8], indices: &mut [u16]) -> Option<usize> {
        let mut p = 0;
        for (at, eight) in bytes.chunks(8).enumerate() {
            let mut word = word_of::<8>(eight);
            let used = self.high_bits - at * 64;
            if used < 64 && word >> used != 0 {
                return None;
            }
            while word != 0 {
                if let Some(index) = indices.get_mut(p) {
                    let bit = at * 64 + word.trailing_zeros() as usize;
                    *index |= ((bit - p) << self.low_bits) as u16;
                }
                word &= word - 1;
                p += 1;
            }
        }
        Some(p)
    }
}

fn padding(chunk: usize) -> SectionFault {
    SectionFault::Padding { chunk, part: "indices" }
}

/// Up to `N` bytes, almost always `N`, as a little-endian word.
fn word_of<const N: usize>(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    if bytes.len() == N {
        // A length known to the compiler is a load, any other a call.
        eight[..N].copy_from_slice(&bytes[..N]);
    } else {
        eight[..bytes.len()].copy_from_slice(bytes);
    }
    u64::from_le_bytes(eight)
}

/// The low bytes of `word` over up to `N`, almost always `N`, bytes.
fn put_word<const N: usize>(word: u64, out: &mut [u8]) {
    let eight = word.to_le_bytes();
    if out.len() == N {
        out[..N].copy_from_slice(&eight[..N]);
    } else {
        out.copy_from_slice(&eight[..out.len()]);
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
        assert_eq!(decode([0x39, 0x1a, 0x53]), Err(padding(0)));
        assert_eq!(decode([0x39, 0x0a, 0xd3]), Err(padding(0)));
        let count = |found| Err(SectionFault::BitCount { chunk: 0, expected: 4, found });
        assert_eq!(decode([0x39, 0x0a, 0x51]), count(3));
        assert_eq!(decode([0x39, 0x0a, 0x57]), count(5));
    }
}
