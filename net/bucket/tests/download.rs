//! Large objects in ranges, many objects within one budget, and what is done when a source fails.
//! Time is stopped: waiting costs none, and deadlines fall where they were set.

use std::time::Duration;

use bucket::{
    Bucket, BucketError, Bytes, Fault, FaultPlan, Fetch, FetchFault, Limits, ObjectKey, PutMode,
    Sources, Spool, Spooled, fetch_all,
};
use futures::StreamExt;
use tokio::time::Instant;
use wire::{Content, Digest, ReadAt, RunId, Window};

const HOUR: Duration = Duration::from_secs(3_600);

fn key(part: u32) -> ObjectKey {
    ObjectKey::checkpoint(RunId([5; 32]), Window(1), part)
}

fn body(seed: u8, bytes: usize) -> Bytes {
    (0..bytes).map(|at| (at >> 11) as u8 ^ at as u8 ^ seed).collect::<Vec<_>>().into()
}

fn plan(rules: &str) -> FaultPlan {
    FaultPlan::parse(rules).unwrap()
}

async fn holding(objects: &[(u32, &Bytes)]) -> Bucket {
    let bucket = Bucket::memory();
    for (part, body) in objects {
        bucket.put(&key(*part), (*body).clone(), PutMode::Create).await.unwrap();
    }
    bucket
}

fn fetch(part: u32, body: &Bytes, sources: impl IntoIterator<Item = Bucket>) -> Fetch {
    let hash = Digest(*blake3::hash(body).as_bytes());
    let (bytes, sources) = (body.len() as u64, Sources::new(sources));
    Fetch { key: key(part), bytes, hash: Some(hash), sources }
}

fn spool() -> Spool {
    Spool::new(&std::env::temp_dir())
}

fn bytes(spooled: Spooled) -> Bytes {
    let bytes = spooled.to_bytes().unwrap();
    assert_eq!(spooled.content(), Content::of(&bytes));
    bytes
}

async fn fetch_one(request: Fetch, timeout: Duration) -> Result<Bytes, FetchFault> {
    spool().fetch(&request, Instant::now() + timeout).await.map(bytes)
}

#[tokio::test(start_paused = true)]
async fn an_object_of_any_length_is_what_was_put_and_has_its_hash() {
    const RANGE: usize = 8 << 20;
    // Trees of one to seven ranges, all in a file.
    let lengths = (2..7).map(|ranges| ranges * RANGE + 77 * (ranges % 3));
    for bytes in [0, 1, RANGE - 1, RANGE, RANGE + 1].into_iter().chain(lengths) {
        let body = body(1, bytes);
        let bucket = holding(&[(0, &body)]).await;
        let spool = Spool::with_budgets(&std::env::temp_dir(), 0, 64 << 20);
        let fetched = spool.fetch(&fetch(0, &body, [bucket]), Instant::now() + HOUR).await;
        assert!(self::bytes(fetched.unwrap()) == body, "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_download_goes_on_after_faults_in_the_middle() {
    let body = body(2, 40 << 20);
    for fault in ["unavailable", "truncated-body", "hang", "unreachable", "too-many-requests"] {
        let rule = format!("[[rule]]\nfault = {{ kind = \"{fault}\" }}\noperations = [\"get\"]\n");
        let faulty =
            holding(&[(0, &body)]).await.with_faults(plan(&format!("{rule}chance = 0.3")), 3);
        let whole = fetch_one(fetch(0, &body, [faulty]), HOUR).await.unwrap();
        assert!(whole == body, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mirror_stands_in_for_an_owner_that_fails_midway() {
    let body = body(3, 40 << 20);
    let mirror = holding(&[(0, &body)]).await;
    for rule in ["nth = 3", "chance = 0.5", "first = 1000"] {
        for fault in ["hang", "internal-error", "truncated-body"] {
            let owner = holding(&[(0, &body)]).await;
            let rule = format!(
                "[[rule]]\nfault = {{ kind = \"{fault}\" }}\noperations = [\"get\"]\n{rule}"
            );
            let sources = [owner.with_faults(plan(&rule), 1), mirror.clone()];
            let whole = fetch_one(fetch(0, &body, sources), HOUR).await.unwrap();
            assert!(whole == body, "{fault} {rule}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_bytes_are_fetched_again_from_the_next_source() {
    let body = body(4, 20 << 20);
    let wrong = "[[rule]]\nfault = { kind = \"wrong-bytes\" }";
    let owner = holding(&[(0, &body)]).await.with_faults(plan(wrong), 1);
    let mirror = holding(&[(0, &body)]).await;
    assert!(fetch_one(fetch(0, &body, [owner.clone(), mirror]), HOUR).await.unwrap() == body);
    let alone = fetch_one(fetch(0, &body, [owner]), HOUR).await;
    assert!(matches!(alone, Err(FetchFault::Hash { .. })), "{alone:?}");
    let once = "[[rule]]\nfault = { kind = \"wrong-bytes\" }\nfirst = 1";
    let healed = holding(&[(0, &body)]).await.with_faults(plan(once), 1);
    assert!(fetch_one(fetch(0, &body, [healed]), HOUR).await.unwrap() == body);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_as_promised_is_named() {
    let body = body(5, 1_000);
    let bucket = holding(&[(0, &body)]).await;
    let missing = fetch_one(fetch(7, &body, [bucket.clone()]), HOUR).await;
    assert!(matches!(missing, Err(FetchFault::Missing)), "{missing:?}");
    for promised in [999, 1_001] {
        let request = Fetch { bytes: promised, ..fetch(0, &body, [bucket.clone()]) };
        match fetch_one(request, HOUR).await {
            Err(FetchFault::Length { bytes: 1_000, bytes_expected }) => {
                assert_eq!(bytes_expected, promised);
            }
            other => panic!("{other:?}"),
        }
    }
    let nowhere = fetch_one(fetch(0, &body, []), HOUR).await;
    assert!(matches!(nowhere, Err(FetchFault::Missing)), "{nowhere:?}");
    assert!(fetch_one(fetch(9, &Bytes::new(), []), HOUR).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_what_hangs_and_what_drips() {
    let body = body(6, 100_000);
    for fault in ["{ kind = \"hang\" }", "{ kind = \"slow-drip\", bytes_per_s = 100 }"] {
        let plan = plan(&format!("[[rule]]\nfault = {fault}"));
        let bucket = holding(&[(0, &body)]).await.with_faults(plan, 1);
        let clock = Instant::now();
        let late = fetch_one(fetch(0, &body, [bucket]), Duration::from_secs(8)).await;
        assert!(matches!(late, Err(FetchFault::Late)), "{fault}: {late:?}");
        assert_eq!(clock.elapsed(), Duration::from_secs(8));
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_object_does_not_hold_up_the_others() {
    let bodies: Vec<_> = (0..20).map(|at| body(at, 30_000)).collect();
    let all: Vec<_> = (0..20).zip(&bodies).collect();
    let bucket = holding(&all).await;
    let hang = FaultPlan { rules: Vec::new() };
    let dead = bucket.clone().with_faults(plan("[[rule]]\nfault = { kind = \"hang\" }"), 1);
    let alive = bucket.with_faults(hang, 1);
    let requests = all
        .iter()
        .map(|(at, body)| fetch(*at, body, [if *at == 3 { dead.clone() } else { alive.clone() }]));
    let deadline = Instant::now() + Duration::from_secs(9);
    let narrow = Spool::with_budgets(&std::env::temp_dir(), 0, 200_000);
    let done: Vec<_> = fetch_all(&narrow, requests.collect(), deadline).collect().await;
    let (last, others) = done.split_last().unwrap();
    assert!(matches!(last, (3, Err(FetchFault::Late))), "{last:?}");
    assert_eq!(others.len(), 19);
    for (index, fetched) in others {
        assert_eq!(bytes(fetched.as_ref().unwrap().clone()), bodies[*index]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_larger_than_the_budget_goes_alone() {
    let (large, small) = (body(1, 200_000), body(2, 10));
    let bucket = holding(&[(0, &large), (1, &small)]).await;
    let requests = vec![fetch(0, &large, [bucket.clone()]), fetch(1, &small, [bucket])];
    let narrow = Spool::with_budgets(&std::env::temp_dir(), 1 << 20, 50_000);
    let mut fetches = Box::pin(fetch_all(&narrow, requests, Instant::now() + HOUR));
    let mut arrived = 0;
    while let Some((_, fetched)) = fetches.next().await {
        fetched.unwrap();
        arrived += 1;
    }
    assert_eq!(arrived, 2);
}

#[tokio::test(start_paused = true)]
async fn late_visibility_is_waited_for_within_the_retries() {
    let body = body(8, 5_000);
    let late = "[[rule]]\nfault = { kind = \"late-visibility\", lookups = 2 }";
    let bucket = holding(&[(0, &body)]).await.with_faults(plan(late), 1);
    let first = bucket.get(&key(0), Limits { bytes_max: 5_000, timeout: HOUR }).await;
    assert!(matches!(first, Err(BucketError::NotFound { .. })), "{first:?}");
    assert!(fetch_one(fetch(0, &body, [bucket]), HOUR).await.unwrap() == body);
}

#[test]
fn rules_can_be_written_in_rust_as_well() {
    let text = "[[rule]]\nfault = { kind = \"slow-drip\", bytes_per_s = 7 }";
    assert_eq!(plan(text).rules[0].fault, Fault::SlowDrip { bytes_per_s: 7 });
}

#[tokio::test(start_paused = true)]
async fn an_object_reads_the_same_from_memory_and_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let body = body(10, 9 << 20);
    let bucket = holding(&[(0, &body), (1, &body.slice(..70_000))]).await;
    let (large, small) = (fetch(0, &body, [bucket.clone()]), body.slice(..70_000));
    let small = fetch(1, &small, [bucket]);
    let deadline = Instant::now() + HOUR;
    for kept_bytes in [0, 1 << 20] {
        let spool = Spool::with_budgets(folder.path(), kept_bytes, 1 << 20);
        for request in [&large, &small, &small] {
            let spooled = spool.fetch(request, deadline).await.unwrap();
            assert_eq!(spooled.content().bytes, request.bytes);
            let mut middle = vec![0; 40_000];
            spooled.read_at(20_000, &mut middle).unwrap();
            assert_eq!(middle, body[20_000..60_000]);
            assert!(spooled.read_at(request.bytes - 10, &mut middle).is_err());
        }
    }
    // The files have no names, so that none is left behind by whoever is killed.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_object_without_a_promised_hash_is_taken_as_it_is() {
    let body = body(11, 3_000);
    let bucket = holding(&[(0, &body)]).await;
    let request = Fetch { hash: None, ..fetch(0, &Bytes::new(), [bucket]) };
    let short = spool().fetch(&request, Instant::now() + HOUR).await.map(bytes);
    assert_eq!(short.unwrap(), Bytes::new());
    let whole = spool().fetch(&Fetch { bytes: 3_000, ..request }, Instant::now() + HOUR).await;
    assert_eq!(bytes(whole.unwrap()), body);
}

#[tokio::test(start_paused = true)]
async fn a_spool_without_a_folder_is_this_machines_fault() {
    let body = body(12, 9 << 20);
    let bucket = holding(&[(0, &body)]).await;
    let nowhere = Spool::new(std::path::Path::new("/no such folder"));
    let request = fetch(0, &body, [bucket]);
    let fault = nowhere.fetch(&request, Instant::now() + HOUR).await.unwrap_err();
    assert!(matches!(fault, FetchFault::Spool { .. }), "{fault:?}");
    assert!(fault.to_string().contains("/no such folder"), "{fault}");
}
