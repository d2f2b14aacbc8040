//! The merged update: all bodies that count in one window, in one object.
//!
//! A node that was away applies one of these per window instead of gathering. The bodies are as
//! they were sent: the step depends on who sent what (clip scales, codebooks, counts per
//! coordinate), and writing a sum out exactly takes more room than its summands, of which most
//! coordinates have one. The manifest has the object's hash, so nothing here is signed again.

use crate::protocol::{MERGED_MAGIC, MERGED_VERSION};
use crate::{BodyShape, ForeignText, Rejection, RunId, SparseTensor, StateRoot, Uid, Window};

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

/// A merged update whose sections are still bytes.
#[derive(Clone, Debug)]
pub struct Merged<'a> {
    uids: Vec<Uid>,
    bodies: &'a [u8],
    shape: &'a BodyShape,
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
    /// A section of one of the bodies does not decode.
    #[error("uid {uid}: {reason}")]
    Section {
        /// Whose body.
        uid: Uid,
        /// What is wrong with it.
        reason: Rejection,
    },
}

/// Length of a merged update of `uids` contributions.
pub fn merged_bytes(shape: &BodyShape, uids: usize) -> u64 {
    FIXED_BYTES as u64 + uids as u64 * (2 + shape.body_bytes())
}

/// Writes the merged update of these bodies, which are in ascending order of uid.
///
/// # Panics
/// There are more than 65,535 of them, or one is not as long as `shape` says.
pub fn merge(claims: &MergedClaims, shape: &BodyShape, bodies: &[(Uid, &[u8])]) -> Vec<u8> {
    let count = u16::try_from(bodies.len()).expect("there are fewer uids");
    let mut object = Vec::with_capacity(merged_bytes(shape, bodies.len()) as usize);
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
    fields.iter().for_each(|field| object.extend_from_slice(field));
    bodies.iter().for_each(|(uid, _)| object.extend_from_slice(&uid.0.to_le_bytes()));
    for (_, body) in bodies {
        assert_eq!(body.len() as u64, shape.body_bytes(), "a body of this shape");
        object.extend_from_slice(body);
    }
    object
}

impl<'a> Merged<'a> {
    /// Reads an object without looking into its bodies.
    ///
    /// # Errors
    /// It is not the merged update that `claims` and `shape` describe.
    pub fn parse(
        object: &'a [u8],
        claims: &MergedClaims,
        shape: &'a BodyShape,
    ) -> Result<Self, MergedFault> {
        let magic = [&MERGED_MAGIC[..], &MERGED_VERSION.to_le_bytes()].concat();
        if !object.starts_with(&magic) {
            let start = &object[..object.len().min(magic.len())];
            return Err(MergedFault::Magic { found: ForeignText::from_bytes(start) });
        }
        let found = object.len() as u64;
        let uids = object.get(10..12).map_or(0, |count| u16::from_le_bytes([count[0], count[1]]));
        let expected = merged_bytes(shape, usize::from(uids));
        if found != expected {
            return Err(MergedFault::Length { found, uids, expected });
        }
        let claimed: [(&'static str, &[u8], &[u8]); 5] = [
            ("reserved word", &object[12..16], &[0; 4]),
            ("run", &object[16..48], &claims.run.0),
            ("window", &object[48..56], &claims.window.0.to_le_bytes()),
            ("layout", &object[56..88], &shape.layout().0),
            ("parent state", &object[88..120], &claims.parent_root.0),
        ];
        if let Some((what, _, _)) = claimed.into_iter().find(|(_, found, wanted)| found != wanted) {
            return Err(MergedFault::Other { what });
        }
        let (words, bodies) = object[FIXED_BYTES..].split_at(2 * usize::from(uids));
        let uids: Vec<_> =
            words.chunks_exact(2).map(|word| Uid(u16::from_le_bytes([word[0], word[1]]))).collect();
        if uids.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(MergedFault::Order);
        }
        Ok(Self { uids, bodies, shape })
    }

    /// Whose bodies it holds, ascending.
    pub fn uids(&self) -> &[Uid] {
        &self.uids
    }

    /// What the `peer`-th of them sends of tensor `section`.
    ///
    /// # Errors
    /// The section is not the encoding of a valid update.
    ///
    /// # Panics
    /// There is no such peer or tensor.
    pub fn tensor(&self, peer: usize, section: usize) -> Result<SparseTensor, MergedFault> {
        let body_bytes = self.shape.body_bytes() as usize;
        let body = &self.bodies[peer * body_bytes..(peer + 1) * body_bytes];
        let tensor = self.shape.decode_section(section, &body[self.shape.section_range(section)]);
        tensor.map_err(|reason| MergedFault::Section { uid: self.uids[peer], reason })
    }
}
