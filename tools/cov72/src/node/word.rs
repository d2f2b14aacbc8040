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

impl Word {
    /// Its word on `window`: what it announced first.
    pub(super) fn on(&self, window: Window) -> Option<(BlockNumber, Announcement)> {
        self.announced.iter().find(|(_, of)| of.window == window).copied()
    }
}

impl Node {
    /// What validators announced in the blocks of `span`; the one with the most stake first.
    pub(super) fn words(&self, span: Span) -> Result<Vec<Word>, ChainError> {
        let word = |seat: &super::directory::Seat| {
            let (validator, stake_rao) = (seat.hotkey, seat.stake_rao);
            // Most have said nothing yet in this window, and the chain need not be asked.
            let newest = seat.note.as_ref().map(|(block, _)| *block);
            let announced = match newest.is_some_and(|block| block >= span.first_block) {
                true => self.announcements(validator, span)?,
                false => Vec::new(),
            };
            Ok(Word { validator, stake_rao, announced })
        };
        self.directory.validators().into_iter().map(word).collect()
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
