//! Who was first: by the chain where it knows, by the storage where it does not.

use wire::BlockNumber;

/// A contribution's claim to have been there before another; the smaller is the better.
///
/// A peer that commits the hash of its object to the chain before it uploads the object cannot be
/// overtaken by a copy, whoever's clock is wrong. Storage tells arrival to the second only; of two
/// that came in the same one, who has been on its seat for longer is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority {
    committed: u64,
    arrived_ms: u64,
    seated: BlockNumber,
}

impl Priority {
    /// The claim of an object whose hash was `committed` in that block, if it was; that arrived at
    /// `arrived_ms` by its storage; and whose hotkey took its seat in block `seated`.
    pub fn new(committed: Option<BlockNumber>, arrived_ms: u64, seated: BlockNumber) -> Self {
        Self { committed: committed.map_or(u64::MAX, |block| block.0), arrived_ms, seated }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_believed_before_the_storage_and_that_before_the_seat() {
        let claim = |committed: Option<u64>, arrived, seated| {
            Priority::new(committed.map(BlockNumber), arrived, BlockNumber(seated))
        };
        assert!(claim(Some(9), 900, 9) < claim(None, 100, 1));
        assert!(claim(Some(8), 900, 9) < claim(Some(9), 100, 1));
        assert!(claim(None, 100, 9) < claim(None, 101, 1));
        assert!(claim(None, 100, 1) < claim(None, 100, 9));
    }
}
