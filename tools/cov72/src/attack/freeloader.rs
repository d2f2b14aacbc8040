//! A freeloader trains nothing: it sends an update of zeros, or random directions, so small that
//! they do no harm or as large as honest ones. Caught by the loss, which does not fall, and by the
//! proof, which finds no difference between its own samples and others.

use wire::{Hotkey, SparseTensor, Window};

use super::remake::{Dice, random};
use super::{Attack, Outlook};
use crate::failure::Failure;
use crate::train::Lesson;

pub(super) enum Freeloader {
    Zero,
    Random { size: f32, own: Hotkey },
}

impl Freeloader {
    pub(super) fn random(size: f32, own: Hotkey) -> Self {
        Self::Random { size, own }
    }
}

impl Attack for Freeloader {
    fn lessons(&mut self, _: &Outlook<'_>) -> Result<Vec<Lesson>, Failure> {
        Ok(Vec::new())
    }

    fn update(
        &mut self,
        window: Window,
        own: &[SparseTensor],
        _: Option<Vec<SparseTensor>>,
    ) -> Vec<SparseTensor> {
        let shapes = own.iter().map(SparseTensor::shape);
        match self {
            Self::Zero => shapes.map(SparseTensor::zero).collect(),
            Self::Random { size, own } => {
                let mut dice = Dice::new(*own, window);
                shapes.map(|shape| random(shape, *size, &mut dice)).collect()
            }
        }
    }
}
