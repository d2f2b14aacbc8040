//! Peers that lie: they follow the network like everybody, and put something else than they made.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bucket::ObjectKey;
use object_store::PutPayload;
use object_store::path::Path;
use wire::contribution::HEADER_BYTES;
use wire::{BodyShape, Header, Hotkey, Keypair, SampleDigest, StateRoot, Window, contribution};

use super::draw::Draw;
use super::line::{Net, joined};

/// How a peer lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// Bytes without meaning, as many as a contribution has.
    Garbage,
    /// Half of its contribution.
    Half,
    /// The contribution that it made for the window before.
    Stale,
    /// What another peer put, byte for byte.
    Copied,
    /// What another peer put, under its own name and signature.
    Resigned,
    /// The digest of other samples than the assigned ones.
    Samples,
    /// Another parent state than the shared one.
    Parent,
}

impl Lie {
    /// All of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Garbage,
        Self::Half,
        Self::Stale,
        Self::Copied,
        Self::Resigned,
        Self::Samples,
        Self::Parent,
    ];

    /// Codes of the rejections that it may get, besides those of something that did not arrive.
    pub(super) fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Garbage => &["wrong_magic"],
            Self::Half => &["object_length"],
            Self::Stale => &["other_window", "wrong_magic"],
            Self::Copied => &["other_uid", "wrong_magic"],
            Self::Resigned => &["duplicate", "wrong_magic"],
            Self::Samples => &["sample_digest"],
            Self::Parent => &["other_parent"],
        }
    }
}

/// Another peer: whose objects may be taken.
pub(super) type Victim = (usize, Hotkey);

/// One lying peer.
pub(super) struct Liar {
    pub(super) lie: Lie,
    pub(super) keypair: Keypair,
    pub(super) shape: BodyShape,
    pub(super) victim: Victim,
    draw: Mutex<Draw>,
    /// What it made lately, by window.
    made: Mutex<BTreeMap<Window, PutPayload>>,
}

/// How often, and how long apart, a thief looks for something to take.
const LOOKS: u32 = 20;
const LOOK_PAUSE: Duration = Duration::from_millis(700);

impl Liar {
    /// A liar with a key of its own.
    pub(super) fn new(
        lie: Lie,
        keypair: Keypair,
        shape: BodyShape,
        victim: Victim,
        draw: Draw,
    ) -> Self {
        Self { lie, keypair, shape, victim, draw: Mutex::new(draw), made: Mutex::default() }
    }

    /// What it puts instead of `honest`.
    pub(super) async fn instead(
        &self,
        net: &Arc<Net>,
        path: &Path,
        honest: PutPayload,
    ) -> PutPayload {
        let key = path.as_ref().parse();
        let Ok(ObjectKey::Contribution { run, window, .. }) = key else { return honest };
        let bytes = joined(&honest);
        let made = match self.lie {
            Lie::Garbage => None,
            Lie::Half => Some(bytes[..bytes.len() / 2].to_vec()),
            Lie::Stale => {
                let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
                made.insert(window, honest);
                made.range(..window).next_back().map(|(_, before)| joined(before))
            }
            Lie::Copied | Lie::Resigned => {
                let theirs = ObjectKey::contribution(run, window, self.victim.1);
                let theirs = self.steal(net, &Path::from(theirs.to_string())).await;
                theirs.and_then(|theirs| match self.lie {
                    Lie::Resigned => self.resign(&bytes, &theirs),
                    _ => Some(theirs),
                })
            }
            Lie::Samples | Lie::Parent => self.claim_otherwise(&bytes),
        };
        made.unwrap_or_else(|| self.garbage(bytes.len())).into()
    }

    fn garbage(&self, bytes: usize) -> Vec<u8> {
        let mut garbage = vec![0; bytes];
        self.draw.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut garbage);
        garbage
    }

    async fn steal(&self, net: &Arc<Net>, path: &Path) -> Option<Vec<u8>> {
        for _ in 0..LOOKS {
            if let Some(theirs) = net.look(self.victim.0, path).await {
                return Some(theirs);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        None
    }

    fn resign(&self, own: &[u8], theirs: &[u8]) -> Option<Vec<u8>> {
        let update = self.shape.decode(theirs.get(HEADER_BYTES..)?).ok()?;
        Some(contribution::encode(&Header::parse(own).ok()?.claims, &update, &self.keypair))
    }

    fn claim_otherwise(&self, own: &[u8]) -> Option<Vec<u8>> {
        let update = self.shape.decode(own.get(HEADER_BYTES..)?).ok()?;
        let mut claims = Header::parse(own).ok()?.claims;
        match self.lie {
            Lie::Samples => claims.sample_digest = SampleDigest([7; 16]),
            _ => claims.parent_root = StateRoot([7; 32]),
        }
        Some(contribution::encode(&claims, &update, &self.keypair))
    }
}
