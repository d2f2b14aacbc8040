//! Is honest until it is rated, then lazy, and hopes to live on its name. Caught as the lazy one
//! is; its effort is an average over few windows.

use super::lazy::Lazy;
use super::{Attack, Outlook};
use crate::failure::Failure;
use crate::train::Lesson;

/// Windows in which it is honest.
const HONEST_WINDOWS: u64 = 15;

pub(super) struct OnOff;

impl Attack for OnOff {
    fn lessons(&mut self, outlook: &Outlook<'_>) -> Result<Vec<Lesson>, Failure> {
        match outlook.window.0 < HONEST_WINDOWS {
            true => (outlook.lessons_of)(outlook.uid),
            false => Lazy.lessons(outlook),
        }
    }
}
