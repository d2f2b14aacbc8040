//! Signed documents: what nodes publish for all to read, as JSON that has exactly one hash.
//!
//! The canonical bytes of a document (no white space, keys in the order of its fields, numbers in
//! their shortest form) are what is hashed and signed, so its text may be laid out as a person
//! likes. Unknown keys are refused by name: two nodes never read one document differently.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Digest, Hotkey, Keypair, Signature, verify};

/// Something that is published with a signature.
pub trait Document: Serialize + DeserializeOwned {
    /// First bytes of what is signed, so that no document passes for one of another kind.
    const MAGIC: [u8; 8];
    /// The newest version that this program reads.
    const VERSION: u16;
    /// The oldest version that this program reads.
    const VERSION_MIN: u16 = Self::VERSION;
    /// Longest text.
    const BYTES_MAX: usize;
    /// What people call it.
    const NAME: &'static str;

    /// Its version.
    fn version(&self) -> u16;

    /// Who has to sign it.
    fn signer(&self) -> Hotkey;

    /// The first value that is out of its range, and what it must be.
    fn broken_rule(&self) -> Option<(&'static str, &'static str)>;

    /// The bytes that are hashed and signed.
    fn canonical_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a document has string keys only")
    }

    /// BLAKE3 of the canonical bytes.
    fn hash(&self) -> Digest {
        Digest(*blake3::hash(&self.canonical_bytes()).as_bytes())
    }

    /// Reads a document and checks every value against its range.
    ///
    /// # Errors
    /// The text is too long, is not JSON of this shape, is of another version, or holds a value
    /// out of its range.
    fn parse(text: &[u8]) -> Result<Self, DocumentError> {
        let document: Self = parse_bounded::<Self, Self>(text)?;
        document.check()?;
        Ok(document)
    }

    /// Checks every value against its range.
    ///
    /// # Errors
    /// The version is another one, or a value is out of its range; the first such is named.
    fn check(&self) -> Result<(), DocumentError> {
        let (what, found, known) = (Self::NAME, self.version(), Self::VERSION);
        if !(Self::VERSION_MIN..=known).contains(&found) {
            return Err(DocumentError::Version { what, found, known });
        }
        match self.broken_rule() {
            Some((key, rule)) => Err(DocumentError::Value { what, key, rule }),
            None => Ok(()),
        }
    }
}

/// Why some text is not the document it should be.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The text is longer than any such document.
    #[error("the {what} has {bytes} bytes, more than {bytes_max}: check the file")]
    TooLong {
        /// What it should be.
        what: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        bytes_max: usize,
    },
    /// It is not the JSON that it should be; the message names the line and the key.
    #[error("the {what} does not read: {source}")]
    Text {
        /// What it should be.
        what: &'static str,
        /// Where it departs.
        source: serde_json::Error,
    },
    /// It is of another version.
    #[error("the {what} is of version {found}, this program knows {known}: upgrade")]
    Version {
        /// What it is.
        what: &'static str,
        /// The version it names.
        found: u16,
        /// The version that is known.
        known: u16,
    },
    /// A value is out of its range.
    #[error("the {what}'s {key} must be {rule}")]
    Value {
        /// What it is.
        what: &'static str,
        /// Which value.
        key: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// The one it names did not sign it.
    #[error("the {what} is not signed by {signer}, whom it names: fetch it again")]
    Signature {
        /// What it is.
        what: &'static str,
        /// Who should have signed.
        signer: Hotkey,
    },
}

/// A document with the signature of the one it names: the object that is published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed<D> {
    document: D,
    signature: Signature,
}

impl<D: Document> Signed<D> {
    /// Checks and signs a document.
    ///
    /// # Errors
    /// A value is out of its range, or the document names another signer.
    pub fn sign(document: D, signer: &Keypair) -> Result<Self, DocumentError> {
        document.check()?;
        if document.signer() != signer.hotkey() {
            return Err(DocumentError::Signature { what: D::NAME, signer: document.signer() });
        }
        let signature = signer.sign(&signed_bytes(&document));
        Ok(Self { document, signature })
    }

    /// Reads a published document and checks its values and its signature.
    ///
    /// # Errors
    /// As [`Document::parse`], or the signature does not hold.
    pub fn parse(text: &[u8]) -> Result<Self, DocumentError> {
        let signed: Self = parse_bounded::<D, Self>(text)?;
        signed.document.check()?;
        let signer = signed.document.signer();
        if verify(signer, &signed_bytes(&signed.document), &signed.signature) {
            Ok(signed)
        } else {
            Err(DocumentError::Signature { what: D::NAME, signer })
        }
    }

    /// What is published.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a document has string keys only")
    }

    /// The document, whose signature holds.
    pub fn document(&self) -> &D {
        &self.document
    }

    /// The document without its signature.
    pub fn into_document(self) -> D {
        self.document
    }
}

fn signed_bytes<D: Document>(document: &D) -> Vec<u8> {
    [&D::MAGIC[..], &document.canonical_bytes()].concat()
}

fn parse_bounded<D: Document, T: DeserializeOwned>(text: &[u8]) -> Result<T, DocumentError> {
    let (what, bytes, bytes_max) = (D::NAME, text.len(), D::BYTES_MAX);
    if bytes > bytes_max {
        return Err(DocumentError::TooLong { what, bytes, bytes_max });
    }
    serde_json::from_slice(text).map_err(|source| DocumentError::Text { what, source })
}
