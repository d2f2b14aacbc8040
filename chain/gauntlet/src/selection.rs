//! Who counts in a window, and who is measured, when there are more than there is room for.

use std::collections::BTreeMap;

use wire::{Hotkey, Place, Rejected, Rejection, Uid, Window};

use crate::Book;
use crate::draw::Secret;
use crate::plackett_luce::Rating;
use crate::rules::UNMEASURED_MAX;
use crate::seat::Seat;

/// Who counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    /// Whose contributions make the outer step, by ascending uid.
    pub gathered: Vec<Uid>,
    /// Whose do not, by ascending uid, and why.
    pub left_out: Vec<Rejected>,
}

impl Book {
    /// Chooses among `sound`, the peers whose contributions passed every check, by what is known
    /// from the windows before: those with the best scores, then those that have proven nothing
    /// yet, by rating; whatever is equal is drawn. Of peers that are barred or did harm nothing
    /// counts, however few are left: a window without a step costs less than a poisoned one.
    pub fn select(&self, sound: &[(Uid, Hotkey)], secret: &Secret, window: Window) -> Selection {
        let sound: BTreeMap<Uid, Hotkey> = sound.iter().copied().collect();
        let mut left_out = Vec::new();
        let mut order: Vec<(f64, f64, u64, Uid)> = Vec::new();
        for (uid, hotkey) in sound {
            let seat = self.seat(uid, hotkey);
            match seat.and_then(shut_out) {
                Some(reason) => left_out.push(Rejected { uid, reason }),
                None => {
                    let score = seat.map_or(0.0, Seat::score);
                    let ordinal = seat.map_or(Rating::NEW, |seat| seat.rating).ordinal();
                    let mut draw = secret.draw("selection", window, Some(hotkey));
                    order.push((score, ordinal, draw.word(), uid));
                }
            }
        }
        order.sort_by(|a, b| {
            let by_score = b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1));
            by_score.then(b.2.cmp(&a.2)).then(a.3.cmp(&b.3))
        });
        let room = order.len().min(self.terms().gathered);
        let outranked = Rejection::Outranked { gathered: room as u32 };
        let mut gathered: Vec<Uid> = order[..room].iter().map(|peer| peer.3).collect();
        let late = order[room..].iter().map(|peer| peer.3);
        left_out.extend(late.map(|uid| Rejected { uid, reason: outranked.clone() }));
        gathered.sort_unstable();
        left_out.sort_unstable_by_key(|rejected| rejected.uid);
        Selection { gathered, left_out }
    }

    /// Chooses up to `room` of `sound` to be measured, in the order of measuring: first who has
    /// waited for [`UNMEASURED_MAX`] windows, then by lot, the more likely the longer the wait. Who
    /// could foretell its turn would work in that window only.
    pub fn to_measure(
        &self,
        sound: &[(Uid, Hotkey)],
        room: usize,
        secret: &Secret,
        window: Window,
    ) -> Vec<Uid> {
        let sound: BTreeMap<Uid, Hotkey> = sound.iter().copied().collect();
        let mut order: Vec<(bool, f64, Uid)> = Vec::new();
        for (uid, hotkey) in sound {
            let seat = self.seat(uid, hotkey);
            if seat.is_some_and(|seat| seat.barred > 0) {
                continue;
            }
            let waited = seat.map_or(0, |seat| seat.unmeasured);
            let unit = secret.draw("turns", window, Some(hotkey)).unit();
            // Efraimidis and Spirakis (2006): the smallest of these are a weighted sample.
            let lot = -libm::log(unit) / (f64::from(waited) + 1.0);
            order.push((waited < UNMEASURED_MAX, lot, uid));
        }
        order.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)));
        order.into_iter().take(room).map(|turn| turn.2).collect()
    }
}

/// Why nothing of the peer may count. Who was away is welcome back.
fn shut_out(seat: &Seat) -> Option<Rejection> {
    match seat.shut_out()? {
        Place::Barred => Some(Rejection::Barred { windows_left: seat.barred }),
        Place::Excluded => Some(Rejection::Excluded {}),
        _ => None,
    }
}
