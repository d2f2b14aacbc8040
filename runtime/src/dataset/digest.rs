//! Names of samples by content, and the receipt over those a peer trained on.

use blake2::digest::consts::{U8, U16};
use blake2::{Blake2b, Digest};

/// Id of a sample: BLAKE2b-64 over its tokens as little-endian bytes, read as little-endian `u64`.
/// Changing this breaks every file of ids.
pub fn sample_id(tokens: &[u32]) -> u64 {
    u64::from_le_bytes(Blake2b::<U8>::digest(bytemuck::cast_slice::<u32, u8>(tokens)).into())
}

/// Id of a sample with a loss mask: as [`sample_id`], over the tokens and then the mask's bytes, so
/// that whoever agrees on ids agrees on what counts. Changing this breaks every file of such ids.
pub fn masked_sample_id(tokens: &[u32], mask: &[u8]) -> u64 {
    let hash = Blake2b::<U8>::new().chain_update(bytemuck::cast_slice::<u32, u8>(tokens));
    u64::from_le_bytes(hash.chain_update(mask).finalize().into())
}

/// Receipt of a set of samples: BLAKE2b-128 over their sorted ids as little-endian `u64`. Sorts
/// `ids`. Changing this breaks every contribution's header.
pub fn sample_digest(ids: &mut [u64]) -> [u8; 16] {
    ids.sort_unstable();
    Blake2b::<U16>::digest(bytemuck::cast_slice::<u64, u8>(ids)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_sample_has_its_published_id() {
        let tokens: Vec<u32> = (0..2048).collect();
        assert_eq!(sample_id(&tokens), 9727674481869147956);
    }

    #[test]
    fn the_mask_is_part_of_the_id() {
        let tokens: Vec<u32> = (0..2048).collect();
        let (off, mut one) = ([0; 2048], [0; 2048]);
        one[7] = 1;
        let joined = [bytemuck::cast_slice(&tokens), &one[..]].concat();
        let hash = <[u8; 8]>::from(Blake2b::<U8>::digest(joined));
        assert_eq!(masked_sample_id(&tokens, &one), u64::from_le_bytes(hash));
        assert_ne!(masked_sample_id(&tokens, &off), masked_sample_id(&tokens, &one));
        assert_ne!(masked_sample_id(&tokens, &off), sample_id(&tokens));
    }

    #[test]
    fn the_digest_is_the_published_one_in_any_order() {
        for mut ids in [[3, 1, 2], [1, 2, 3], [2, 3, 1]] {
            let hex: String = sample_digest(&mut ids).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(hex, "abccad42d03c940bc2b249bf5a4e1e3d");
        }
    }
}
