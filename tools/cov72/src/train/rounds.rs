//! Where a miner's rounds come from: from itself, when it trains alone, or from a network.

use std::sync::atomic::AtomicBool;

use bucket::Bytes;
use wire::{
    BodyShape, Claims, Keypair, RunDescription, SampleDigest, SparseTensor, StateRoot, Uid, Window,
    WindowRecord, contribution,
};

use super::alone::Alone;
use super::network::Network;
use crate::attack::Theft;
use crate::failure::Failure;
use crate::node::Replica;

/// A contribution, ready to be put.
pub(crate) struct Sent {
    pub(super) window: Window,
    pub(super) object: Bytes,
    pub(super) sample_digest: SampleDigest,
    pub(super) parent_root: StateRoot,
}

/// How a window ended for a miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closed {
    /// Whether its contribution counts.
    pub(super) counted: bool,
    /// Whether the state is that of a later window already.
    pub(super) passed_over: bool,
}

/// What begins and ends a miner's windows.
pub(crate) enum Rounds {
    /// Its own contribution is the round.
    Alone(Box<Alone>),
    /// Validators say what counts.
    Network(Box<Network>),
}

impl Rounds {
    /// The miner's seat.
    pub(super) fn uid(&self) -> Uid {
        match self {
            Self::Alone(alone) => alone.uid(),
            Self::Network(network) => network.node.uid,
        }
    }

    /// The miner's state is that of the start of window `window`.
    pub(super) fn resume(&mut self, window: u64) {
        match self {
            Self::Alone(alone) => alone.resume(window),
            // Chain and manifests say where the network is; windows before this one have a record.
            Self::Network(network) => network.node.trail.skip_to(Window(window)),
        }
    }

    /// A flag that asks to stop.
    pub(super) fn stop(&self) -> &AtomicBool {
        match self {
            Self::Alone(alone) => alone.stop(),
            Self::Network(network) => network.node.stop(),
        }
    }

    /// Waits for a window to contribute to, with `replica` in the state it begins with.
    pub(super) async fn open(&mut self, replica: &mut Replica) -> Result<Window, Failure> {
        match self {
            Self::Alone(alone) => Ok(alone.open()),
            Self::Network(network) => network.open(replica).await,
        }
    }

    /// Records of windows that passed since this was last asked without a contribution.
    pub(super) fn take_records(&mut self) -> Vec<WindowRecord> {
        match self {
            Self::Alone(_) => Vec::new(),
            Self::Network(network) => network.take_records(),
        }
    }

    /// Lets the open window pass without a contribution, which brings `replica` to the state of the
    /// others; false for a miner that has no others.
    pub(super) async fn sit_out(&mut self, replica: &mut Replica) -> Result<bool, Failure> {
        match self {
            Self::Alone(_) => Ok(false),
            Self::Network(network) => network.listen(replica).await.map(|()| true),
        }
    }

    /// Signs an update of all tensors, trained on so many samples with that digest, of which so
    /// many tokens count.
    pub(super) fn encode(
        &self,
        window: Window,
        parent_root: StateRoot,
        (sample_count, tokens): (usize, u64),
        sample_digest: SampleDigest,
        update: &[SparseTensor],
    ) -> Sent {
        let (run, shape, keypair): (&RunDescription, &BodyShape, &Keypair) = match self {
            Self::Alone(alone) => alone.signs(),
            Self::Network(network) => {
                (&network.node.run, &network.node.shape, &network.node.keypair)
            }
        };
        let claims = Claims {
            run: run.id(),
            window,
            uid: self.uid(),
            layout: shape.layout(),
            parent_root,
            sample_digest,
            sample_count: sample_count as u64,
            tokens,
            k: run.outer.k as u32,
            index_codec: run.outer.index_codec,
        };
        let object = contribution::encode(&claims, update, keypair).into();
        Sent { window, object, sample_digest, parent_root }
    }

    /// Puts the contribution; whether it is in the bucket for good.
    pub(super) async fn put(&mut self, sent: &Sent) -> Result<bool, Failure> {
        match self {
            Self::Alone(alone) => alone.put(sent).await.map(|()| true),
            Self::Network(network) => network.put(sent).await,
        }
    }

    /// Waits for another peer's contribution and takes it, for a peer that cheats.
    pub(super) async fn steal(
        &mut self,
        theft: Theft,
    ) -> Result<Option<Vec<SparseTensor>>, Failure> {
        match self {
            Self::Alone(_) => Ok(None),
            Self::Network(network) => network.steal(theft).await,
        }
    }

    /// Ends the window: takes the outer step with what counts; whether the own contribution did.
    pub(super) async fn close(
        &mut self,
        replica: &mut Replica,
        sent: &Sent,
        record: &mut WindowRecord,
    ) -> Result<Closed, Failure> {
        match self {
            Self::Alone(alone) => {
                let counted = alone.close(replica, sent, record).await?;
                Ok(Closed { counted, passed_over: false })
            }
            Self::Network(network) => network.close(replica, sent, record).await,
        }
    }

    /// The state after `window` is kept: lets the next one come.
    pub(super) async fn next(&mut self, window: Window) -> Result<(), Failure> {
        match self {
            Self::Alone(alone) => alone.next(window),
            Self::Network(network) => network.tidy(window).await,
        }
    }
}
