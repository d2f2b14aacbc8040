//! The body: one section per tensor, each decodable by itself, once the whole is known to be the
//! one that was signed.

use super::{BodyShape, HEADER_BYTES, Header, PartFault, Verified};
use crate::{Digest, ReadAt, Rejection, SparseTensor, hash_of};

/// The signed body of a verified header, whose sections are still bytes.
#[derive(Clone, Copy, Debug)]
pub struct Body<'a> {
    bytes: &'a [u8],
    verified: Verified<'a>,
}

/// A contribution that is valid for its layout.
#[derive(Clone, Debug, PartialEq)]
pub struct Contribution {
    /// The verified header.
    pub header: Header,
    /// What each tensor sends, in the layout's order.
    pub tensors: Vec<SparseTensor>,
}

impl<'a> Verified<'a> {
    /// Checks that `body` is the one that was signed.
    ///
    /// # Errors
    /// It has another length or another hash than the header says.
    pub fn body<'b>(&self, body: &'b [u8]) -> Result<Body<'b>, Rejection>
    where
        'a: 'b,
    {
        let (found, claimed) = (body.len() as u64, self.header.body_bytes);
        if found != claimed {
            return Err(Rejection::OtherBodyLength { found, claimed });
        }
        let (found, claimed) = (hash(body), self.header.body_hash);
        if found != claimed {
            return Err(Rejection::OtherBody { found, claimed });
        }
        Ok(Body { bytes: body, verified: *self })
    }

    /// Checks that what follows the header in `object` is the body that was signed.
    ///
    /// # Errors
    /// As [`Verified::body`]; or the object cannot be read.
    pub fn body_at(&self, object: &impl ReadAt) -> Result<(), PartFault> {
        let at = HEADER_BYTES as u64;
        let (found, claimed) = (object.len().saturating_sub(at), self.header.body_bytes);
        if found != claimed {
            return Err(Rejection::OtherBodyLength { found, claimed }.into());
        }
        let (found, claimed) = (hash_of(object, at..at + found)?, self.header.body_hash);
        if found != claimed {
            return Err(Rejection::OtherBody { found, claimed }.into());
        }
        Ok(())
    }
}

impl Body<'_> {
    /// The verified header.
    pub fn header(&self) -> &Header {
        &self.verified.header
    }

    /// Decodes what tensor `section` sends, without looking at the others.
    ///
    /// # Errors
    /// The section is not the encoding of a valid update.
    ///
    /// # Panics
    /// The layout has no such tensor.
    pub fn tensor(&self, section: usize) -> Result<SparseTensor, Rejection> {
        let shape: &BodyShape = self.verified.shape;
        shape.decode_section(section, &self.bytes[shape.section_range(section)])
    }

    /// Decodes all sections, on all threads.
    ///
    /// # Errors
    /// A section is not the encoding of a valid update; of several, the first is named.
    pub fn decode(&self) -> Result<Contribution, Rejection> {
        let tensors = self.verified.shape.decode(self.bytes)?;
        Ok(Contribution { header: self.verified.header, tensors })
    }
}

pub(super) fn hash(body: &[u8]) -> Digest {
    Digest(*blake3::hash(body).as_bytes())
}
