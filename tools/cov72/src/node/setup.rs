//! From a configuration to a node of a network: chain, bucket and key of a process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bucket::{Bucket, Credentials, FaultPlan, Place, PublicPlace, Spool};
use chain::{Chain, Clock, SystemClock};
use wire::{Keypair, Layout, Netuid, RunDescription};

use super::{FirstParams, Node, Pace, Parts, Voice};
use crate::config::{ChainKind, Config, absolute};
use crate::failure::Failure;

/// Time for one request to a bucket, before what its size takes.
pub(crate) const REQUEST: Duration = Duration::from_secs(20);
/// Further than this from the chain's newest block no clock of an honest machine is.
const CLOCK_SKEW_MAX_MS: u64 = 60_000;
/// How far Bittensor's finalized blocks may lie back beside that.
const FINALITY_MS: u64 = 120_000;

/// Runs a node to its end.
pub(crate) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::ours(format!("cannot start threads: {error}")))?
        .block_on(work)
}

/// A node's own bucket, and what others need to read it.
pub(crate) struct OwnBucket {
    pub(crate) bucket: Bucket,
    pub(crate) public: PublicPlace,
}

/// Opens the bucket that a configuration names.
pub(crate) fn own_bucket(config: &Config) -> Result<OwnBucket, Failure> {
    let (network, named) = (&config.network, own_place(config)?);
    let place: Place = named.parse()?;
    let key = |file: &Path| match file.as_os_str().is_empty() {
        true => Ok(None),
        false => Credentials::from_file(file).map(Some),
    };
    let bucket = match key(&network.write_key)? {
        Some(credentials) => Bucket::open_with(&place, &credentials)?,
        None => Bucket::create(&named)?,
    };
    Ok(OwnBucket { bucket, public: PublicPlace::new(place, key(&network.read_key)?)? })
}

/// The place that a configuration names; folders as absolute paths.
fn own_place(config: &Config) -> Result<String, Failure> {
    let named = &config.network.bucket;
    if named.contains(':') {
        return Ok(named.clone());
    }
    let path = match named.is_empty() {
        true => config.dir().join("bucket"),
        false => PathBuf::from(named),
    };
    Ok(absolute(&path)?.display().to_string())
}

/// The storage faults that a file asks for, if one is named.
pub(crate) fn faults(file: &Path) -> Result<Option<FaultPlan>, Failure> {
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
    let plan = FaultPlan::parse(&text);
    plan.map(Some).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
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
    let chain = config.open_chain()?;
    check_clock(&*chain, SystemClock.now_ms(), skew_max_ms(config.chain.kind))?;
    let OwnBucket { bucket, public } = own_bucket(config)?;
    bucket.check().await?;
    let faults = faults(&config.network.faults)?;
    let seed = u64::from_le_bytes(keypair.hotkey().0[..8].try_into().expect("eight bytes"));
    let fail = move |bucket: Bucket| match &faults {
        Some(plan) => bucket.with_faults(plan.clone(), seed),
        None => bucket,
    };
    let parts = Parts {
        run: run.clone(),
        first: FirstParams::of(run, &config.node.genesis),
        layout: layout.clone(),
        keypair,
        netuid: Netuid(config.network.netuid),
        chain,
        bucket: fail(bucket),
        place: public.to_string(),
        opener: Arc::new(move |place: &str| Ok(fail(Bucket::open_public(&place.parse()?)?))),
        spool: Spool::new(&config.dir()),
        pace: Pace { poll: Duration::from_millis(config.network.poll_ms), request: REQUEST },
        voice,
        stop,
    };
    Node::join(parts).await
}

fn skew_max_ms(kind: ChainKind) -> u64 {
    match kind {
        ChainKind::Dev => CLOCK_SKEW_MAX_MS,
        ChainKind::Subtensor => CLOCK_SKEW_MAX_MS + FINALITY_MS,
    }
}

/// Refuses to start with a clock that contradicts the chain's.
fn check_clock(chain: &dyn Chain, now_ms: u64, apart_max_ms: u64) -> Result<(), Failure> {
    let head = chain.head()?;
    let apart_ms = now_ms.abs_diff(head.timestamp_ms);
    if apart_ms <= apart_max_ms {
        return Ok(());
    }
    let way = if now_ms > head.timestamp_ms { "ahead of" } else { "behind" };
    Err(Failure::precondition(format!(
        "this machine's clock is {} s {way} the chain's newest block; set it by NTP, or wait until \
         the chain has caught up",
        apart_ms / 1_000
    )))
}

#[cfg(test)]
mod tests {
    use chain::{Blocks, DevChain, DevChainOptions, ManualClock};

    use super::*;

    #[test]
    fn a_clock_beyond_the_grace_is_refused_with_the_way_it_is_wrong() {
        const NOW_MS: u64 = 1_000_000_000;
        let blocks = Blocks::EveryMs(1_000);
        let options = DevChainOptions { blocks, ..DevChainOptions::default() };
        let chain = DevChain::in_memory(options, Arc::new(ManualClock::new(NOW_MS))).unwrap();
        assert!(check_clock(&chain, NOW_MS + CLOCK_SKEW_MAX_MS, CLOCK_SKEW_MAX_MS).is_ok());
        for (now_ms, way) in [(NOW_MS + 90_000, "90 s ahead of"), (NOW_MS - 90_000, "90 s behind")]
        {
            let refused = check_clock(&chain, now_ms, CLOCK_SKEW_MAX_MS).unwrap_err();
            assert_eq!(refused.exit, 3);
            assert!(refused.message.contains(way), "{}", refused.message);
            assert!(refused.message.contains("set it by NTP"), "{}", refused.message);
        }
    }
}
