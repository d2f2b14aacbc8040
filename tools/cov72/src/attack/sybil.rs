//! Several seats for the work of one: the first trains, all others send the same with a tenth of
//! the places replaced. Caught as copies are; the first one is paid once, for work that it did.

use wire::{Hotkey, SparseTensor, Window};

use super::remake::{Dice, perturbed};
use super::{Attack, Outlook, Theft};
use crate::failure::Failure;
use crate::train::Lesson;

/// Share of the places that each of the others replaces.
const PERCENT: usize = 10;

pub(super) struct Sybil {
    own: Hotkey,
    first: Hotkey,
}

impl Sybil {
    pub(super) fn new(own: Hotkey, allies: &[Hotkey]) -> Self {
        Self { own, first: allies.first().copied().unwrap_or(own) }
    }
}

impl Attack for Sybil {
    fn lessons(&mut self, outlook: &Outlook<'_>) -> Result<Vec<Lesson>, Failure> {
        match self.first == self.own {
            true => (outlook.lessons_of)(outlook.uid),
            false => Ok(Vec::new()),
        }
    }

    fn theft(&self, window: Window) -> Option<Theft> {
        (self.first != self.own).then_some(Theft { of: Some(self.first), window })
    }

    fn update(
        &mut self,
        window: Window,
        own: &[SparseTensor],
        taken: Option<Vec<SparseTensor>>,
    ) -> Vec<SparseTensor> {
        match taken {
            Some(taken) => perturbed(&taken, PERCENT, &mut Dice::new(self.own, window)),
            None => own.to_vec(),
        }
    }
}
