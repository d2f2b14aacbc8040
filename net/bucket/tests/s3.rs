//! What only a real S3 server shows: uploads in parts, ranges of them, lists of several pages, and
//! its own words for a wrong key or bucket. Skipped, plainly, where `ci/s3` was not started.

mod s3_server;

use std::time::Duration;

use bucket::{
    Bucket, BucketError, Bytes, Credentials, Fetch, KeyPrefix, Limits, ObjectKey, Pace, PutMode,
    Sources, Spool,
};
use futures::StreamExt;
use tokio::time::Instant;
use wire::{Digest, RunId, Window};

const RUN: RunId = RunId([3; 32]);
const MINUTE: Duration = Duration::from_secs(60);

fn part(part: u32) -> ObjectKey {
    ObjectKey::checkpoint(RUN, Window(1), part)
}

#[tokio::test]
async fn an_object_above_64_mib_goes_in_parts_and_comes_back_whole() {
    let Some(bucket) = s3_server::bucket('p') else { return };
    let body: Vec<u8> = (0..(65 << 20) + 12_345u32).map(|at| (at >> 8) as u8 ^ at as u8).collect();
    let body = Bytes::from(body);
    bucket.put(&part(0), body.clone(), PutMode::Create).await.unwrap();
    let again = bucket.put(&part(0), body.clone(), PutMode::Create).await;
    assert!(matches!(again, Err(BucketError::Exists { .. })), "{again:?}");
    let limits = Limits { bytes_max: 1 << 30, timeout: MINUTE };
    assert!(bucket.get(&part(0), limits).await.unwrap() == body);
    let seam = (16 << 20) - 5..(16 << 20) + 5;
    let range = bucket.get_range(&part(0), seam.start as u64..seam.end as u64, MINUTE).await;
    assert_eq!(range.unwrap(), body[seam]);
    let hash = Digest(*blake3::hash(&body).as_bytes());
    let sources = Sources::new([bucket]);
    let request = Fetch { key: part(0), bytes: body.len() as u64, hash: Some(hash), sources };
    let spool = Spool::new(&std::env::temp_dir());
    let fetched = spool.fetch(&request, Instant::now() + MINUTE).await.unwrap();
    assert!(fetched.to_bytes().unwrap() == body);
}

#[tokio::test]
async fn a_list_of_several_pages_is_one_list() {
    let Some(bucket) = s3_server::bucket('l') else { return };
    let puts = (0..1_003).map(|at| {
        let bucket = bucket.clone();
        async move { bucket.put(&part(at), Bytes::from_static(b"x"), PutMode::Overwrite).await }
    });
    let done: Vec<_> = futures::stream::iter(puts).buffer_unordered(16).collect().await;
    assert!(done.iter().all(Result::is_ok));
    let listed = bucket.list(&KeyPrefix::Checkpoints { run: RUN }).await.unwrap();
    assert!(listed.iter().map(|object| object.key).eq((0..1_003).map(part)));
}

#[tokio::test]
async fn a_wrong_key_and_a_missing_bucket_are_told_apart() {
    let Some(place) = s3_server::place('w') else { return };
    let right = s3_server::credentials();
    for (access, secret) in [("nobody", "s3cr3t"), (right.access_key(), "s3cr3t")] {
        let wrong = Credentials::new(access, secret).unwrap();
        let error = Bucket::open_with(&place, &wrong).unwrap().check().await.unwrap_err();
        assert!(matches!(error, BucketError::WrongKey { .. }), "{access}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
    }
    let elsewhere = place.to_string().replace("s3://", "s3://absent-").parse().unwrap();
    let bucket = Bucket::open_with(&elsewhere, &right).unwrap();
    let error = bucket.check().await.unwrap_err();
    assert!(matches!(error, BucketError::NoBucket { .. }), "{error:?}");
    // A put would say the same of S3 and R2; s3s-fs 0.14 makes the bucket instead.
}

#[tokio::test]
async fn an_endpoint_where_nobody_listens_is_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = format!("s3://bucket?endpoint=http://{free}").parse().unwrap();
    let key = Credentials::new("access", "s3cr3t").unwrap();
    let bucket = Bucket::open_with(&place, &key).unwrap();
    let pace = Pace { attempts_max: 2, pause: Duration::from_millis(1), ..bucket.pace() };
    let error = bucket.with_pace(pace).check().await.unwrap_err();
    assert!(matches!(error, BucketError::Unreachable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(&free.to_string()) && text.contains("refused"), "{text}");
}
