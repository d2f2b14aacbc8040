//! Peers of a small town, and the evidence that they leave.
//!
//! Each test uses a part of it.
#![allow(dead_code, unreachable_pub)]

use wire::{
    Effect, Evidence, Hotkey, Loss, Pair, PeerEvidence, Probe, Rejection, StateRoot, Uid, Window,
};

/// Samples of each kind.
pub const PROBES: u64 = 8;

/// Loss of sample `sample` before any update, in nats per token.
fn before(sample: u64) -> f64 {
    3.0 + 0.125 * sample as f64
}

/// Mean of that over the probes.
const MEAN: f64 = 3.4375;

/// Loss after an update that lowers it by the share `gain` of the mean, and a little more or less
/// in turn: the spread of the drops is the same whatever the gain.
fn after(sample: u64, gain: f64) -> Loss {
    let spread = if sample.is_multiple_of(2) { 0.002 } else { -0.002 };
    Loss::new(before(sample) - MEAN * (gain + spread))
}

pub fn hotkey(uid: u16) -> Hotkey {
    let [high, low] = uid.to_be_bytes();
    let mut key = [0xab; 32];
    (key[0], key[1]) = (low, high);
    Hotkey(key)
}

/// Peer `uid` delivered nothing that counts.
pub fn rejected(uid: u16, reason: Rejection) -> PeerEvidence {
    PeerEvidence {
        uid: Uid(uid),
        hotkey: hotkey(uid),
        object: None,
        rejection: Some(reason),
        effect: None,
    }
}

pub fn missing(uid: u16) -> PeerEvidence {
    rejected(uid, Rejection::Missing {})
}

/// Peer `uid`'s contribution is sound, and was not measured.
pub fn sound(uid: u16) -> PeerEvidence {
    PeerEvidence { rejection: None, ..missing(uid) }
}

/// Peer `uid`'s update lowered the loss by these shares.
pub fn measured(uid: u16, assigned: f64, random: f64) -> PeerEvidence {
    let pair = |sample| Pair {
        sample,
        tokens: 100,
        before: Loss::new(before(sample)),
        after: after(sample, assigned),
    };
    let effect = Effect {
        assigned: (0..PROBES).map(pair).collect(),
        random_after: (0..PROBES).map(|sample| after(sample, random)).collect(),
    };
    PeerEvidence { effect: Some(effect), ..sound(uid) }
}

/// Peer `uid`'s update changes nothing at all.
pub fn idle(uid: u16) -> PeerEvidence {
    let same = |sample| Loss::new(before(sample));
    let mut peer = measured(uid, 0.0, 0.0);
    let effect = peer.effect.get_or_insert_default();
    effect.assigned.iter_mut().for_each(|pair| pair.after = pair.before);
    effect.random_after = (0..PROBES).map(same).collect();
    peer
}

/// An honest peer: it helps everywhere, and most where it trained.
pub fn honest(uid: u16) -> PeerEvidence {
    measured(uid, 0.03, 0.02 + 1e-5 * f64::from(uid))
}

pub fn evidence(window: u64, peers: impl IntoIterator<Item = PeerEvidence>) -> Evidence {
    let probe = |sample| Probe { sample, tokens: 100, before: Loss::new(before(sample)) };
    let mut peers: Vec<_> = peers.into_iter().collect();
    peers.sort_by_key(|peer| peer.uid);
    Evidence {
        window: Window(window),
        parent_root: StateRoot([1; 32]),
        random: (0..PROBES).map(probe).collect(),
        peers,
    }
}
