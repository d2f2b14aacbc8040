//! Bittensor's chain, by name: what a node says to it and how its answers read.
//!
//! The runtime is upgraded without a warning, and indices move when it is. So nothing here is
//! generated at build time: calls, storage items and errors are looked up by name in the metadata
//! that the chain itself hands out, and a name that is gone is reported by that name.

mod call;
mod client;
mod connection;
mod description;
mod fields;
mod refusal;
mod rpc;
mod sender;
mod state;
pub mod submission;
mod vocabulary;

pub use call::Call;
pub use client::{Subtensor, SubtensorOptions};
pub use connection::Connection;
pub use fields::{FIELD_BYTES_MAX, FIELDS_MAX, note_of};
pub use refusal::Refusal;
pub use rpc::{Rpc, RpcFault};
pub use vocabulary::missing_names;
