//! Each kind of fault is really shown, and what it does to get, put and list: survived by another
//! attempt, or reported. Time is stopped, so that hours of hanging cost nothing.

use std::time::Duration;

use bucket::{Bucket, BucketError, Bytes, FaultPlan, KeyPrefix, Limits, ObjectKey, PutMode};
use tokio::time::Instant;
use wire::{Hotkey, RunId, Window};

const RUN: RunId = RunId([6; 32]);
const LIMITS: Limits = Limits { bytes_max: 1 << 20, timeout: Duration::from_secs(3_600) };
const BODY: Bytes = Bytes::from_static(&[0xa5; 60_000]);

fn key(window: u64) -> ObjectKey {
    ObjectKey::contribution(RUN, Window(window), Hotkey([1; 32]))
}

fn prefix(window: u64) -> KeyPrefix {
    KeyPrefix::Contributions { run: RUN, window: Window(window) }
}

/// A bucket that holds one object of windows 1 to 3, and then shows `fault`.
async fn faulty(fault: &str, when: &str) -> Bucket {
    let bucket = Bucket::memory();
    for window in 1..=3 {
        bucket.put(&key(window), BODY, PutMode::Create).await.unwrap();
    }
    let plan = format!("[[rule]]\nfault = {{ {fault} }}\n{when}");
    bucket.with_faults(FaultPlan::parse(&plan).unwrap(), 11)
}

async fn get(bucket: &Bucket) -> Result<Bytes, BucketError> {
    bucket.get(&key(1), LIMITS).await
}

async fn put(bucket: &Bucket) -> Result<(), BucketError> {
    bucket.put(&key(9), BODY, PutMode::Create).await
}

#[tokio::test(start_paused = true)]
async fn what_passes_is_survived_and_what_stays_is_reported() {
    use BucketError as E;
    type Is = fn(&BucketError) -> bool;
    let cases: [(&str, Is); 5] = [
        (
            "kind = \"too-many-requests\"",
            |e| matches!(e, E::Unavailable { answer, .. } if answer.contains("429")),
        ),
        (
            "kind = \"internal-error\"",
            |e| matches!(e, E::Unavailable { answer, .. } if answer.contains("500")),
        ),
        (
            "kind = \"unavailable\"",
            |e| matches!(e, E::Unavailable { answer, .. } if answer.contains("503")),
        ),
        ("kind = \"unreachable\"", |e| matches!(e, E::Unreachable { .. })),
        ("kind = \"hang\"", |e| matches!(e, E::TimedOut { .. })),
    ];
    for (fault, is) in cases {
        let passing = faulty(fault, "first = 3").await;
        assert_eq!(get(&passing).await.unwrap(), BODY, "{fault}");
        put(&passing).await.unwrap();
        assert_eq!(passing.list(&prefix(1)).await.unwrap().len(), 1, "{fault}");
        assert_eq!(passing.head(&key(1)).await.unwrap().bytes, 60_000, "{fault}");
        passing.delete(&key(1)).await.unwrap();
        let staying = faulty(fault, "").await;
        let errors = [
            get(&staying).await.map(drop),
            put(&staying).await,
            staying.head(&key(1)).await.map(drop),
            staying.list(&prefix(1)).await.map(drop),
            staying.delete(&key(1)).await,
            staying.check().await,
        ];
        for error in errors {
            assert!(is(error.as_ref().unwrap_err()), "{fault}: {error:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_asks_for_time_gets_it() {
    let bucket = faulty("kind = \"unavailable\", retry_after_ms = 20000", "first = 2").await;
    let clock = Instant::now();
    assert_eq!(get(&bucket).await.unwrap(), BODY);
    assert!(clock.elapsed() >= Duration::from_secs(40), "{:?}", clock.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_cut_short_is_never_taken_for_the_object() {
    let cut = "kind = \"truncated-body\"";
    assert_eq!(get(&faulty(cut, "first = 2").await).await.unwrap(), BODY);
    let error = get(&faulty(cut, "").await).await.unwrap_err();
    match error {
        BucketError::Truncated { bytes, bytes_expected, .. } => {
            assert_eq!((bytes, bytes_expected), (30_000, 60_000));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_read_until_it_is_too_slow() {
    let bucket = faulty("kind = \"slow-drip\", bytes_per_s = 10000", "").await;
    let clock = Instant::now();
    assert_eq!(get(&bucket).await.unwrap(), BODY);
    assert!((5.0..7.0).contains(&clock.elapsed().as_secs_f64()), "{:?}", clock.elapsed());
    let error = get(&faulty("kind = \"slow-drip\", bytes_per_s = 1000", "").await).await;
    assert!(matches!(error, Err(BucketError::TimedOut { .. })), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn wrong_bytes_have_the_right_length_and_one_wrong_bit() {
    let wrong = get(&faulty("kind = \"wrong-bytes\"", "").await).await.unwrap();
    assert_eq!(wrong.len(), BODY.len());
    let bits: u32 = wrong.iter().zip(&BODY).map(|(a, b)| (a ^ b).count_ones()).sum();
    assert_eq!(bits, 1);
}

#[tokio::test(start_paused = true)]
async fn a_stale_list_lags_behind() {
    let bucket = faulty("kind = \"stale-list\"", "nth = 2").await;
    let count = async || bucket.list(&prefix(1)).await.unwrap().len();
    assert_eq!(count().await, 1);
    let other = ObjectKey::contribution(RUN, Window(1), Hotkey([2; 32]));
    bucket.put(&other, BODY, PutMode::Create).await.unwrap();
    assert_eq!(count().await, 1);
    assert_eq!(count().await, 2);
}

#[tokio::test(start_paused = true)]
async fn an_object_becomes_visible_after_its_delay() {
    let bucket = faulty("kind = \"late-visibility\", delay_ms = 5000", "").await;
    put(&bucket).await.unwrap();
    let hidden = bucket.get(&key(9), LIMITS).await;
    assert!(matches!(hidden, Err(BucketError::NotFound { .. })), "{hidden:?}");
    assert!(bucket.list(&prefix(9)).await.unwrap().is_empty());
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(bucket.get(&key(9), LIMITS).await.unwrap(), BODY);
    assert_eq!(bucket.list(&prefix(9)).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_skewed_clock_shifts_all_times() {
    let right = faulty("kind = \"hang\"", "nth = 99").await.head(&key(1)).await.unwrap();
    for shift_ms in [-3_600_000, 3_600_000] {
        let bucket = faulty(&format!("kind = \"clock-skew\", shift_ms = {shift_ms}"), "").await;
        let listed = bucket.list(&prefix(1)).await.unwrap()[0];
        for skewed in [bucket.head(&key(1)).await.unwrap(), listed] {
            let shift = skewed.modified_ms as i64 - right.modified_ms as i64;
            // The objects are of two buckets, made within this test.
            assert!((shift - shift_ms).abs() < 60_000, "{shift}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_said_at_once_and_reading_goes_on() {
    let bucket = faulty("kind = \"disk-full\"", "").await;
    let clock = Instant::now();
    let error = put(&bucket).await.unwrap_err();
    assert!(matches!(error, BucketError::DiskFull { .. }), "{error:?}");
    assert_eq!(clock.elapsed(), Duration::ZERO);
    assert_eq!(get(&bucket).await.unwrap(), BODY);
}

#[tokio::test(start_paused = true)]
async fn a_put_whose_answer_was_lost_is_not_taken_for_another_ones() {
    let bucket = faulty("kind = \"lost-answer\"", "nth = 1").await;
    put(&bucket).await.unwrap();
    assert_eq!(bucket.get(&key(9), LIMITS).await.unwrap(), BODY);
    // With another body there, the same course of events is a conflict.
    let bucket = faulty("kind = \"unreachable\"", "operations = [\"put\"]\nnth = 1").await;
    let other = Bytes::from_static(b"other");
    let error = bucket.put(&key(1), other, PutMode::Create).await.unwrap_err();
    assert!(matches!(error, BucketError::Exists { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_upload_in_parts_survives_what_passes() {
    for fault in ["kind = \"unavailable\"", "kind = \"hang\"", "kind = \"lost-answer\""] {
        let bucket = faulty(fault, "chance = 0.2").await;
        let large = Bytes::from(vec![3; (64 << 20) + 5]);
        bucket.put(&key(9), large.clone(), PutMode::Create).await.unwrap();
        let limits = Limits { bytes_max: 1 << 30, ..LIMITS };
        assert!(bucket.get(&key(9), limits).await.unwrap() == large, "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_plan_and_seed_give_the_same_course_of_events() {
    async fn course(seed: u64) -> Vec<(bool, Duration)> {
        let rules = "
            [[rule]]
            fault = { kind = \"unavailable\", retry_after_ms = 700 }
            chance = 0.4
            [[rule]]
            fault = { kind = \"hang\" }
            chance = 0.3
        ";
        let bucket = Bucket::memory();
        for window in 1..=20 {
            bucket.put(&key(window), BODY, PutMode::Create).await.unwrap();
        }
        let bucket = bucket.with_faults(FaultPlan::parse(rules).unwrap(), seed);
        let clock = Instant::now();
        let mut course = Vec::new();
        for window in 1..=20 {
            let got = bucket.get(&key(window), LIMITS).await;
            course.push((got.is_ok(), clock.elapsed()));
        }
        course
    }
    let first = course(5).await;
    assert_eq!(first, course(5).await);
    assert_ne!(first, course(6).await);
    assert!(first.iter().any(|(is_ok, _)| *is_ok) && first.iter().any(|(is_ok, _)| !is_ok));
}
