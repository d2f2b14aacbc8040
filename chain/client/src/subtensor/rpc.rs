//! One question to a node of the chain and its answer, by JSON-RPC: the seam between what is said
//! and the socket that carries it.

use serde_json::Value as Json;

/// Bytes of a text that a node sent along with a refusal, at most.
const TEXT_BYTES_MAX: usize = 400;

/// The one question that changes something.
pub(super) const SUBMIT: &str = "author_submitExtrinsic";

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RpcFault {
    /// The node answered with an error.
    #[error("{code} {text}")]
    Refused {
        /// Its number.
        code: i64,
        /// What it said. A stranger's text.
        text: String,
    },
    /// No answer came: whether the question arrived is unknown.
    #[error("{0}")]
    Lost(String),
    /// The node belongs to another chain.
    #[error("{endpoint} is of the chain with genesis {found}, not {wanted}")]
    OtherChain {
        /// Which node.
        endpoint: String,
        /// The genesis that the configuration names, or that was met first.
        wanted: String,
        /// The genesis there.
        found: String,
    },
}

impl RpcFault {
    /// A node's refusal; `data`, if there is some, says more than `message`.
    pub fn refused(code: i64, message: &str, data: Option<&str>) -> Self {
        let mut text =
            data.map_or_else(|| message.to_string(), |data| format!("{message}: {data}"));
        let end = text.floor_char_boundary(TEXT_BYTES_MAX);
        text.truncate(end);
        Self::Refused { code, text }
    }
}

/// Whoever answers questions about the chain.
pub trait Rpc: Send + Sync {
    /// Asks once more where no answer came, elsewhere if need be, unless `method` changes
    /// something.
    ///
    /// # Errors
    /// The node refuses, or nobody answers.
    fn request(&self, method: &str, params: Vec<Json>) -> Result<Json, RpcFault>;

    /// Asks another node from now on, since this one is behind; whether there is one.
    fn move_on(&self) -> bool {
        false
    }
}

/// The bytes that `0x..` spells.
pub(super) fn bytes_of_hex(text: &Json) -> Option<Vec<u8>> {
    hex::decode(text.as_str()?.strip_prefix("0x")?).ok()
}

/// `0x..` of `bytes`.
pub(super) fn hex_of(bytes: &[u8]) -> String {
    format!("0x{}", hex::encode(bytes))
}
