//! What one window means for one peer: which of few things happened.

use wire::{Evidence, PeerEvidence, Rejection};

use crate::loss_score::{Measured, Scores, measured};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A sound contribution, measured.
    Measured(Scores),
    /// A sound contribution whose turn to be measured it was not.
    Sound,
    /// Nothing sound came in time. Who trained from other parameters was away when they changed.
    Missed,
    /// What came breaks the format, or claims what is not so.
    Malformed,
    /// With it, the loss was no number.
    Diverged,
    /// This share of it is another's, in thousandths.
    Copied(u16),
    /// There are two signed contributions.
    Equivocated,
}

impl Outcome {
    /// What the evidence says about `peer`.
    pub(crate) fn of(evidence: &Evidence, peer: &PeerEvidence) -> Self {
        match peer.rejection.as_ref().filter(|reason| reason.is_fault()) {
            Some(reason) => Self::of_fault(reason),
            None => match peer.effect.as_ref().map(|effect| measured(evidence, effect)) {
                Some(Measured::Scores(scores)) => Self::Measured(scores),
                Some(Measured::Diverged) => Self::Diverged,
                Some(Measured::Nothing) | None => Self::Sound,
            },
        }
    }

    fn of_fault(reason: &Rejection) -> Self {
        match reason {
            Rejection::Missing {}
            | Rejection::Late { .. }
            | Rejection::Early { .. }
            | Rejection::NotRegistered { .. }
            | Rejection::NoBucket { .. }
            | Rejection::Unreachable {}
            | Rejection::OtherParent { .. } => Self::Missed,
            Rejection::Duplicate { .. } => Self::Copied(1000),
            Rejection::Copied { copied_permille, .. } => Self::Copied((*copied_permille).min(1000)),
            Rejection::Equivocated { .. } => Self::Equivocated,
            _ => Self::Malformed,
        }
    }

    /// Whether the peer delivered something that may count.
    pub(crate) fn is_sound(&self) -> bool {
        matches!(self, Self::Measured(_) | Self::Sound)
    }
}
