//! What is done to the nodes on purpose: late starts, kills, restarts, each when its window begins.

use std::fmt;
use std::str::FromStr;

/// `PEER@WINDOW`; windows are counted from 1, as they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PeerAtWindow {
    pub(super) peer: u16,
    pub(super) window: u64,
}

impl FromStr for PeerAtWindow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (peer, window) = text.split_once('@')?;
            Some(Self { peer: peer.parse().ok()?, window: window.parse().ok()? })
        };
        read().ok_or_else(|| format!("\"{text}\" is not PEER@WINDOW, such as 3@5"))
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Join,
    Kill,
    Restart,
}

/// Something done to a node when a window begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: Kind,
    pub(super) peer: u16,
    pub(super) window: u64,
}

impl Event {
    /// Whether the node starts late.
    pub(super) fn is_join_of(&self, node: u16) -> bool {
        self.kind == Kind::Join && self.peer == node
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.kind {
            Kind::Join => "join",
            Kind::Kill => "kill",
            Kind::Restart => "restart",
        };
        write!(f, "{verb} {}@{}", self.peer, self.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_read_as_they_are_typed() {
        assert_eq!("3@5".parse(), Ok(PeerAtWindow { peer: 3, window: 5 }));
        for wrong in ["3", "3@", "@5", "a@5", "3@5@6", "-1@5"] {
            assert!(wrong.parse::<PeerAtWindow>().is_err(), "{wrong}");
        }
    }
}
