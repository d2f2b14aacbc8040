//! Where each kind of object lies in its owner's bucket.
//!
//! Keys are types with one text each, and text that is not exactly the text of a key is none: a
//! stranger's object name never becomes a path. Windows are padded so that names sort as numbers.

use std::fmt;
use std::str::FromStr;

use wire::{Hotkey, RunId, Window};

/// Name of one object. Changing a text breaks every bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKey {
    /// The signed run description.
    Run {
        /// Its id.
        run: RunId,
    },
    /// What `hotkey` contributes to `window`.
    Contribution {
        /// The run.
        run: RunId,
        /// The window.
        window: Window,
        /// Who signed it.
        hotkey: Hotkey,
    },
    /// The round manifest of `window` by validator `hotkey`.
    WindowManifest {
        /// The run.
        run: RunId,
        /// The window.
        window: Window,
        /// Who signed it.
        hotkey: Hotkey,
    },
    /// The judgement on `window` by validator `hotkey`.
    Judgement {
        /// The run.
        run: RunId,
        /// The window.
        window: Window,
        /// Who signed it.
        hotkey: Hotkey,
    },
    /// The merged update of `window`.
    Merged {
        /// The run.
        run: RunId,
        /// The window.
        window: Window,
    },
    /// The list of a checkpoint's parts, written last.
    CheckpointIndex {
        /// The run.
        run: RunId,
        /// The first window that starts from it.
        window: Window,
    },
    /// One part of a checkpoint.
    CheckpointPart {
        /// The run.
        run: RunId,
        /// The first window that starts from it.
        window: Window,
        /// Number of the part.
        part: u32,
    },
}

impl ObjectKey {
    /// Key of a contribution.
    pub fn contribution(run: RunId, window: Window, hotkey: Hotkey) -> Self {
        Self::Contribution { run, window, hotkey }
    }

    /// Key of a round manifest.
    pub fn window_manifest(run: RunId, window: Window, hotkey: Hotkey) -> Self {
        Self::WindowManifest { run, window, hotkey }
    }

    /// The window that the object belongs to.
    pub fn window(&self) -> Option<Window> {
        match *self {
            Self::Run { .. } => None,
            Self::Contribution { window, .. }
            | Self::WindowManifest { window, .. }
            | Self::Judgement { window, .. }
            | Self::Merged { window, .. }
            | Self::CheckpointIndex { window, .. }
            | Self::CheckpointPart { window, .. } => Some(window),
        }
    }

    /// Key of one part of a checkpoint.
    pub fn checkpoint(run: RunId, window: Window, part: u32) -> Self {
        Self::CheckpointPart { run, window, part }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { run } => write!(f, "{run}/run.json"),
            Self::Contribution { run, window, hotkey } => {
                write!(f, "{run}/contributions/{:012}/{hotkey}", window.0)
            }
            Self::WindowManifest { run, window, hotkey } => {
                write!(f, "{run}/manifests/{:012}/{hotkey}", window.0)
            }
            Self::Judgement { run, window, hotkey } => {
                write!(f, "{run}/judgements/{:012}/{hotkey}", window.0)
            }
            Self::Merged { run, window } => write!(f, "{run}/merged/{:012}", window.0),
            Self::CheckpointIndex { run, window } => {
                write!(f, "{run}/checkpoints/{:012}/index", window.0)
            }
            Self::CheckpointPart { run, window, part } => {
                write!(f, "{run}/checkpoints/{:012}/{part:06}", window.0)
            }
        }
    }
}

/// Text that is not the text of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the object's name is not a key of cov72")]
pub struct NotAKey;

impl FromStr for ObjectKey {
    type Err = NotAKey;

    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let key = parse(text).ok_or(NotAKey)?;
        // Numbers and digits can be written in more ways than one; a key cannot.
        if key.to_string() == text { Ok(key) } else { Err(NotAKey) }
    }
}

fn parse(text: &str) -> Option<ObjectKey> {
    let mut parts = text.split('/');
    let run = parts.next()?.parse().ok()?;
    let kind = parts.next()?;
    if kind == "run.json" {
        return Some(ObjectKey::Run { run });
    }
    let window = Window(parts.next()?.parse().ok()?);
    if kind == "merged" {
        return Some(ObjectKey::Merged { run, window });
    }
    let last = parts.next()?;
    match kind {
        "contributions" => Some(ObjectKey::contribution(run, window, last.parse().ok()?)),
        "manifests" => Some(ObjectKey::window_manifest(run, window, last.parse().ok()?)),
        "judgements" => Some(ObjectKey::Judgement { run, window, hotkey: last.parse().ok()? }),
        "checkpoints" if last == "index" => Some(ObjectKey::CheckpointIndex { run, window }),
        "checkpoints" => Some(ObjectKey::checkpoint(run, window, last.parse().ok()?)),
        _ => None,
    }
}

/// A set of keys that [`Bucket::list`](crate::Bucket::list) can enumerate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPrefix {
    /// Everything of a run.
    Run {
        /// The run.
        run: RunId,
    },
    /// Contributions to one window.
    Contributions {
        /// The run.
        run: RunId,
        /// The window.
        window: Window,
    },
    /// Manifests of one window.
    WindowManifests {
        /// The run.
        run: RunId,
        /// The window.
        window: Window,
    },
    /// All checkpoints of a run.
    Checkpoints {
        /// The run.
        run: RunId,
    },
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run { run } => write!(f, "{run}"),
            Self::Contributions { run, window } => {
                write!(f, "{run}/contributions/{:012}", window.0)
            }
            Self::WindowManifests { run, window } => {
                write!(f, "{run}/manifests/{:012}", window.0)
            }
            Self::Checkpoints { run } => write!(f, "{run}/checkpoints"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: RunId = RunId([0xab; 32]);

    fn keys() -> [ObjectKey; 7] {
        let (window, hotkey) = (Window(62_834), Hotkey([7; 32]));
        [
            ObjectKey::Run { run: RUN },
            ObjectKey::contribution(RUN, window, hotkey),
            ObjectKey::window_manifest(RUN, window, hotkey),
            ObjectKey::Judgement { run: RUN, window, hotkey },
            ObjectKey::Merged { run: RUN, window },
            ObjectKey::CheckpointIndex { run: RUN, window },
            ObjectKey::checkpoint(RUN, window, 3),
        ]
    }

    #[test]
    fn every_key_reads_back_from_its_text() {
        for key in keys() {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
    }

    #[test]
    fn text_that_is_almost_a_key_is_none() {
        for key in keys() {
            let text = key.to_string();
            for near in [
                format!("/{text}"),
                format!("{text}/"),
                format!("{text}#1"),
                format!("../{text}"),
                text.to_uppercase(),
                text.replace("062834", "62834"),
                text.replace("000000062834", "+00000062834"),
            ] {
                if near != text {
                    assert_eq!(near.parse::<ObjectKey>(), Err(NotAKey), "{near}");
                }
            }
        }
    }

    #[test]
    fn windows_sort_as_numbers() {
        let text = |window| ObjectKey::checkpoint(RUN, Window(window), 0).to_string();
        assert!(text(9) < text(10) && text(99_999) < text(100_000));
    }
}
