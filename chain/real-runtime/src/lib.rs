//! A node of Bittensor in this process that runs a real runtime: for tests of the client only.
//!
//! The runtime is somebody's compiled code, so it comes from outside: `SUBTENSOR_SPEC` names the
//! file of a chain, raw or plain. There is one node, whose every block is final, and which makes
//! one for each transaction. State roots are not true ones, for nobody checks them.

mod genesis;
mod node;
mod wasm;

pub use genesis::Genesis;
pub use node::Node;

use std::collections::BTreeMap;
use std::sync::Arc;

/// What is stored at one block. A copy costs its keys only.
pub type Store = BTreeMap<Vec<u8>, Arc<[u8]>>;
