//! Object storage: typed keys, atomic put, bounded get, ranged download, list; over S3 services, a
//! folder or memory, with faults on purpose where a test wants them.
//!
//! A node writes to its own bucket only and reads those of others, so whatever comes out of a
//! bucket is a stranger's: sizes are checked before bodies are read, every read ends by a deadline,
//! and names that are not keys are not listed.

mod answer;
mod body;
mod cause;
mod credentials;
mod download;
mod error;
mod fault_plan;
mod faulty_body;
mod faulty_store;
mod fetch;
mod key;
mod pace;
mod place;
mod public_place;
mod read;
mod s3;
mod s3_place;
mod spool;
mod store;
mod strip;
mod upload;

pub use body::Body;
pub use bytes::Bytes;
pub use cause::Action;
pub use credentials::{Credentials, Secret};
pub use download::{FetchFault, Sources};
pub use error::BucketError;
pub use fault_plan::{Fault, FaultPlan, FaultRule, Operation};
pub use fetch::{Fetch, fetch_all};
pub use key::{KeyPrefix, ObjectKey};
pub use pace::Pace;
pub use place::Place;
pub use public_place::{PUBLIC_PLACE_BYTES_MAX, PublicPlace};
pub use s3_place::S3Place;
pub use spool::{Spool, Spooled};
pub use store::{Bucket, Limits, ObjectInfo};
pub use upload::PutMode;
