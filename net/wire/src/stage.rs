//! Which stage of a model's life a run is: what counts towards its loss, what it starts from, and
//! what the borders between documents mean.
//!
//! All are part of the run description, so that miners train towards, and validators measure, the
//! same loss from the same parameters. A description without them is of a run that pre-trains from
//! parameters drawn by its seed, as all were before there was a choice.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What counts towards the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// Every token of a text but the one that ends a document.
    #[default]
    Pretrain,
    /// Answers only: the tokens whose loss mask is on.
    Sft,
}

/// Where the parameters come from that the first window starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Genesis {
    /// Every node draws them from the run's seed.
    #[default]
    Drawn,
    /// They are those of a model that was there before. Where its bytes lie is each node's affair;
    /// the genesis root says whether they are the right ones.
    Given,
}

/// What the borders between documents mean: nothing, as in the published run, unless said
/// otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Documents {
    /// Whether the token that ends a document is a target like any other.
    pub train_eos: bool,
    /// Whether tokens attend to those of their own document only, and never predict the first of
    /// the next.
    pub masks: bool,
}

impl Documents {
    /// Whether it is what a description means that does not say.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Objective {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pretrain => "pretrain",
            Self::Sft => "sft",
        }
    }

    /// Whether it is what a description means that does not say.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Genesis {
    /// Whether it is what a description means that does not say.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Objective {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = [Self::Pretrain, Self::Sft];
        let found = known.into_iter().find(|objective| objective.name() == text);
        found.ok_or_else(|| "an objective is `pretrain` or `sft`".to_string())
    }
}
