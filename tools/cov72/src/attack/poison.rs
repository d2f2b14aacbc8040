//! Learns its own samples, and in between to be wrong on others: an update that proves work and
//! spoils the model. Caught by the loss on random samples, of which it cannot know which they are.

use wire::Uid;

use super::{Attack, Outlook};
use crate::failure::Failure;
use crate::train::Lesson;

pub(super) struct Poison;

impl Attack for Poison {
    fn lessons(&mut self, outlook: &Outlook<'_>) -> Result<Vec<Lesson>, Failure> {
        let own = (outlook.lessons_of)(outlook.uid)?;
        let others = (outlook.lessons_of)(Uid(u16::MAX - outlook.uid.0))?;
        let spoiled = others.into_iter().map(|lesson| Lesson { is_spoiled: true, ..lesson });
        Ok(own.into_iter().zip(spoiled).flat_map(|(own, spoiled)| [spoiled, own]).collect())
    }
}
