//! Why a contribution does not count: a verdict on a peer, recorded and shown, never our own error.
//!
//! Each reason carries the value that broke it and has a short code that stays the same for good;
//! records and manifests name reasons by it. Sizes are in bytes, times in milliseconds.

use serde::{Deserialize, Serialize};

use crate::{
    Digest, ForeignText, Hotkey, IndexCodec, RunId, SampleDigest, SectionFault, StateRoot, Uid,
    Window,
};

macro_rules! rejections {
    ($(
        $(#[doc = $doc:literal])*
        $code:literal: $name:ident { $($field:ident: $type:ty),* $(,)? } => $text:literal;
    )*) => {
        /// Why a contribution does not count.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
        #[serde(tag = "code")]
        #[expect(missing_docs, reason = "each variant's sentence says what its fields are")]
        pub enum Rejection {
            $(
                $(#[doc = $doc])*
                #[error($text)]
                #[serde(rename = $code)]
                $name { $($field: $type),* },
            )*
        }

        impl Rejection {
            /// Every code there is.
            pub const CODES: &[&str] = &[$($code),*];

            /// The short name of the reason. Changing one breaks whoever counts reasons.
            pub fn code(&self) -> &'static str {
                match self {
                    $(Self::$name { .. } => $code,)*
                }
            }
        }
    };
}

rejections! {
    // Arrival
    /// Nothing lies where the contribution should be.
    "missing": Missing {} => "no contribution was found";
    /// It appeared after the deadline.
    "late": Late { late_ms: u64 } => "it came {late_ms} ms after the deadline";
    /// It appeared before its window was over.
    "early": Early { early_ms: u64 } => "it came {early_ms} ms before its window ended";
    /// The chain does not know the hotkey.
    "not_registered": NotRegistered { hotkey: Hotkey } => "hotkey {hotkey} is not registered";
    /// The peer's note on the chain names no bucket.
    "no_bucket": NoBucket { note: ForeignText } => "its note names no bucket: \"{note}\"";
    /// Its bucket does not answer, or not in time.
    "unreachable": Unreachable {} => "its bucket did not answer in time";
    /// An object that no contribution of this run can be.
    "object_length": ObjectLength { found: u64, expected: u64 } =>
        "the object has {found} bytes, the run's have {expected}";
    /// Another peer sent the same bytes first.
    "duplicate": Duplicate { of: Uid } => "its body is the same as that of uid {of}";
    /// Part of it is another contribution's, which came first.
    "copied": Copied { of: Uid, window: Window, copied_permille: u16 } =>
        "{copied_permille} of 1000 of its values are those of uid {of} in window {window}";
    /// So much larger than the others' that it can only be meant to outweigh them.
    "oversized": Oversized { of_median_permille: u64 } =>
        "its norm is {of_median_permille} thousandths of the median's";
    /// The peer signed two contributions for one window.
    "equivocated": Equivocated { first: Digest, second: Digest } =>
        "its peer signed two contributions for this window, {first} and {second}";

    // Selection: the contribution itself is without fault
    /// As many as a window takes are of peers that stand higher.
    "outranked": Outranked { gathered: u32 } => "{gathered} peers that stand higher count";
    /// The peer's last contributions did harm.
    "excluded": Excluded {} => "its peer's last contributions raised the loss";
    /// The peer is barred.
    "barred": Barred { windows_left: u32 } =>
        "its peer is barred for {windows_left} more windows";

    // Header
    /// The object ends within the header.
    "truncated_header": TruncatedHeader { have_bytes: u64, need_bytes: u64 } =>
        "the object has {have_bytes} of the header's {need_bytes} bytes";
    /// It is something else.
    "wrong_magic": WrongMagic { found: ForeignText } =>
        "the object begins with \"{found}\", which is no contribution";
    /// It is of a format that this program does not know.
    "unknown_version": UnknownVersion { found: u16, known: u16 } =>
        "the format is version {found}, known is {known}";
    /// Bytes that must be zero are not.
    "reserved_bytes": ReservedBytes { found: u32 } =>
        "reserved bytes of the header hold {found:#08x} instead of zero";
    /// An index codec that does not exist.
    "unknown_codec": UnknownCodec { found: u8 } => "index codec {found} does not exist";
    /// Made for another run.
    "other_run": OtherRun { found: RunId, expected: RunId } =>
        "it is for run {found}, not {expected}";
    /// Made for another window.
    "other_window": OtherWindow { found: Window, expected: Window } =>
        "it is for window {found}, not {expected}";
    /// Made by another peer.
    "other_uid": OtherUid { found: Uid, expected: Uid } => "it names uid {found}, not {expected}";
    /// Made with another key.
    "other_hotkey": OtherHotkey { found: Hotkey, expected: Hotkey } =>
        "it names hotkey {found}, the chain {expected}";
    /// Made for another model.
    "other_layout": OtherLayout { found: Digest, expected: Digest } =>
        "its layout is {found}, not {expected}";
    /// Trained from parameters that are not the shared ones.
    "other_parent": OtherParent { found: StateRoot, expected: StateRoot } =>
        "it was trained from state {found}, not {expected}";
    /// Written with another index codec than the run's.
    "other_codec": OtherCodec { found: IndexCodec, expected: IndexCodec } =>
        "its index codec is {found:?}, the run's {expected:?}";
    /// Another number of values per chunk than the run's.
    "other_k": OtherK { found: u32, expected: u32 } => "its k is {found}, the run's {expected}";
    /// Another number of sections than the model has tensors.
    "section_count": SectionCount { found: u32, expected: u32 } =>
        "it has {found} sections, the model {expected} tensors";
    /// More or fewer samples than a window takes.
    "sample_count": SampleCount { found: u64, min: u64, max: u64 } =>
        "it claims {found} samples, not {min} to {max}";
    /// More tokens than its samples hold.
    "token_count": TokenCount { found: u64, max: u64 } =>
        "it claims {found} tokens, its samples hold {max}";
    /// Trained on other samples than the assigned ones.
    "sample_digest": OtherSamples { found: SampleDigest, expected: SampleDigest } =>
        "its samples have digest {found}, the assigned ones {expected}";
    /// A body that no contribution of this run can have.
    "body_length": BodyLength { found: u64, expected: u64 } =>
        "it claims a body of {found} bytes, the run's have {expected}";
    /// The header is not signed by the hotkey it names.
    "bad_signature": BadSignature { hotkey: Hotkey } =>
        "hotkey {hotkey} did not sign this header";

    // Body
    /// The body is not as long as the signed header says.
    "truncated_body": OtherBodyLength { found: u64, claimed: u64 } =>
        "the body has {found} bytes, its header claims {claimed}";
    /// The body is not the one that was signed.
    "body_hash": OtherBody { found: Digest, claimed: Digest } =>
        "the body's hash is {found}, its header claims {claimed}";
    /// A codebook value that is infinite or not a number.
    "codebook": Codebook { section: u32, entry: u32 } =>
        "section {section}: codebook entry {entry} is not finite";
    /// An index outside of its chunk.
    "index_range": IndexRange { section: u32, chunk: u64, found: u64, chunk_len: u64 } =>
        "section {section}, chunk {chunk}: index {found} in a chunk of {chunk_len}";
    /// The same index twice, or a smaller one after a larger one.
    "index_order": IndexOrder { section: u32, chunk: u64 } =>
        "section {section}, chunk {chunk}: the indices do not ascend";
    /// More or fewer indices than the chunk keeps.
    "index_count": IndexCount { section: u32, chunk: u64, found: u64, expected: u64 } =>
        "section {section}, chunk {chunk}: {found} indices where {expected} are kept";
    /// Bits that only fill up a byte and are not zero.
    "padding": Padding { section: u32, chunk: u64 } =>
        "section {section}, chunk {chunk}: bits that fill up a byte are not zero";
    /// A section of another length than its tensor calls for.
    "section_length": SectionLength { section: u32, found: u64, expected: u64 } =>
        "section {section} has {found} bytes, its tensor calls for {expected}";
}

impl Rejection {
    /// Whether the contribution is at fault, and not only the room or its peer's past.
    pub fn is_fault(&self) -> bool {
        !matches!(self, Self::Outranked { .. } | Self::Excluded {} | Self::Barred { .. })
    }

    /// The verdict on a contribution of which section `section` is at fault.
    pub(crate) fn of_section(section: u32, fault: SectionFault) -> Self {
        match fault {
            SectionFault::Length { expected, found } => {
                let (found, expected) = (found as u64, expected as u64);
                Self::SectionLength { section, found, expected }
            }
            SectionFault::Codebook { entry } => Self::Codebook { section, entry: entry as u32 },
            SectionFault::IndexOutOfRange { chunk, index, chunk_len } => {
                let (found, chunk_len) = (index as u64, chunk_len as u64);
                Self::IndexRange { section, chunk: chunk as u64, found, chunk_len }
            }
            SectionFault::NotAscending { chunk } => {
                Self::IndexOrder { section, chunk: chunk as u64 }
            }
            SectionFault::BitCount { chunk, expected, found } => {
                let (found, expected) = (found as u64, expected as u64);
                Self::IndexCount { section, chunk: chunk as u64, found, expected }
            }
            SectionFault::Padding { chunk, .. } => Self::Padding { section, chunk: chunk as u64 },
        }
    }
}
