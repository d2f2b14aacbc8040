//! The S3 server that `ci/s3` starts, for tests that need a real one.

use std::time::{SystemTime, UNIX_EPOCH};

use bucket::{Bucket, Credentials, Place};

/// A part of the test server's bucket that no other test and no earlier run uses; `test` is a
/// letter that is its own. `None`, with a line that says so, when no server was started.
pub(crate) fn bucket(test: char) -> Option<Bucket> {
    let place = place(test)?;
    Some(Bucket::open_with(&place, &credentials()).unwrap())
}

/// As [`bucket`], only its place.
pub(crate) fn place(test: char) -> Option<Place> {
    let Ok(endpoint) = std::env::var("COV72_TEST_S3") else {
        eprintln!("skipped: COV72_TEST_S3 is not set; run eval \"$(ci/s3 FOLDER)\" first");
        return None;
    };
    let name = variable("COV72_TEST_S3_BUCKET");
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    // Short, because the server has no room for a longer key.
    let prefix = format!("{test}{:06x}", now_ms % (1 << 24));
    Some(format!("s3://{name}/{prefix}?endpoint={endpoint}").parse().unwrap())
}

/// The key pair that the server knows.
pub(crate) fn credentials() -> Credentials {
    let (access, secret) =
        (variable("COV72_TEST_S3_ACCESS_KEY"), variable("COV72_TEST_S3_SECRET_KEY"));
    Credentials::new(&access, &secret).unwrap()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set; ci/s3 prints it"))
}
