//! Which window a chain block belongs to: pure arithmetic, the same on every node.
//!
//! Windows are counted from the run's first block. Nothing else may assume that a window is a fixed
//! run of blocks: a window that closes on quorum would replace this file.

use serde::{Deserialize, Serialize};

use crate::{BlockNumber, Window};

/// How a run cuts the chain into windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// First chain block of window 0.
    pub first_block: BlockNumber,
    /// Chain blocks in one window, at least 1.
    pub blocks_per_window: u64,
}

impl Windows {
    /// The window that `block` lies in; none before the run's first block.
    pub fn window_of(self, block: BlockNumber) -> Option<Window> {
        let since = block.0.checked_sub(self.first_block.0)?;
        window_of(BlockNumber(since), self.blocks_per_window)
    }

    /// First block of `window`; the block after the last representable one counts as that one.
    pub fn first_block_of(self, window: Window) -> BlockNumber {
        let since = window.0.saturating_mul(self.blocks_per_window);
        BlockNumber(self.first_block.0.saturating_add(since))
    }

    /// First block after `window`: the deadline for its contributions.
    pub fn end_block_of(self, window: Window) -> BlockNumber {
        let first = self.first_block_of(window);
        BlockNumber(first.0.saturating_add(self.blocks_per_window))
    }
}

/// `floor(block / blocks_per_window)`; none if windows have no blocks.
pub fn window_of(block: BlockNumber, blocks_per_window: u64) -> Option<Window> {
    block.0.checked_div(blocks_per_window).map(Window)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Windows = Windows { first_block: BlockNumber(1_000), blocks_per_window: 115 };

    #[test]
    fn the_first_block_opens_a_window_and_the_end_block_the_next_one() {
        assert_eq!(RUN.window_of(BlockNumber(999)), None);
        assert_eq!(RUN.window_of(BlockNumber(1_000)), Some(Window(0)));
        assert_eq!(RUN.window_of(BlockNumber(1_114)), Some(Window(0)));
        assert_eq!(RUN.window_of(BlockNumber(1_115)), Some(Window(1)));
        for window in [0, 1, 7, 62_834].map(Window) {
            let (first, end) = (RUN.first_block_of(window), RUN.end_block_of(window));
            assert_eq!(RUN.window_of(first), Some(window));
            assert_eq!(RUN.window_of(BlockNumber(end.0 - 1)), Some(window));
            assert_eq!(RUN.window_of(end), Some(Window(window.0 + 1)));
        }
    }

    #[test]
    fn far_windows_saturate_and_empty_windows_hold_no_block() {
        assert_eq!(RUN.end_block_of(Window(u64::MAX)), BlockNumber(u64::MAX));
        assert_eq!(window_of(BlockNumber(7), 0), None);
    }
}
