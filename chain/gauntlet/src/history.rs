//! The last [`MEMORY_WINDOWS`] answers to one question, as bits.

use serde::{Deserialize, Serialize};

use crate::rules::MEMORY_WINDOWS;

/// Answers, the newest in the lowest bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    bits: u32,
    known: u32,
}

impl History {
    /// Adds the newest answer and forgets the oldest.
    pub(crate) fn push(&mut self, answer: bool) {
        let mask = u32::MAX >> (32 - MEMORY_WINDOWS);
        self.bits = (self.bits << 1 | u32::from(answer)) & mask;
        self.known = (self.known + 1).min(MEMORY_WINDOWS);
    }

    /// How many answers are known.
    pub(crate) fn known(self) -> u32 {
        self.known
    }

    /// How many of them are yes.
    pub(crate) fn yes(self) -> u32 {
        self.bits.count_ones()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_answers_count() {
        let mut history = History::default();
        (0..MEMORY_WINDOWS).for_each(|_| history.push(true));
        assert_eq!((history.known(), history.yes()), (MEMORY_WINDOWS, MEMORY_WINDOWS));
        history.push(false);
        assert_eq!((history.known(), history.yes()), (MEMORY_WINDOWS, MEMORY_WINDOWS - 1));
    }
}
