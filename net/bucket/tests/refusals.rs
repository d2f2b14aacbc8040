//! Each way in which an S3 service refuses, as its own error; and what is asked again, and when.

mod canned_server;

use std::time::{Duration, Instant};

use bucket::{Bucket, BucketError, Bytes, Credentials, Limits, ObjectKey, Pace, PutMode};
use canned_server::{CannedServer, body, refusal};
use wire::{RunId, Window};

const KEY: ObjectKey =
    ObjectKey::CheckpointPart { run: RunId([1; 32]), window: Window(1), part: 0 };
const LIMITS: Limits = Limits { bytes_max: 1 << 20, timeout: Duration::from_secs(20) };
const SECRET: &str = "the-secret-half";

fn bucket(server: &CannedServer) -> Bucket {
    let place = format!("s3://bucket?endpoint=http://{}", server.address).parse().unwrap();
    let bucket = Bucket::open_with(&place, &Credentials::new("ACCESS", SECRET).unwrap()).unwrap();
    let pace = Pace { attempts_max: 3, pause: Duration::from_millis(1), ..bucket.pace() };
    bucket.with_pace(pace)
}

/// The error of get, put and check against a server that always answers the same.
async fn errors(answer: String) -> Vec<(BucketError, usize)> {
    let mut errors = Vec::new();
    for request in 0..3 {
        let answer = answer.clone();
        let server = CannedServer::start(move |_, _| answer.clone());
        let bucket = bucket(&server);
        let done = match request {
            0 => bucket.get(&KEY, LIMITS).await.map(drop),
            1 => bucket.put(&KEY, Bytes::from_static(b"x"), PutMode::Create).await,
            _ => bucket.check().await,
        };
        let error = done.unwrap_err();
        assert!(!format!("{error} {error:?} {bucket:?}").contains(SECRET), "{error:?}");
        errors.push((error, server.seen().len()));
    }
    errors
}

#[tokio::test]
async fn what_a_person_has_to_mend_is_said_at_once() {
    use BucketError as E;
    type Is = fn(&BucketError) -> bool;
    let cases: [(&str, &str, Is); 7] = [
        ("403 Forbidden", "InvalidAccessKeyId", |e| matches!(e, E::WrongKey { .. })),
        ("403 Forbidden", "SignatureDoesNotMatch", |e| matches!(e, E::WrongKey { .. })),
        ("401 Unauthorized", "Unauthorized", |e| matches!(e, E::WrongKey { .. })),
        ("403 Forbidden", "AccessDenied", |e| matches!(e, E::Permission { .. })),
        ("403 Forbidden", "RequestTimeTooSkewed", |e| matches!(e, E::ClockSkew { .. })),
        ("404 Not Found", "NoSuchBucket", |e| matches!(e, E::NoBucket { .. })),
        ("301 Moved Permanently", "PermanentRedirect", |e| matches!(e, E::Region { .. })),
    ];
    for (status, code, is) in cases {
        for (error, requests) in errors(refusal(status, "", code)).await {
            assert!(is(&error), "{code}: {error:?}");
            assert_eq!(requests, 1, "{code}: {error}");
        }
    }
}

#[tokio::test]
async fn what_passes_by_itself_is_asked_again_and_then_reported() {
    for (status, code) in [
        ("429 Too Many Requests", "TooManyRequests"),
        ("500 Internal Server Error", "InternalError"),
        ("503 Service Unavailable", "SlowDown"),
        ("409 Conflict", "ConditionalRequestConflict"),
    ] {
        for (error, requests) in errors(refusal(status, "", code)).await {
            assert!(matches!(error, BucketError::Unavailable { .. }), "{code}: {error:?}");
            assert!(error.to_string().contains(&status[..3]), "{error}");
            assert_eq!(requests, 3, "{code}: {error}");
        }
    }
}

#[tokio::test]
async fn a_permission_error_names_what_is_not_allowed() {
    let texts: Vec<_> = errors(refusal("403 Forbidden", "", "AccessDenied")).await;
    for ((error, _), verb) in texts.iter().zip(["read", "write", "list"]) {
        assert!(error.to_string().contains(&format!("permission to {verb}")), "{error}");
    }
}

#[tokio::test]
async fn retry_after_is_granted() {
    let server = CannedServer::start(|_, number| match number {
        0 => refusal("503 Service Unavailable", "Retry-After: 1\r\n", "SlowDown"),
        _ => body("200 OK", "Last-Modified: Thu, 01 Oct 2026 10:00:00 GMT\r\n", "hello"),
    });
    let clock = Instant::now();
    assert_eq!(bucket(&server).get(&KEY, LIMITS).await.unwrap(), "hello");
    assert!(clock.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_body_that_ends_early_is_asked_for_again() {
    let modified = "Last-Modified: Thu, 01 Oct 2026 10:00:00 GMT\r\n";
    let server = CannedServer::start(move |_, number| match number {
        0 => body("200 OK", modified, "hello").trim_end_matches("lo").to_string(),
        _ => body("200 OK", modified, "hello"),
    });
    assert_eq!(bucket(&server).get(&KEY, LIMITS).await.unwrap(), "hello");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn parts_of_an_upload_that_fails_are_removed() {
    let server = CannedServer::start(|line, _| {
        let uploads = "<InitiateMultipartUploadResult><UploadId>u7</UploadId>\
                       </InitiateMultipartUploadResult>";
        match line.split(' ').next() {
            Some("POST") => body("200 OK", "", uploads),
            Some("DELETE") => body("204 No Content", "", ""),
            Some("PUT") => refusal("403 Forbidden", "", "AccessDenied"),
            _ => body("404 Not Found", "", ""),
        }
    });
    let large = Bytes::from(vec![7; (64 << 20) + 1]);
    let error = bucket(&server).put(&KEY, large, PutMode::Create).await.unwrap_err();
    assert!(matches!(error, BucketError::Permission { .. }), "{error:?}");
    let removed = |line: &String| line.starts_with("DELETE") && line.contains("uploadId=u7");
    assert!(server.seen().iter().any(removed), "{:?}", server.seen());
}
