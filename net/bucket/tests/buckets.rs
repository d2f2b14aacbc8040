//! The conformance suite on each kind of bucket, and what only a folder can get wrong.

mod conformance;
mod s3_server;

use bucket::{Bucket, BucketError, Bytes, KeyPrefix, ObjectKey, PutMode, Spooled};
use conformance::Creates;
use wire::{Joined, RunId, Window};

const RUN: RunId = RunId([1; 32]);

fn folder_bucket() -> (tempfile::TempDir, Bucket) {
    let folder = tempfile::tempdir().unwrap();
    let bucket = Bucket::create(folder.path().join("own/bucket").to_str().unwrap()).unwrap();
    (folder, bucket)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_holds_in_memory() {
    conformance::every_rule_holds(&Bucket::memory(), Creates::Atomic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_holds_in_a_folder() {
    let (_folder, bucket) = folder_bucket();
    conformance::every_rule_holds(&bucket, Creates::Atomic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rule_holds_on_an_s3_server() {
    let Some(bucket) = s3_server::bucket('c') else { return };
    bucket.check().await.unwrap();
    conformance::every_rule_holds(&bucket, Creates::Racing).await;
}

#[tokio::test]
async fn names_that_are_not_keys_are_not_listed() {
    let (folder, bucket) = folder_bucket();
    let key = ObjectKey::checkpoint(RUN, Window(1), 0);
    bucket.put(&key, Bytes::from_static(b"x"), PutMode::Create).await.unwrap();
    let path = folder.path().join("own/bucket").join(key.to_string());
    for name in ["README", "000000#1", "\u{1b}[2J", "1"] {
        std::fs::write(path.with_file_name(name), "stranger").unwrap();
    }
    let listed = bucket.list(&KeyPrefix::Checkpoints { run: RUN }).await.unwrap();
    assert_eq!(listed.iter().map(|object| object.key).collect::<Vec<_>>(), [key]);
}

#[tokio::test]
async fn a_put_leaves_nothing_but_the_object() {
    let (folder, bucket) = folder_bucket();
    let key = ObjectKey::checkpoint(RUN, Window(1), 0);
    for mode in [PutMode::Create, PutMode::Overwrite, PutMode::Create] {
        let _ = bucket.put(&key, Bytes::from_static(b"x"), mode).await;
    }
    let path = folder.path().join("own/bucket").join(key.to_string());
    let names: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn a_large_body_that_lies_in_pieces_is_one_object_in_a_folder() {
    let (folder, bucket) = folder_bucket();
    let piece: Vec<u8> = (0..24 << 20).map(|at| (at >> 9) as u8).collect();
    let spooled = Spooled::from(Bytes::from(piece.clone()));
    let lengths = [piece.len() as u64, 5, piece.len() as u64, piece.len() as u64];
    let joined = Joined::new(lengths.map(|bytes| (spooled.clone(), 0..bytes)));
    let key = ObjectKey::checkpoint(RUN, Window(1), 0);
    bucket.put(&key, joined.clone(), PutMode::Create).await.unwrap();
    let path = folder.path().join("own/bucket").join(key.to_string());
    let whole = [&piece[..], &piece[..5], &piece[..], &piece[..]].concat();
    assert!(std::fs::read(&path).unwrap() == whole);
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
    let again = bucket.put(&key, joined, PutMode::Create).await;
    assert!(matches!(again, Err(BucketError::Exists { .. })), "{again:?}");
}

#[test]
fn a_folder_that_is_not_there_is_not_made_by_opening_it() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent");
    let error = Bucket::open(absent.to_str().unwrap()).unwrap_err();
    assert!(matches!(error, BucketError::NoFolder { .. }), "{error}");
    assert!(!absent.exists());
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    assert!(Bucket::open(file.to_str().unwrap()).is_err());
    assert!(Bucket::create(file.to_str().unwrap()).is_err());
}
