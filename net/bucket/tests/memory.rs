//! What a gather holds in memory, counted by the allocator. Alone in its process, because the
//! allocator is counted for all of it.

use std::alloc::System;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bucket::{Bucket, Fetch, ObjectKey, PutMode, Sources, Spool, fetch_all};
use futures::StreamExt;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::time::Instant;
use wire::{Digest, RunId, Window};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const OBJECT_BYTES: usize = 12 << 20;
const OBJECTS: u32 = 12;

fn live_bytes() -> usize {
    let stats = COUNTED.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// The most bytes that were alive at once while everything was gathered within a budget. Nothing is
/// let go before all is there.
fn peak_bytes(folder: &Path, requests: Vec<Fetch>, budget: u64) -> usize {
    let spool = Spool::with_budgets(folder, 0, budget);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (before, peak) = (live_bytes(), Arc::new(AtomicUsize::new(0)));
    let is_over = Arc::new(AtomicBool::new(false));
    let watch = {
        let (peak, is_over) = (peak.clone(), is_over.clone());
        std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                peak.fetch_max(live_bytes().saturating_sub(before), Ordering::Relaxed);
                std::thread::yield_now();
            }
        })
    };
    runtime.block_on(async {
        let deadline = Instant::now() + Duration::from_secs(600);
        let mut fetches = Box::pin(fetch_all(&spool, requests, deadline));
        let mut arrived = Vec::new();
        while let Some((_, fetched)) = fetches.next().await {
            arrived.push(fetched.unwrap());
        }
        assert_eq!(arrived.len(), OBJECTS as usize);
    });
    is_over.store(true, Ordering::Relaxed);
    watch.join().unwrap();
    peak.load(Ordering::Relaxed)
}

#[test]
fn a_gather_holds_pieces_of_objects_and_no_whole_one() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::open(folder.path().to_str().unwrap()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let body = bucket::Bytes::from(vec![7; OBJECT_BYTES]);
    let hash = Digest(*blake3::hash(&body).as_bytes());
    let mut requests = Vec::new();
    for part in 0..OBJECTS {
        let key = ObjectKey::checkpoint(RunId([1; 32]), Window(1), part);
        runtime.block_on(bucket.put(&key, body.clone(), PutMode::Create)).unwrap();
        let sources = Sources::new([bucket.clone()]);
        requests.push(Fetch { key, bytes: OBJECT_BYTES as u64, hash: Some(hash), sources });
    }
    drop((body, runtime));
    // Each is gathered in pieces of 256 KiB, two ranges at once.
    let pieces = |objects: usize| objects * 2 * (256 << 10);
    let slack = 1 << 20;
    let one = OBJECT_BYTES as u64;
    let narrow = peak_bytes(folder.path(), requests.clone(), one);
    assert!(narrow <= pieces(1) + slack, "{narrow} bytes, one object at a time");
    let wide = peak_bytes(folder.path(), requests, 3 * one);
    assert!(wide <= pieces(3) + slack, "{wide} bytes, three at a time");
}
