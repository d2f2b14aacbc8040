//! Fields of 1 to 12 bits, one after the other from the low bit up, the last byte filled with
//! zeros.
//!
//! Four fields of 16 bits make a word, and two steps close or open the gaps within it: no branch
//! and no loop per field.

/// Fields squeezed or spread in one go.
pub(super) const FOUR: usize = 4;

/// Writes the low `bits` bits of each index. Up to 15 bytes of `out` behind them become zero.
pub(super) fn pack(indices: &[u16], bits: u32, out: &mut [u8]) {
    let (eights, rest) = indices.as_chunks();
    for (i, eight) in eights.iter().enumerate() {
        put_eight(*eight, bits, &mut out[i * bits as usize..]);
    }
    if !rest.is_empty() {
        let mut eight = [0; 8];
        eight[..rest.len()].copy_from_slice(rest);
        put_eight(eight, bits, &mut out[eights.len() * bits as usize..]);
    }
}

/// Eight fields end with a byte.
fn put_eight([a, b, c, d, e, f, g, h]: [u16; 8], bits: u32, out: &mut [u8]) {
    let (low, high) = (squeeze([a, b, c, d], bits), squeeze([e, f, g, h], bits));
    let bytes = (u128::from(low) | u128::from(high) << (4 * bits)).to_le_bytes();
    match out.first_chunk_mut() {
        Some(sixteen) => *sixteen = bytes,
        None => out.copy_from_slice(&bytes[..out.len()]),
    }
}

/// Reads fields of `bits` bits. What lies behind the last byte is zero.
pub(super) fn unpack(bytes: &[u8], bits: u32, fields: &mut [[u16; FOUR]]) {
    for (i, four) in fields.iter_mut().enumerate() {
        // Four fields end with a byte or in the middle of one.
        let half_bytes = i * bits as usize;
        let start = half_bytes / 2;
        let word = match bytes.get(start..start + 8) {
            Some(eight) => word_of(eight),
            None => word_of(bytes.get(start..).unwrap_or_default()),
        };
        *four = spread(word >> (half_bytes % 2 * 4), bits);
    }
}

/// Up to eight bytes as a little-endian word.
#[inline(always)]
fn word_of(bytes: &[u8]) -> u64 {
    let mut eight = [0; 8];
    eight[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(eight)
}

/// Ones in the low `bits` of each half of a word.
fn low_of_halves(bits: u32) -> u64 {
    ((1 << bits) - 1) * 0x1_0000_0001
}

fn squeeze(four: [u16; FOUR], bits: u32) -> u64 {
    let [a, b, c, d] = four.map(u64::from);
    let fields = a | b << 16 | c << 32 | d << 48;
    let low = low_of_halves(bits);
    let pairs = (fields & low) | (fields >> 16 & low) << bits;
    (pairs & 0xffff_ffff) | pairs >> 32 << (2 * bits)
}

fn spread(word: u64, bits: u32) -> [u16; FOUR] {
    let low = low_of_halves(bits);
    let pairs = (word & 0xffff_ffff) | word >> (2 * bits) << 32;
    let fields = (pairs & low) | (pairs >> bits & low) << 16;
    [0, 16, 32, 48].map(|shift| (fields >> shift) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_fields_of_six_bits_give_these_bytes() {
        let indices = [0b100_0001, 0b11_1000, 0b00_0111, 0b10_1010, 0b11_0011];
        let mut bytes = [0xff; 4];
        pack(&indices, 6, &mut bytes);
        assert_eq!(bytes, [0b0000_0001, 0b0111_1110, 0b1010_1000, 0b0011_0011]);
        let mut fields = [[9; FOUR]; 2];
        unpack(&bytes, 6, &mut fields);
        assert_eq!(fields, [[1, 0b11_1000, 0b00_0111, 0b10_1010], [0b11_0011, 0, 0, 0]]);
    }

    #[test]
    fn every_width_and_length_comes_back() {
        for bits in 0..=12 {
            for len in 0..40_usize {
                let index = |i: usize| ((i * 2_654_435) >> 7) as u16 & ((1 << bits) - 1);
                let indices: Vec<u16> = (0..len).map(index).collect();
                let mut bytes = vec![0xff; (len * bits as usize).div_ceil(8)];
                pack(&indices, bits, &mut bytes);
                let mut fields = vec![[0; FOUR]; len.div_ceil(FOUR)];
                unpack(&bytes, bits, &mut fields);
                assert_eq!(fields.as_flattened()[..len], indices, "{len} of {bits} bits");
            }
        }
    }
}
