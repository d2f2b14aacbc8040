//! Indices at 12 bits each: two of them, `a` then `b`, as the little-endian 24-bit word `a | b <<
//! 12`.
//!
//! The pairs run through all indices of a tensor, across chunks; after an odd number of indices the
//! last `b` is zero. This is the layout of the published run's payloads.

use super::fields::{self, FOUR};
use super::{SectionFault, SparseShape};

const BITS: u32 = 12;

/// Bytes of all indices of a tensor.
pub(super) fn bytes(shape: SparseShape) -> usize {
    shape.values().div_ceil(2) * 3
}

/// Writes all indices over `out`, which is [`bytes`] long.
pub(super) fn encode(indices: &[u16], out: &mut [u8]) {
    if let Some(last) = out.last_mut() {
        *last = 0;
    }
    fields::pack(indices, BITS, out);
}

/// Reads all indices, leaving it to the caller to check that they fit their chunks.
pub(super) fn decode(bytes: &[u8], indices: &mut [u16]) -> Result<(), SectionFault> {
    let count = indices.len();
    let (fours, rest) = indices.as_chunks_mut();
    fields::unpack(bytes, BITS, fours);
    let mut last = [[0; FOUR]];
    fields::unpack(&bytes[fours.len() * FOUR * 3 / 2..], BITS, &mut last);
    rest.copy_from_slice(&last[0][..rest.len()]);
    // Only a tensor of one-value chunks keeps an odd number of values: its last chunk is at fault.
    match last[0].get(rest.len()) {
        Some(&left_over) if count % 2 == 1 && left_over != 0 => {
            Err(SectionFault::Padding { chunk: count - 1, part: "indices" })
        }
        _ => Ok(()),
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
