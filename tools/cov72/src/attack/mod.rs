//! The gallery of attacks: miners that follow the protocol like everybody and cheat in one way, to
//! show that validators notice. One file per idea.
//!
//! An attack changes what a miner trains on and from, what it sends, and when. Everything else, in
//! a process as in a simulation, is the honest miner's own code.

mod collude;
mod copycat;
mod equivocator;
mod freeloader;
mod late;
mod lazy;
mod malformed;
mod norm_bomb;
mod on_off;
mod poison;
mod remake;
mod scaled;
mod sign_flip;
mod stale;
mod sybil;
mod wrong_data;

use std::str::FromStr;
use std::sync::{Arc, RwLock};

use bucket::Bytes;
use clap::ValueEnum;
use runtime::{Buffer, Device};
use wire::{Hotkey, SparseTensor, Uid, Window};

use crate::failure::Failure;
use crate::train::Lesson;

/// Ways to cheat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    /// Trains nothing and sends an update that changes nothing
    FreeloaderZero,
    /// Trains nothing and sends random directions, much too small to matter
    FreeloaderTiny,
    /// Trains nothing and sends random directions of the usual size
    FreeloaderRandom,
    /// Sends another peer's contribution under its own name
    Copycat,
    /// The same with 60 % of the places replaced at random
    CopycatPerturbed,
    /// Sends another peer's contribution to the window before
    CopycatDelayed,
    /// Sends the opposite of what it learned
    SignFlip,
    /// Sends ten times what it learned
    #[value(name = "scaled-10")]
    Scaled10,
    /// Sends a hundred times what it learned
    #[value(name = "scaled-100")]
    Scaled100,
    /// Trains from the parameters of six windows ago
    Stale,
    /// Trains on other samples than it was given
    WrongData,
    /// Learns its samples, and to be wrong on others
    Poison,
    /// Takes a tenth of the steps
    Lazy,
    /// Two that take turns to train, and send the same work, changed a little
    Collude,
    /// Several that send the work of one, changed a little
    Sybil,
    /// Is honest until it is rated, then lazy
    OnOff,
    /// Puts its contribution when the window is over
    Late,
    /// Puts bytes that are no contribution
    Malformed,
    /// Signs a second contribution when the first is judged
    Equivocator,
    /// Sends huge values in a few places
    NormBomb,
}

impl Kind {
    /// What it is called on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().expect("every kind has a name").get_name().to_string()
    }

    /// How many peers it takes.
    pub(crate) fn peers(self) -> usize {
        match self {
            Self::Collude => 2,
            Self::Sybil => 3,
            _ => 1,
        }
    }

    /// Whether it sends what is, or is made of, the work of another peer.
    pub(crate) fn is_of_copies(self) -> bool {
        let single = [Self::Copycat, Self::CopycatPerturbed, Self::CopycatDelayed];
        single.contains(&self) || self.peers() > 1
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        <Self as ValueEnum>::from_str(text, false).map_err(|_| {
            let names: Vec<_> = Self::value_variants().iter().map(|kind| kind.name()).collect();
            format!("no attack is called \"{text}\"; there are {}", names.join(", "))
        })
    }
}

/// `KIND@PEER`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttackBy {
    pub(crate) kind: Kind,
    pub(crate) peer: u16,
}

impl FromStr for AttackBy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, peer) = text.split_once('@').unwrap_or((text, ""));
        let kind = kind.parse()?;
        let peer = peer.parse();
        let peer = peer.map_err(|_| format!("\"{text}\" is not KIND@PEER, such as lazy@3"))?;
        Ok(Self { kind, peer })
    }
}

/// An attack and who takes part in it, written `KIND` or `KIND:HOTKEY,HOTKEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plot {
    pub(crate) kind: Kind,
    /// All who take part, in the same order for each of them.
    pub(crate) allies: Vec<Hotkey>,
}

impl FromStr for Plot {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, allies) = text.split_once(':').unwrap_or((text, ""));
        let allies = allies.split(',').filter(|ally| !ally.is_empty());
        let allies =
            allies.map(|ally| ally.parse::<Hotkey>().map_err(|error| format!("{ally}: {error}")));
        Ok(Self { kind: kind.parse()?, allies: allies.collect::<Result<_, _>>()? })
    }
}

impl std::fmt::Display for Plot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let allies: Vec<_> = self.allies.iter().map(ToString::to_string).collect();
        write!(f, "{}:{}", self.kind.name(), allies.join(","))
    }
}

impl Plot {
    /// The attack of the peer `own`.
    pub(crate) fn attack(&self, own: Hotkey) -> Box<dyn Attack> {
        match self.kind {
            Kind::FreeloaderZero => Box::new(freeloader::Freeloader::Zero),
            Kind::FreeloaderTiny => Box::new(freeloader::Freeloader::random(1e-7, own)),
            Kind::FreeloaderRandom => Box::new(freeloader::Freeloader::random(1e-3, own)),
            Kind::Copycat => Box::new(copycat::Copycat::Exact),
            Kind::CopycatPerturbed => Box::new(copycat::Copycat::Perturbed(own)),
            Kind::CopycatDelayed => Box::new(copycat::Copycat::Delayed),
            Kind::SignFlip => Box::new(sign_flip::SignFlip),
            Kind::Scaled10 => Box::new(scaled::Scaled(10.0)),
            Kind::Scaled100 => Box::new(scaled::Scaled(100.0)),
            Kind::Stale => Box::new(stale::Stale::default()),
            Kind::WrongData => Box::new(wrong_data::WrongData),
            Kind::Poison => Box::new(poison::Poison),
            Kind::Lazy => Box::new(lazy::Lazy),
            Kind::Collude => Box::new(collude::Collude::new(own, &self.allies)),
            Kind::Sybil => Box::new(sybil::Sybil::new(own, &self.allies)),
            Kind::OnOff => Box::new(on_off::OnOff),
            Kind::Late => Box::new(late::Late),
            Kind::Malformed => Box::new(malformed::Malformed),
            Kind::Equivocator => Box::new(equivocator::Equivocator),
            Kind::NormBomb => Box::new(norm_bomb::NormBomb),
        }
    }
}

/// Parameters that somebody trains from.
pub(crate) type Vector = Arc<RwLock<Buffer<f32>>>;

/// One window, as the attacker may see it before it trains.
pub(crate) struct Outlook<'a> {
    pub(crate) window: Window,
    pub(crate) uid: Uid,
    /// What a peer of that uid is to train on in this window.
    pub(crate) lessons_of: &'a dyn Fn(Uid) -> Result<Vec<Lesson>, Failure>,
}

/// A contribution that is taken from somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theft {
    /// Whose; none for the first other miner's.
    pub(crate) of: Option<Hotkey>,
    /// The window that it was made for.
    pub(crate) window: Window,
}

/// Where a miner departs from an honest one; by default nowhere.
pub(crate) trait Attack: Send {
    /// What it trains on, step by step.
    fn lessons(&mut self, outlook: &Outlook<'_>) -> Result<Vec<Lesson>, Failure> {
        (outlook.lessons_of)(outlook.uid)
    }

    /// The parameters that it trains from, which are `shared` for honest peers.
    fn parent(&mut self, shared: &Vector, _device: &Device) -> Vector {
        Arc::clone(shared)
    }

    /// What it takes from another peer, before it sends.
    fn theft(&self, _window: Window) -> Option<Theft> {
        None
    }

    /// What it sends, given what it made itself and what it took.
    fn update(
        &mut self,
        _window: Window,
        own: &[SparseTensor],
        _taken: Option<Vec<SparseTensor>>,
    ) -> Vec<SparseTensor> {
        own.to_vec()
    }

    /// The object that it puts in place of `object`.
    fn object(&mut self, object: Bytes) -> Bytes {
        object
    }

    /// Whether it puts when the window is over.
    fn is_late(&self) -> bool {
        false
    }

    /// A second update that it signs when the window is over.
    fn second(&mut self, _sent: &[SparseTensor]) -> Option<Vec<SparseTensor>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_read_as_they_are_typed() {
        let lazy: AttackBy = "lazy@3".parse().unwrap();
        assert_eq!((lazy.kind, lazy.peer), (Kind::Lazy, 3));
        let told = "lasy@3".parse::<AttackBy>().unwrap_err();
        assert!(told.contains("there are freeloader-zero, "), "{told}");
        assert!("lazy".parse::<AttackBy>().unwrap_err().contains("lazy@3"));
    }

    #[test]
    fn plots_read_back_from_their_text() {
        let plot = Plot { kind: Kind::Scaled10, allies: vec![Hotkey([7; 32]), Hotkey([8; 32])] };
        assert_eq!(plot.to_string().parse(), Ok(plot));
        assert!("sybil:no key".parse::<Plot>().is_err());
    }
}
