//! Trains on samples that were assigned to nobody and claims its own: a peer that owns only a part
//! of the data. Caught by the proof: its update helps no more on what it should have trained on
//! than on anything else.

use wire::Uid;

use super::{Attack, Outlook};
use crate::failure::Failure;
use crate::train::Lesson;

pub(super) struct WrongData;

impl Attack for WrongData {
    fn lessons(&mut self, outlook: &Outlook<'_>) -> Result<Vec<Lesson>, Failure> {
        (outlook.lessons_of)(Uid(u16::MAX - outlook.uid.0))
    }
}
