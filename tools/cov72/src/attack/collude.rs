//! Two peers for the work of one: in each window one of them trains, and the other sends the same
//! with a third of the places replaced. Caught as copies are, whoever of the two was first: both
//! copy in every other window.

use wire::{Hotkey, SparseTensor, Window};

use super::remake::{Dice, perturbed};
use super::{Attack, Outlook, Theft};
use crate::failure::Failure;
use crate::train::Lesson;

/// Share of the places that the second one replaces.
const PERCENT: usize = 33;

pub(super) struct Collude {
    own: Hotkey,
    allies: Vec<Hotkey>,
}

impl Collude {
    pub(super) fn new(own: Hotkey, allies: &[Hotkey]) -> Self {
        Self { own, allies: allies.to_vec() }
    }

    /// Who trains in `window`; itself if it has no ally.
    fn worker(&self, window: Window) -> Hotkey {
        let turn = window.0 as usize % self.allies.len().max(1);
        self.allies.get(turn).copied().unwrap_or(self.own)
    }
}

impl Attack for Collude {
    fn lessons(&mut self, outlook: &Outlook<'_>) -> Result<Vec<Lesson>, Failure> {
        match self.worker(outlook.window) == self.own {
            true => (outlook.lessons_of)(outlook.uid),
            false => Ok(Vec::new()),
        }
    }

    fn theft(&self, window: Window) -> Option<Theft> {
        let worker = self.worker(window);
        (worker != self.own).then_some(Theft { of: Some(worker), window })
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
