//! What every bucket must do, whatever stores it.

use std::time::Duration;

use bucket::{Bucket, BucketError, Bytes, KeyPrefix, Limits, ObjectKey, PutMode};
use wire::{Hotkey, RunId, Window};

const RUN: RunId = RunId([0xab; 32]);
const MINUTE: Duration = Duration::from_secs(60);
const LIMITS: Limits = Limits { bytes_max: 1 << 20, timeout: MINUTE };

fn key(window: u64, peer: u8) -> ObjectKey {
    ObjectKey::contribution(RUN, Window(window), Hotkey([peer; 32]))
}

/// What becomes of several puts that must create one object at the same time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Creates {
    /// One of them does.
    Atomic,
    /// The server looks, then writes: several may believe that they did. S3 and R2 do not do so;
    /// s3s-fs 0.14 does.
    Racing,
}

/// Runs all of it on one bucket that is empty.
pub(crate) async fn every_rule_holds(bucket: &Bucket, creates: Creates) {
    what_is_put_is_got(bucket).await;
    create_leaves_what_is_there(bucket).await;
    a_missing_object_is_named(bucket).await;
    a_large_object_is_refused_by_its_size(bucket).await;
    ranges_are_exact_or_refused(bucket).await;
    lists_hold_the_keys_under_a_prefix_in_order(bucket).await;
    deleting_twice_is_deleting_once(bucket).await;
    puts_at_once_leave_one_of_them_whole(bucket, creates).await;
}

async fn what_is_put_is_got(bucket: &Bucket) {
    for len in [0, 1, 4_096, 300_000] {
        let body = Bytes::from(vec![len as u8; len]);
        bucket.put(&key(1, 1), body.clone(), PutMode::Overwrite).await.unwrap();
        assert_eq!(bucket.get(&key(1, 1), LIMITS).await.unwrap(), body);
        let info = bucket.head(&key(1, 1)).await.unwrap();
        assert_eq!((info.key, info.bytes), (key(1, 1), len as u64));
        assert!(info.modified_ms > 1_600_000_000_000);
    }
}

async fn create_leaves_what_is_there(bucket: &Bucket) {
    bucket.put(&key(2, 1), Bytes::from_static(b"old"), PutMode::Create).await.unwrap();
    let again = bucket.put(&key(2, 1), Bytes::from_static(b"new"), PutMode::Create).await;
    assert!(matches!(again, Err(BucketError::Exists { .. })), "{again:?}");
    assert_eq!(bucket.get(&key(2, 1), LIMITS).await.unwrap(), "old");
}

async fn a_missing_object_is_named(bucket: &Bucket) {
    let missing = key(99, 9);
    let results = [
        bucket.get(&missing, LIMITS).await.map(drop),
        bucket.get_range(&missing, 0..1, MINUTE).await.map(drop),
        bucket.head(&missing).await.map(drop),
    ];
    for result in results {
        match result {
            Err(BucketError::NotFound { key, .. }) => assert_eq!(key, missing),
            other => panic!("{other:?}"),
        }
    }
}

async fn a_large_object_is_refused_by_its_size(bucket: &Bucket) {
    bucket.put(&key(3, 1), Bytes::from(vec![7; 1_000]), PutMode::Create).await.unwrap();
    let within = |bytes_max| Limits { bytes_max, timeout: MINUTE };
    assert_eq!(bucket.get(&key(3, 1), within(1_000)).await.unwrap().len(), 1_000);
    match bucket.get(&key(3, 1), within(999)).await {
        Err(BucketError::TooLarge { bytes, bytes_max, .. }) => {
            assert_eq!((bytes, bytes_max), (1_000, 999));
        }
        other => panic!("{other:?}"),
    }
}

async fn ranges_are_exact_or_refused(bucket: &Bucket) {
    let body: Vec<u8> = (0..=255).collect();
    bucket.put(&key(4, 1), Bytes::from(body.clone()), PutMode::Create).await.unwrap();
    for range in [0..1, 0..256, 17..200, 255..256] {
        let part = bucket.get_range(&key(4, 1), range.clone(), MINUTE).await.unwrap();
        assert_eq!(part, body[range.start as usize..range.end as usize]);
    }
    for range in [0..257, 256..257, 300..400, 5..5] {
        let part = bucket.get_range(&key(4, 1), range.clone(), MINUTE).await;
        assert!(matches!(part, Err(BucketError::Range { .. })), "{range:?}: {part:?}");
    }
}

async fn lists_hold_the_keys_under_a_prefix_in_order(bucket: &Bucket) {
    let prefix = |window| KeyPrefix::Contributions { run: RUN, window: Window(window) };
    for peer in [9, 2, 5] {
        bucket.put(&key(10, peer), Bytes::from_static(b"x"), PutMode::Create).await.unwrap();
    }
    bucket.put(&key(100, 1), Bytes::from_static(b"y"), PutMode::Create).await.unwrap();
    let manifest = ObjectKey::window_manifest(RUN, Window(10), Hotkey([1; 32]));
    bucket.put(&manifest, Bytes::from_static(b"z"), PutMode::Create).await.unwrap();
    let listed = bucket.list(&prefix(10)).await.unwrap();
    let keys: Vec<_> = listed.iter().map(|object| object.key).collect();
    assert_eq!(keys, [key(10, 2), key(10, 5), key(10, 9)]);
    assert!(listed.iter().all(|object| object.bytes == 1));
    assert!(bucket.list(&prefix(11)).await.unwrap().is_empty());
    let all = bucket.list(&KeyPrefix::Run { run: RUN }).await.unwrap();
    assert!(all.len() >= 5 && all.iter().any(|object| object.key == manifest));
}

async fn deleting_twice_is_deleting_once(bucket: &Bucket) {
    bucket.put(&key(5, 1), Bytes::from_static(b"x"), PutMode::Create).await.unwrap();
    bucket.delete(&key(5, 1)).await.unwrap();
    bucket.delete(&key(5, 1)).await.unwrap();
    let gone = bucket.head(&key(5, 1)).await;
    assert!(matches!(gone, Err(BucketError::NotFound { .. })), "{gone:?}");
    bucket.put(&key(5, 1), Bytes::from_static(b"y"), PutMode::Create).await.unwrap();
}

async fn puts_at_once_leave_one_of_them_whole(bucket: &Bucket, creates: Creates) {
    let put = |byte: u8| {
        let bucket = bucket.clone();
        let body = Bytes::from(vec![byte; 50_000]);
        tokio::spawn(async move { bucket.put(&key(6, 1), body, PutMode::Create).await })
    };
    let mut created = 0;
    for put in (0..8).map(put).collect::<Vec<_>>() {
        created += usize::from(put.await.unwrap().is_ok());
    }
    assert!(created == 1 || creates == Creates::Racing && created > 1, "{created}");
    let body = bucket.get(&key(6, 1), LIMITS).await.unwrap();
    assert!(body.len() == 50_000 && body.iter().all(|byte| *byte == body[0]));
}
