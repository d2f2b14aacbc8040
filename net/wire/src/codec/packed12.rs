//! Indices at 12 bits each: two of them, `a` then `b`, as the little-endian 24-bit word `a | b <<
//! 12`.
//!
//! The pairs run through all indices of a tensor, across chunks; after an odd number of indices the
//! last `b` is zero. This is the layout of the published run's payloads.

use super::{SectionFault, SparseShape};

/// Bytes of all indices of a tensor.
pub(super) fn bytes(shape: SparseShape) -> usize {
    shape.values().div_ceil(2) * 3
}

/// Writes all indices over `out`, which is [`bytes`] long.
pub(super) fn encode(indices: &[u16], out: &mut [u8]) {
    for (pair, three) in indices.chunks(2).zip(out.chunks_exact_mut(3)) {
        let word = u32::from(pair[0]) | u32::from(*pair.get(1).unwrap_or(&0)) << 12;
        three.copy_from_slice(&word.to_le_bytes()[..3]);
    }
}

/// Reads all indices, leaving it to the caller to check that they fit their chunks.
pub(super) fn decode(bytes: &[u8], indices: &mut [u16]) -> Result<(), SectionFault> {
    let mut left_over = 0;
    for (pair, three) in indices.chunks_mut(2).zip(bytes.chunks_exact(3)) {
        let word = u32::from_le_bytes([three[0], three[1], three[2], 0]);
        pair[0] = (word & 0xfff) as u16;
        match pair.get_mut(1) {
            Some(second) => *second = (word >> 12) as u16,
            None => left_over = word >> 12,
        }
    }
    // Only a tensor of one-value chunks keeps an odd number of values: its last chunk is at fault.
    match left_over {
        0 => Ok(()),
        _ => Err(SectionFault::Padding { chunk: indices.len() - 1, part: "indices" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_indices_give_the_published_nine_bytes() {
        let indices = [0, 1, 4095, 2048, 291, 1110];
        let mut bytes = [0xff; 9];
        encode(&indices, &mut bytes);
        assert_eq!(bytes, [0x00, 0x10, 0x00, 0xff, 0x0f, 0x80, 0x23, 0x61, 0x45]);
        let mut back = [0; 6];
        decode(&bytes, &mut back).unwrap();
        assert_eq!(back, indices);
    }

    #[test]
    fn an_odd_count_ends_in_a_zero_that_must_be_zero() {
        let mut bytes = [0xff; 6];
        encode(&[5, 6, 7], &mut bytes);
        assert_eq!(bytes[3..], [7, 0, 0]);
        let mut back = [0; 3];
        decode(&bytes, &mut back).unwrap();
        assert_eq!(back, [5, 6, 7]);
        bytes[5] = 1;
        assert!(matches!(decode(&bytes, &mut back), Err(SectionFault::Padding { .. })));
    }
}
