//! Does all the work and puts it when the window is over, every time. It counts for nothing, is
//! taken to be away, and nobody waits for it for long.

use super::Attack;

pub(super) struct Late;

impl Attack for Late {
    fn is_late(&self) -> bool {
        true
    }
}
