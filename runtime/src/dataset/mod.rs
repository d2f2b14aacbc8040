//! Token shards on disk: which samples a peer trains on, and how they become batches.
//!
//! A sample is 2,048 tokens. A shard is `train_000000.npy`, all its tokens as flat little-endian
//! `u32`, beside `sample_ids_000000.npy`, one `u64` hash per sample, for conversations
//! `loss_mask_000000.npy`, one byte per token: 1 for what an answer is made of, and where they are
//! recorded `documents_000000.npy`, the `u64` token at which each document begins. All are
//! memory-mapped, so a shard may be far larger than memory. `dataset.json` says what they are.

mod assignment;
mod batch;
mod description;
mod digest;
mod error;
mod folder;
pub mod loader;
mod npy;
mod pcg;
pub mod rows;
mod schedule;
mod shard;
pub mod synth;
mod writer;

pub use assignment::Assignment;
pub use batch::{BatchRules, IGNORE, Targets, fill_batch};
pub use description::{Conversations, Description, InputDescription, ShardDescription};
pub use digest::{masked_sample_id, sample_digest, sample_id};
pub use error::DatasetError;
pub use folder::Dataset;
pub use npy::{NpyArray, NpyValue, NpyWriter};
pub use pcg::Pcg64;
pub use schedule::ShardSchedule;
pub use shard::{Shard, documents_path};
pub use writer::{DatasetWriter, Provenance, Written};

/// Tokens in a sample. Changing this breaks every sample id and every assignment.
pub const SAMPLE_TOKENS: usize = 2048;

#[cfg(target_endian = "big")]
compile_error!("shards are mapped as little-endian integers; this machine is big-endian");
