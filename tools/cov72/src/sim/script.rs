//! What befalls a simulated network, drawn from its seed: who comes late, leaves, dies and comes
//! back, where the network tears, whose bits flip, and who lies.

use bucket::{Fault, FaultPlan, FaultRule};
use clap::ValueEnum;

use super::draw::Draw;
use super::forger::Forgery;
use super::liar::Lie;
use super::stage::Scale;

/// Kinds of what may befall a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Kind {
    /// A peer starts windows after the others
    LateJoin,
    /// A peer leaves for good
    Leave,
    /// A peer is killed at a random instant and started again
    Kill,
    /// A validator is killed, and perhaps started again
    ValidatorKill,
    /// All validators are killed and come back three windows later
    ValidatorsGone,
    /// Some nodes do not reach the buckets of the others for a while
    Split,
    /// A bit of a peer's parameters flips
    BitFlip,
    /// A peer lies in every window
    Lie,
    /// Storages refuse, hang, lose answers and damage what they deliver
    Storage,
    /// A validator signs manifests that it did not make; needs three validators
    Forge,
    /// The stake behind a validator changes
    Stake,
}

impl Kind {
    /// Validators that it needs, so that those who are left have most of the stake.
    pub(super) fn validators_min(self) -> usize {
        if self == Self::Forge { 3 } else { 1 }
    }
}

/// What befalls whom.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    Kill { node: usize, loses_newest: bool, back_after: Option<u64> },
    Leave { node: usize },
    ValidatorsGone { windows: u64 },
    Split { sides: Vec<bool>, windows: u64 },
    BitFlip { node: usize, share: f64, bit: u32 },
    Stake { node: usize, stake_rao: u64 },
}

/// Something that happens once window `window` has begun, and a while more.
#[derive(Clone, Debug)]
pub(super) struct Incident {
    pub(super) window: u64,
    pub(super) offset_ms: u64,
    pub(super) turn: Turn,
}

/// Everything that befalls one network.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// Window in which each node starts; 0 for the beginning.
    pub(super) starts: Vec<u64>,
    /// Who lies, and how.
    pub(super) lies: Vec<(usize, Lie)>,
    pub(super) incidents: Vec<Incident>,
    /// What storages do wrong.
    pub(super) storage: Option<FaultPlan>,
    /// Which validators forge, and how.
    pub(super) forgeries: Vec<(usize, Forgery)>,
}

/// Windows at the end in which nothing happens any more, so that everybody comes together.
const HEALING_WINDOWS: u64 = 4;
/// Longest while between a window's beginning and what happens in it.
const OFFSET_MS_MAX: u64 = 25_000;

/// A script being drawn.
struct Writer {
    draw: Draw,
    scale: Scale,
    /// Windows in which things happen.
    last: u64,
    script: Script,
}

impl Script {
    /// The script of `seed`, of the given kinds.
    pub(super) fn new(seed: u64, scale: Scale, kinds: &[Kind]) -> Self {
        let last = scale.windows.saturating_sub(HEALING_WINDOWS).max(1);
        let script = Self { starts: vec![0; scale.validators + scale.peers], ..Self::default() };
        let mut writer = Writer { draw: Draw::new(seed, "script"), scale, last, script };
        let possible = kinds.iter().filter(|kind| scale.validators >= kind.validators_min());
        for &kind in possible {
            // Alone, a kind surely happens.
            let often = kinds.len() == 1;
            for _ in 0..writer.count(kind, often) {
                writer.add(kind);
            }
        }
        writer.keep_the_majority_honest();
        writer.script
    }
}

impl Writer {
    fn count(&mut self, kind: Kind, often: bool) -> u64 {
        let Scale { peers, windows, .. } = self.scale;
        let (peers, long) = (peers as u64, windows / 12);
        let most = match kind {
            Kind::LateJoin | Kind::Leave | Kind::Lie => 1 + peers / 8,
            Kind::Kill => 1 + peers * long / 8,
            Kind::ValidatorKill | Kind::Split | Kind::BitFlip | Kind::Stake => 1 + long / 2,
            Kind::ValidatorsGone => 1 + long / 8,
            Kind::Storage | Kind::Forge => 1,
        };
        let rare = matches!(kind, Kind::ValidatorsGone | Kind::Split) && self.draw.chance(0.5);
        match (often, rare) {
            (true, _) => self.draw.between(1, most),
            (false, true) => 0,
            (false, false) => self.draw.between(0, most),
        }
    }

    fn validator(&mut self) -> usize {
        self.draw.between(0, self.scale.validators as u64 - 1) as usize
    }

    fn peer(&mut self) -> usize {
        let Scale { peers, validators, .. } = self.scale;
        self.draw.between(validators as u64, (validators + peers) as u64 - 1) as usize
    }

    /// Every kind of fault at times, on objects of windows in which things happen.
    fn storage(&mut self) -> FaultPlan {
        let faults = [
            Fault::TooManyRequests { retry_after_ms: Some(1_500) },
            Fault::InternalError {},
            Fault::Unavailable { retry_after_ms: None },
            Fault::Unreachable {},
            Fault::Hang {},
            Fault::SlowDrip { bytes_per_s: 2_000 },
            Fault::TruncatedBody {},
            Fault::WrongBytes {},
            Fault::LateVisibility { delay_ms: 3_000, lookups: 2 },
            Fault::LostAnswer {},
        ];
        let last = self.last;
        let rule = |fault, chance| FaultRule {
            fault,
            chance: Some(chance),
            nth: None,
            first: None,
            operations: Vec::new(),
            objects: Vec::new(),
            windows: Some([0, last]),
        };
        let rules =
            faults.into_iter().map(|fault| rule(fault, self.draw.between(0, 60) as f64 / 1e3));
        FaultPlan { rules: rules.collect() }
    }

    /// While one validator forges, no other one goes for good, and each keeps its stake.
    fn keep_the_majority_honest(&mut self) {
        let Script { incidents, forgeries, .. } = &mut self.script;
        if forgeries.is_empty() {
            return;
        }
        incidents.retain(|incident| !matches!(incident.turn, Turn::Stake { .. }));
        for Incident { turn, .. } in incidents {
            if let Turn::Kill { back_after: back_after @ None, .. } = turn {
                *back_after = Some(1);
            }
        }
    }

    fn add(&mut self, kind: Kind) {
        let nodes = self.script.starts.len();
        let window = self.draw.between(0, self.last - 1);
        let turn = match kind {
            Kind::LateJoin => {
                let peer = self.peer();
                self.script.starts[peer] = window.max(1);
                return;
            }
            Kind::Lie => {
                let (peer, lie) = (self.peer(), *self.draw.of(&Lie::ALL));
                self.script.lies.retain(|(of, _)| *of != peer);
                self.script.lies.push((peer, lie));
                return;
            }
            Kind::Storage => {
                self.script.storage = Some(self.storage());
                return;
            }
            Kind::Forge => {
                let node = self.validator();
                let forgery = *self.draw.of(&Forgery::ALL);
                self.script.forgeries.push((node, forgery));
                return;
            }
            Kind::Leave => Turn::Leave { node: self.peer() },
            Kind::Kill => Turn::Kill {
                node: self.peer(),
                loses_newest: self.draw.chance(0.3),
                back_after: Some(self.draw.between(0, 3)),
            },
            Kind::ValidatorKill => {
                let node = self.validator();
                // One of them always comes back, so that there is one in the end.
                let back = node == 0 || self.draw.chance(0.7);
                let back_after = back.then(|| self.draw.between(0, 3));
                Turn::Kill { node, loses_newest: false, back_after }
            }
            Kind::ValidatorsGone => Turn::ValidatorsGone { windows: 3 },
            Kind::Split => Turn::Split {
                sides: (0..nodes).map(|_| self.draw.chance(0.35)).collect(),
                windows: self.draw.between(1, 3),
            },
            Kind::BitFlip => Turn::BitFlip {
                node: self.peer(),
                share: self.draw.between(0, 999) as f64 / 1000.0,
                bit: self.draw.between(0, 31) as u32,
            },
            Kind::Stake => Turn::Stake {
                node: self.validator(),
                stake_rao: self.draw.between(1, 150) * 1_000_000_000,
            },
        };
        let offset_ms = self.draw.between(0, OFFSET_MS_MAX);
        self.script.incidents.push(Incident { window, offset_ms, turn });
    }
}
