//! Object storage: typed keys, atomic put, bounded get, list; over a folder or memory.
//!
//! A node writes to its own bucket only and reads those of others, so whatever comes out of a
//! bucket is a stranger's: sizes are checked before bodies are read, every read ends by a deadline,
//! and names that are not keys are not listed. [`Bucket`] is async; [`blocking`] is the same for
//! callers that are not.

pub mod blocking;
mod error;
mod key;
mod place;
mod store;

pub use bytes::Bytes;
pub use error::BucketError;
pub use key::{KeyPrefix, ObjectKey};
pub use place::Place;
pub use store::{Bucket, Limits, ObjectInfo, PutMode};
