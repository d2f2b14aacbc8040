//! The signed header: what a contribution claims to be, checked before its body is looked at.

use std::ops::RangeInclusive;

use super::reader::Reader;
use super::{BodyShape, HEADER_BYTES, SIGNED_BYTES};
use crate::protocol::{CONTRIBUTION_MAGIC, CONTRIBUTION_VERSION, SAMPLE_TOKENS};
use crate::{
    Digest, ForeignText, Hotkey, IndexCodec, Keypair, Rejection, RunId, SampleDigest, Signature,
    StateRoot, Uid, Window, verify,
};

/// What the signer says about the contribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The run.
    pub run: RunId,
    /// The window in which it was trained.
    pub window: Window,
    /// The peer's seat.
    pub uid: Uid,
    /// Hash of the layout of the parameters.
    pub layout: Digest,
    /// State root of the shared parameters that training started from.
    pub parent_root: StateRoot,
    /// Digest of the ids of the samples trained on.
    pub sample_digest: SampleDigest,
    /// Number of those samples.
    pub sample_count: u64,
    /// Tokens trained on: at most [`SAMPLE_TOKENS`] a sample.
    pub tokens: u64,
    /// Values asked for per chunk.
    pub k: u32,
    /// How indices are written.
    pub index_codec: IndexCodec,
}

/// What a contribution must claim in order to count.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    /// The run.
    pub run: RunId,
    /// The window.
    pub window: Window,
    /// Whose object was fetched.
    pub uid: Uid,
    /// The hotkey that the chain has for this uid.
    pub hotkey: Hotkey,
    /// State root of the shared parameters at the window's start.
    pub parent_root: StateRoot,
    /// How many samples a window takes.
    pub samples: RangeInclusive<u64>,
    /// What the layout, k and the codec of the run allow for.
    pub shape: &'a BodyShape,
}

/// A header that is well formed. Nothing in it is true yet: see [`Header::verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the signer says.
    pub claims: Claims,
    /// Who the signer says to be.
    pub hotkey: Hotkey,
    /// Sections in the body.
    pub section_count: u32,
    /// Length of the body.
    pub body_bytes: u64,
    /// BLAKE3 of the body.
    pub body_hash: Digest,
    /// The signature over all of the above.
    pub signature: Signature,
}

/// A header that is signed by the expected peer and claims what it must.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a> {
    pub(super) header: Header,
    pub(super) shape: &'a BodyShape,
}

impl<'a> Verified<'a> {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// What the body must look like.
    pub fn shape(&self) -> &'a BodyShape {
        self.shape
    }
}

impl Header {
    /// Reads the first [`HEADER_BYTES`] bytes of an object; what follows them is not looked at.
    ///
    /// # Errors
    /// The object is too short, is something else, or is of another version.
    pub fn parse(object: &[u8]) -> Result<Self, Rejection> {
        let magic = &object[..object.len().min(CONTRIBUTION_MAGIC.len())];
        if magic != CONTRIBUTION_MAGIC {
            return Err(Rejection::WrongMagic { found: ForeignText::from_bytes(magic) });
        }
        if object.len() < HEADER_BYTES {
            let (have_bytes, need_bytes) = (object.len() as u64, HEADER_BYTES as u64);
            return Err(Rejection::TruncatedHeader { have_bytes, need_bytes });
        }
        let mut reader = Reader(&object[CONTRIBUTION_MAGIC.len()..HEADER_BYTES]);
        let version = reader.u16();
        if version != CONTRIBUTION_VERSION {
            let known = CONTRIBUTION_VERSION;
            return Err(Rejection::UnknownVersion { found: version, known });
        }
        Self::read_fields(&mut reader)
    }

    /// The fields behind magic and version, in the order of `FORMAT.md`.
    fn read_fields(reader: &mut Reader<'_>) -> Result<Self, Rejection> {
        let uid = Uid(reader.u16());
        let section_count = reader.u32();
        let run = RunId(reader.array());
        let window = Window(reader.u64());
        let hotkey = Hotkey(reader.array());
        let layout = Digest(reader.array());
        let parent_root = StateRoot(reader.array());
        let sample_digest = SampleDigest(reader.array());
        let sample_count = reader.u64();
        let tokens = reader.u64();
        let k = reader.u32();
        let index_codec = codec_of_id(reader.u8())?;
        let [a, b, c] = reader.array();
        let reserved = u32::from_le_bytes([a, b, c, 0]);
        if reserved != 0 {
            return Err(Rejection::ReservedBytes { found: reserved });
        }
        Ok(Self {
            claims: Claims {
                run,
                window,
                uid,
                layout,
                parent_root,
                sample_digest,
                sample_count,
                tokens,
                k,
                index_codec,
            },
            hotkey,
            section_count,
            body_bytes: reader.u64(),
            body_hash: Digest(reader.array()),
            signature: Signature(reader.array()),
        })
    }

    pub(super) fn sign(
        claims: Claims,
        section_count: u32,
        body_bytes: u64,
        body_hash: Digest,
        keypair: &Keypair,
    ) -> Self {
        let mut header = Self {
            claims,
            hotkey: keypair.hotkey(),
            section_count,
            body_bytes,
            body_hash,
            signature: Signature([0; 64]),
        };
        header.signature = keypair.sign(&header.signed_bytes());
        header
    }

    /// The bytes that the signature covers.
    pub fn signed_bytes(&self) -> [u8; SIGNED_BYTES] {
        let claims = &self.claims;
        let fields: [&[u8]; 17] = [
            &CONTRIBUTION_MAGIC,
            &CONTRIBUTION_VERSION.to_le_bytes(),
            &claims.uid.0.to_le_bytes(),
            &self.section_count.to_le_bytes(),
            &claims.run.0,
            &claims.window.0.to_le_bytes(),
            &self.hotkey.0,
            &claims.layout.0,
            &claims.parent_root.0,
            &claims.sample_digest.0,
            &claims.sample_count.to_le_bytes(),
            &claims.tokens.to_le_bytes(),
            &claims.k.to_le_bytes(),
            &[id_of_codec(claims.index_codec)],
            &[0; 3],
            &self.body_bytes.to_le_bytes(),
            &self.body_hash.0,
        ];
        fields.concat().try_into().expect("the fields are 232 bytes long")
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..SIGNED_BYTES].copy_from_slice(&self.signed_bytes());
        bytes[SIGNED_BYTES..].copy_from_slice(&self.signature.0);
        bytes
    }

    /// Checks every claim, the cheap ones first and the signature last.
    ///
    /// # Errors
    /// The first claim that is not the expected one, or a signature that does not hold.
    pub fn verify<'a>(self, expected: &Expected<'a>) -> Result<Verified<'a>, Rejection> {
        self.check_origin(expected)?;
        self.check_model(expected)?;
        self.check_amounts(expected)?;
        if !verify(self.hotkey, &self.signed_bytes(), &self.signature) {
            return Err(Rejection::BadSignature { hotkey: self.hotkey });
        }
        Ok(Verified { header: self, shape: expected.shape })
    }

    /// Checks the samples against those that were assigned; `expected` is the digest of the first
    /// [`Claims::sample_count`] of them.
    ///
    /// # Errors
    /// It was trained on other samples.
    pub fn verify_samples(&self, expected: SampleDigest) -> Result<(), Rejection> {
        let found = self.claims.sample_digest;
        if found == expected { Ok(()) } else { Err(Rejection::OtherSamples { found, expected }) }
    }

    fn check_origin(&self, expected: &Expected<'_>) -> Result<(), Rejection> {
        let claims = &self.claims;
        if claims.run != expected.run {
            return Err(Rejection::OtherRun { found: claims.run, expected: expected.run });
        }
        if claims.window != expected.window {
            let (found, expected) = (claims.window, expected.window);
            return Err(Rejection::OtherWindow { found, expected });
        }
        if claims.uid != expected.uid {
            return Err(Rejection::OtherUid { found: claims.uid, expected: expected.uid });
        }
        if self.hotkey != expected.hotkey {
            let (found, expected) = (self.hotkey, expected.hotkey);
            return Err(Rejection::OtherHotkey { found, expected });
        }
        Ok(())
    }

    fn check_model(&self, expected: &Expected<'_>) -> Result<(), Rejection> {
        let (claims, shape) = (&self.claims, expected.shape);
        if claims.layout != shape.layout() {
            return Err(Rejection::OtherLayout { found: claims.layout, expected: shape.layout() });
        }
        if claims.parent_root != expected.parent_root {
            let (found, expected) = (claims.parent_root, expected.parent_root);
            return Err(Rejection::OtherParent { found, expected });
        }
        if claims.index_codec != shape.index_codec() {
            let (found, expected) = (claims.index_codec, shape.index_codec());
            return Err(Rejection::OtherCodec { found, expected });
        }
        if claims.k != shape.k() {
            return Err(Rejection::OtherK { found: claims.k, expected: shape.k() });
        }
        Ok(())
    }

    fn check_amounts(&self, expected: &Expected<'_>) -> Result<(), Rejection> {
        let (claims, samples) = (&self.claims, &expected.samples);
        if !samples.contains(&claims.sample_count) {
            let (found, min, max) = (claims.sample_count, *samples.start(), *samples.end());
            return Err(Rejection::SampleCount { found, min, max });
        }
        let tokens_max = claims.sample_count.saturating_mul(SAMPLE_TOKENS as u64);
        if claims.tokens > tokens_max {
            return Err(Rejection::TokenCount { found: claims.tokens, max: tokens_max });
        }
        let sections = expected.shape.sections().len() as u32;
        if self.section_count != sections {
            let (found, expected) = (self.section_count, sections);
            return Err(Rejection::SectionCount { found, expected });
        }
        let (found, expected) = (self.body_bytes, expected.shape.body_bytes());
        if found != expected {
            return Err(Rejection::BodyLength { found, expected });
        }
        Ok(())
    }
}

/// Numbers of the codecs in the header. Changing one breaks every contribution.
fn id_of_codec(codec: IndexCodec) -> u8 {
    match codec {
        IndexCodec::Packed12 => 1,
        IndexCodec::EliasFano => 2,
    }
}

fn codec_of_id(id: u8) -> Result<IndexCodec, Rejection> {
    match id {
        1 => Ok(IndexCodec::Packed12),
        2 => Ok(IndexCodec::EliasFano),
        found => Err(Rejection::UnknownCodec { found }),
    }
}
