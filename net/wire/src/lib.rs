//! The narrow waist: every type that two crates share, the byte formats, the protocol constants.
//!
//! Nothing here does I/O, reads a clock or draws a random number; whatever parses bytes treats them
//! as hostile, bounds every length before it allocates, and returns a value that is valid for good.

mod checkpoint_index;
mod codec;
pub mod contribution;
mod document;
mod evidence;
mod foreign_text;
mod id;
mod judgement;
mod keypair;
mod layout;
mod majority;
mod manifest;
mod merged;
mod model_spec;
mod note;
pub mod protocol;
mod read_at;
mod recipe;
mod reference_note;
mod rejection;
mod run;
mod stage;
pub mod state_root;
mod verdict;
mod window_record;
mod windows;

pub use checkpoint_index::{CheckpointIndex, CheckpointPart, SignedCheckpointIndex};
pub use codec::{
    CODEBOOK_BYTES, CODES_PER_BYTE, IndexCodec, SectionFault, SparseShape, SparseTensor,
};
pub use contribution::{
    Body, BodyShape, Claims, Contribution, Expected, Header, Part, PartFault, Verified,
};
pub use document::{Document, DocumentError, Signed};
pub use evidence::{Effect, Evidence, Loss, Pair, PeerEvidence, Probe};
pub use foreign_text::ForeignText;
pub use id::{
    BlockNumber, Digest, HexError, Hotkey, Netuid, RunId, SampleDigest, Signature, StateRoot, Uid,
    Window,
};
pub use judgement::{Judgement, LossScore, Penalty, Place, SignedJudgement, Standing};
pub use keypair::{Keypair, verify};
pub use layout::{Layout, LayoutError, Shape, Tensor, Tiling};
pub use majority::{Builder, Milestone, majority};
pub use manifest::{Accepted, Content, Manifest, ManifestRef, SignedManifest};
pub use merged::{Merged, MergedClaims, MergedFault, merged_bytes, merged_head, merged_head_bytes};
pub use model_spec::ModelSpec;
pub use note::{Announcement, Note, NoteFault, PLACE_BYTES_MAX};
pub use read_at::{Joined, ReadAt, hash_of};
pub use recipe::{Aggregation, Flat, Inner, Optimizer, Outer, Quantiser, Schedule};
pub use reference_note::ReferenceNote;
pub use rejection::Rejection;
pub use run::{Dataset, RunDescription, Shard, SignedRun};
pub use stage::{Documents, Genesis, Objective};
pub use state_root::StateTree;
pub use verdict::{Announced, Verdict, Voter, verdict};
pub use window_record::{Phases, Rejected, Role, WindowRecord};
pub use windows::{Span, Windows};
