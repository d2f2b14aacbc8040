//! The merged update: all bodies that count in one window, in one object.
//!
//! A node that was away applies one of these per window instead of gathering. The bodies are as
//! they were sent: the step depends on who sent what (clip scales, codebooks, counts per
//! coordinate), and writing a sum out exactly takes more room than its summands, of which most
//! coordinates have one. The manifest has the object's hash, so nothing here is signed again.

use std::ops::Range;

use crate::protocol::{MERGED_MAGIC, MERGED_VERSION};
use crate::{BodyShape, ForeignText, RunId, StateRoot, Uid, Window};

const FIXED_BYTES: usize = 8 + 2 + 2 + 4 + 32 + 8 + 32 + 32;

/// What a merged update must say of itself in order to be applied.
#[derive(Clone, Copy, Debug)]
pub struct MergedClaims {
    /// The run.
    pub run: RunId,
    /// The window.
    pub window: Window,
    /// State that it is applied to.
    pub parent_root: StateRoot,
}

/// Whose bodies a merged update holds, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    uids: Vec<Uid>,
    body_bytes: u64,
}

/// Why an object is not the merged update it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergedFault {
    /// It is something else.
    #[error("the object begins with \"{found}\", which is no merged update of version 1")]
    Magic {
        /// How it begins.
        found: ForeignText,
    },
    /// It is longer or shorter than so many bodies.
    #[error("the object has {found} bytes, a merged update of {uids} has {expected}")]
    Length {
        /// What there is.
        found: u64,
        /// Contributions it claims.
        uids: u16,
        /// What they take.
        expected: u64,
    },
    /// Made for another run, window, layout or state.
    #[error("the merged update's {what} is another one")]
    Other {
        /// Which claim differs.
        what: &'static str,
    },
    /// The uids do not ascend.
    #[error("the merged update's uids do not ascend")]
    Order,
}

/// Length of a merged update of `uids` contributions.
pub fn merged_bytes(shape: &BodyShape, uids: usize) -> u64 {
    merged_head_bytes(uids) + uids as u64 * shape.body_bytes()
}

/// Bytes before the bodies of a merged update of `uids` contributions.
pub fn merged_head_bytes(uids: usize) -> u64 {
    (FIXED_BYTES + 2 * uids) as u64
}

/// What stands before the bodies of these uids, which ascend; the bodies follow in this order.
///
/// # Panics
/// There are more than 65,535 of them.
pub fn merged_head(claims: &MergedClaims, shape: &BodyShape, uids: &[Uid]) -> Vec<u8> {
    let count = u16::try_from(uids.len()).expect("there are fewer uids");
    let fields: [&[u8]; 8] = [
        &MERGED_MAGIC,
        &MERGED_VERSION.to_le_bytes(),
        &count.to_le_bytes(),
        &[0; 4],
        &claims.run.0,
        &claims.window.0.to_le_bytes(),
        &shape.layout().0,
        &claims.parent_root.0,
    ];
    let mut head = fields.concat();
    uids.iter().for_each(|uid| head.extend_from_slice(&uid.0.to_le_bytes()));
    head
}

impl Merged {
    /// Reads the head of an object of `object_bytes` bytes: its first [`merged_head_bytes`], or
    /// more. Its bodies are not looked at.
    ///
    /// # Errors
    /// It is not the merged update that `claims` and `shape` describe.
    pub fn parse(
        head: &[u8],
        object_bytes: u64,
        claims: &MergedClaims,
        shape: &BodyShape,
    ) -> Result<Self, MergedFault> {
        let magic = [&MERGED_MAGIC[..], &MERGED_VERSION.to_le_bytes()].concat();
        if !head.starts_with(&magic) {
            let start = &head[..head.len().min(magic.len())];
            return Err(MergedFault::Magic { found: ForeignText::from_bytes(start) });
        }
        let uids = head.get(10..12).map_or(0, |count| u16::from_le_bytes([count[0], count[1]]));
        let length = |found, expected| MergedFault::Length { found, uids, expected };
        let expected = merged_bytes(shape, usize::from(uids));
        if object_bytes != expected {
            return Err(length(object_bytes, expected));
        }
        let head_bytes = merged_head_bytes(usize::from(uids));
        let Some(head) = head.get(..head_bytes as usize) else {
            return Err(length(head.len() as u64, head_bytes));
        };
        let claimed: [(&'static str, &[u8], &[u8]); 5] = [
            ("reserved word", &head[12..16], &[0; 4]),
            ("run", &head[16..48], &claims.run.0),
            ("window", &head[48..56], &claims.window.0.to_le_bytes()),
            ("layout", &head[56..88], &shape.layout().0),
            ("parent state", &head[88..120], &claims.parent_root.0),
        ];
        if let Some((what, _, _)) = claimed.into_iter().find(|(_, found, wanted)| found != wanted) {
            return Err(MergedFault::Other { what });
        }
        let words = head[FIXED_BYTES..].chunks_exact(2);
        let uids: Vec<_> = words.map(|word| Uid(u16::from_le_bytes([word[0], word[1]]))).collect();
        if uids.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(MergedFault::Order);
        }
        Ok(Self { uids, body_bytes: shape.body_bytes() })
    }

    /// Whose bodies it holds, ascending.
    pub fn uids(&self) -> &[Uid] {
        &self.uids
    }

    /// Where the body of the `peer`-th of them lies in the object.
    pub fn body(&self, peer: usize) -> Range<u64> {
        let start = merged_head_bytes(self.uids.len()) + peer as u64 * self.body_bytes;
        start..start + self.body_bytes
    }
}
