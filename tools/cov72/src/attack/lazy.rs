//! Takes a tenth of the steps, at least one, and claims all of them. Paid for what it did: its
//! effort is what the loss falls by, against the median of the others.

use super::{Attack, Outlook};
use crate::failure::Failure;
use crate::train::Lesson;

pub(super) struct Lazy;

impl Attack for Lazy {
    fn lessons(&mut self, outlook: &Outlook<'_>) -> Result<Vec<Lesson>, Failure> {
        let mut lessons = (outlook.lessons_of)(outlook.uid)?;
        lessons.truncate(lessons.len().div_ceil(10));
        Ok(lessons)
    }
}
