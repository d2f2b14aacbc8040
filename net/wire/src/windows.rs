//! When windows begin and end, in chain blocks: pure arithmetic, the same on every node.
//!
//! A window begins where the one before it closed. It closes when its manifest says so, and at the
//! latest `blocks_per_window + judge_blocks` after its beginning, without one. So the chain is the
//! only clock, and a round in which everybody has delivered does not wait for it.

use serde::{Deserialize, Serialize};

use crate::{BlockNumber, Window};

/// How long the windows of a run may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windows {
    /// First chain block of window 0.
    pub first_block: BlockNumber,
    /// Chain blocks after which a window takes no more contributions, at least 1.
    pub blocks_per_window: u64,
    /// Chain blocks that validators have to publish a manifest, and in which one of them may still
    /// overtake another of less stake.
    pub judge_blocks: u64,
}

/// Where one window lies on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The window.
    pub window: Window,
    /// Its first block.
    pub first_block: BlockNumber,
    /// First block at which contributions come too late.
    pub deadline: BlockNumber,
    /// Last block in which a manifest counts.
    pub limit: BlockNumber,
}

impl Windows {
    /// Where the run begins.
    pub fn first(self) -> Span {
        self.span(Window(0), self.first_block)
    }

    /// The span of `window` when it begins with `first_block`.
    pub fn span(self, window: Window, first_block: BlockNumber) -> Span {
        let deadline = BlockNumber(first_block.0.saturating_add(self.blocks_per_window));
        let limit = BlockNumber(deadline.0.saturating_add(self.judge_blocks));
        Span { window, first_block, deadline, limit }
    }

    /// The window after one that closed at block `close`.
    pub fn after(self, window: Window, close: BlockNumber) -> Span {
        self.span(Window(window.0.saturating_add(1)), close)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: Windows =
        Windows { first_block: BlockNumber(1_000), blocks_per_window: 100, judge_blocks: 15 };

    #[test]
    fn a_window_begins_where_the_one_before_it_closed() {
        let next = RUN.after(Window(7), BlockNumber(1_040));
        assert_eq!((next.window, next.first_block), (Window(8), BlockNumber(1_040)));
        assert_eq!((next.deadline, next.limit), (BlockNumber(1_140), BlockNumber(1_155)));
    }

    #[test]
    fn far_blocks_and_windows_saturate() {
        let far = RUN.after(Window(u64::MAX), BlockNumber(u64::MAX));
        assert_eq!((far.window, far.limit), (Window(u64::MAX), BlockNumber(u64::MAX)));
    }
}
