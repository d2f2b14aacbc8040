//! A copycat trains nothing and sends what another peer put: as it is, with 60 % of its places
//! replaced so that it looks like work of its own, or a window late. Caught by what two
//! contributions have in common beyond what honest ones do; the original is the one whose hash was
//! on the chain first.

use wire::{Hotkey, SparseTensor, Window};

use super::remake::{Dice, perturbed};
use super::{Attack, Outlook, Theft};
use crate::failure::Failure;
use crate::train::Lesson;

pub(super) enum Copycat {
    Exact,
    Perturbed(Hotkey),
    Delayed,
}

impl Attack for Copycat {
    fn lessons(&mut self, _: &Outlook<'_>) -> Result<Vec<Lesson>, Failure> {
        Ok(Vec::new())
    }

    fn theft(&self, window: Window) -> Option<Theft> {
        let window = match self {
            Self::Delayed => Window(window.0.checked_sub(1)?),
            _ => window,
        };
        Some(Theft { of: None, window })
    }

    fn update(
        &mut self,
        window: Window,
        own: &[SparseTensor],
        taken: Option<Vec<SparseTensor>>,
    ) -> Vec<SparseTensor> {
        let taken = taken.unwrap_or_else(|| own.to_vec());
        match self {
            Self::Perturbed(hotkey) => perturbed(&taken, 60, &mut Dice::new(*hotkey, window)),
            _ => taken,
        }
    }
}
