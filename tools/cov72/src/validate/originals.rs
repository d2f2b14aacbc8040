//! Whose work each contribution is: copies among those of a window and of the one before, by
//! sketches that only this validator can foretell.

use std::collections::{BTreeMap, BTreeSet};

use gauntlet::Secret;
use gauntlet::copies::{Candidate, Priority, Sketch, Sketcher, find};
use gauntlet::rules::COPY_VALUES_MIN;
use wire::{BodyShape, PartFault, Rejection, SparseTensor, Uid, Window};

use super::judge::Sound;
use crate::failure::Failure;

/// Values of decoded contributions that are held at once, to compare suspects in full; beyond that
/// the sketches decide.
const VALUES_HELD: usize = 64 << 20;

/// A contribution of the window before, as this window's sketches see it.
struct Last {
    uid: Uid,
    window: Window,
    priority: Priority,
    sketch: Sketch,
    /// Whether it became part of the shared parameters.
    counted: bool,
}

/// What is remembered from window to window.
#[derive(Default)]
pub(super) struct Originals {
    last: Vec<Last>,
}

impl Originals {
    /// The contributions of `uids` to `window` count, by the manifest that does: this validator's
    /// own choice is no more than a proposal, and until then nobody's do.
    pub(super) fn count(&mut self, window: Window, uids: &BTreeSet<Uid>) {
        let of_window = self.last.iter_mut().filter(|last| last.window == window);
        of_window.for_each(|last| last.counted = uids.contains(&last.uid));
    }

    /// The copies among `sound`, all of `window`.
    pub(super) fn copies(
        &mut self,
        sound: &[Sound],
        shape: &BodyShape,
        secret: &Secret,
        window: Window,
    ) -> Result<BTreeMap<Uid, Rejection>, Failure> {
        let now = Sketcher::new(shape.sections(), secret, window);
        let next = Sketcher::new(shape.sections(), secret, window.next());
        let values: usize = shape.sections().iter().map(|section| section.values()).sum();
        if values < COPY_VALUES_MIN {
            return Ok(BTreeMap::new());
        }
        let is_held = values * sound.len() <= VALUES_HELD;
        let mut sketches = Vec::with_capacity(sound.len());
        let mut updates: Vec<Option<Vec<SparseTensor>>> = Vec::with_capacity(sound.len());
        let mut coming = Vec::with_capacity(sound.len());
        for Sound { uid, body, priority, .. } in sound {
            let update = body.decode(shape).map_err(unreadable)?;
            sketches.push(now.sketch(&update));
            let sketch = next.sketch(&update);
            coming.push(Last { uid: *uid, window, priority: *priority, sketch, counted: false });
            updates.push(is_held.then_some(update));
        }
        let current: Vec<_> = sound
            .iter()
            .zip(&sketches)
            .zip(&updates)
            .map(|((sound, sketch), update)| Candidate {
                uid: sound.uid,
                window,
                priority: sound.priority,
                sketch,
                update: update.as_deref(),
                counted: false,
            })
            .collect();
        let earlier: Vec<_> = self
            .last
            .iter()
            .filter(|last| last.window.next() == window)
            .map(|last| Candidate {
                uid: last.uid,
                window: last.window,
                priority: last.priority,
                sketch: &last.sketch,
                update: None,
                counted: last.counted,
            })
            .collect();
        let found = find(&current, &earlier);
        self.last = coming;
        Ok(found.copies.iter().map(|copied| (copied.uid, copied.rejection())).collect())
    }
}

fn unreadable(fault: PartFault) -> Failure {
    Failure::ours(format!("cannot read a contribution that was fetched: {fault}"))
}
