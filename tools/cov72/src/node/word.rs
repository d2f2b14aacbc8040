//! What validators announced in a window, by the chain's history of their notes: the same for every
//! node, whenever it looks. Whoever announces a second manifest does not take back the first.

use chain::ChainError;
use wire::{Announcement, BlockNumber, Hotkey, Note, Span, Window};

use super::Node;

/// What one validator announced in the blocks of a window, for whichever window, the first first.
pub(super) struct Word {
    pub(super) validator: Hotkey,
    pub(super) stake_rao: u64,
    pub(super) announced: Vec<(BlockNumber, Announcement)>,
}

/// Whose manifests count in one window: the validators of the block before it, with the stakes of
/// that block, so that stake which moves meanwhile moves no verdict. If there was none, then those
/// of the first block that has any.
pub(super) struct Electors {
    first_block: BlockNumber,
    /// The first block that was not looked at.
    next: BlockNumber,
    stakes: Vec<(Hotkey, u64)>,
}

impl Electors {
    /// Those of the window of `span`; nothing is known of them yet.
    pub(super) fn of(span: Span) -> Self {
        let next = BlockNumber(span.first_block.0.saturating_sub(1));
        Self { first_block: span.first_block, next, stakes: Vec::new() }
    }
}

impl Word {
    /// Its word on `window`: what it announced first.
    pub(super) fn on(&self, window: Window) -> Option<(BlockNumber, Announcement)> {
        self.announced.iter().find(|(_, of)| of.window == window).copied()
    }
}

impl Node {
    /// What the electors of `span` announced in its blocks.
    pub(super) fn words(&mut self, span: Span) -> Result<Vec<Word>, ChainError> {
        self.learn_electors(span)?;
        let word = |&(validator, stake_rao): &(Hotkey, u64)| {
            // Most have said nothing yet in this window, and the chain need not be asked.
            let newest = self.directory.noted(validator);
            let announced = match newest.is_some_and(|block| block >= span.first_block) {
                true => self.announcements(validator, span)?,
                false => Vec::new(),
            };
            Ok(Word { validator, stake_rao, announced })
        };
        self.electors.stakes.iter().map(word).collect()
    }

    /// Reads from the chain who the electors of `span` are, as far as that is known by now.
    fn learn_electors(&mut self, span: Span) -> Result<(), ChainError> {
        if self.electors.first_block != span.first_block {
            self.electors = Electors::of(span);
        }
        let Electors { next, stakes, .. } = &mut self.electors;
        while stakes.is_empty() && *next < self.head && *next <= span.limit {
            *stakes = self.chain.stakes_at(self.netuid, *next)?;
            next.0 += 1;
        }
        Ok(())
    }

    fn announcements(
        &self,
        validator: Hotkey,
        span: Span,
    ) -> Result<Vec<(BlockNumber, Announcement)>, ChainError> {
        let blocks = span.first_block..=span.limit;
        let notes = self.chain.commitments_in(self.netuid, validator, blocks)?;
        let announced = notes
            .into_iter()
            .filter_map(|note| Some((note.block, Note::parse(&note.bytes).ok()?.manifest?)));
        Ok(announced.collect())
    }
}
