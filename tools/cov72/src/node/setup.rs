//! From a configuration to a node of a network: chain, bucket and key of a process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bucket::Bucket;
use chain::{Chain, DevChain, SystemClock};
use wire::{Keypair, Layout, Netuid, RunDescription};

use super::{Node, Pace, Parts, Voice};
use crate::config::Config;
use crate::failure::Failure;

/// Time for one request to a bucket, before what its size takes.
const REQUEST: Duration = Duration::from_secs(20);
/// Further than this from the chain's newest block no clock of an honest machine is.
const CLOCK_SKEW_MAX_MS: u64 = 60_000;

/// The bucket that a configuration names, as an absolute place.
pub(crate) fn own_place(config: &Config) -> Result<String, Failure> {
    let named = &config.network.bucket;
    if named.contains(':') {
        return Ok(named.clone());
    }
    let path = match named.is_empty() {
        true => config.dir().join("bucket"),
        false => PathBuf::from(named),
    };
    let path = std::path::absolute(&path).map_err(|error| Failure::io("find", &path, &error))?;
    Ok(path.display().to_string())
}

/// The chain that a configuration names.
pub(crate) fn open_chain(path: &Path) -> Result<DevChain, Failure> {
    Ok(DevChain::open(path, Arc::new(SystemClock))?)
}

/// Takes the node's seat in its network.
pub(crate) async fn join(
    config: &Config,
    run: &RunDescription,
    layout: &Layout,
    keypair: Keypair,
    voice: Arc<dyn Voice>,
    stop: Arc<AtomicBool>,
) -> Result<Node, Failure> {
    let chain = open_chain(&config.network.chain)?;
    check_clock(&chain)?;
    let place = own_place(config)?;
    let parts = Parts {
        run: run.clone(),
        layout: layout.clone(),
        keypair,
        netuid: Netuid(config.network.netuid),
        chain: Arc::new(chain),
        bucket: Bucket::create(&place)?,
        place,
        opener: Arc::new(|place: &str| Bucket::open(place)),
        pace: Pace { poll: Duration::from_millis(config.network.poll_ms), request: REQUEST },
        voice,
        stop,
    };
    Node::join(parts).await
}

/// Refuses to start with a clock that contradicts the chain's.
fn check_clock(chain: &dyn Chain) -> Result<(), Failure> {
    let now_ms = chain::Clock::now_ms(&SystemClock);
    let head = chain.head()?;
    let apart_ms = now_ms.abs_diff(head.timestamp_ms);
    if apart_ms <= CLOCK_SKEW_MAX_MS {
        return Ok(());
    }
    let way = if now_ms > head.timestamp_ms { "ahead of" } else { "behind" };
    Err(Failure::precondition(format!(
        "this machine's clock is {} s {way} the chain's newest block; set it by NTP, or wait until \
         the chain has caught up",
        apart_ms / 1_000
    )))
}
