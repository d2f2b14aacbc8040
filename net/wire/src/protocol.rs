//! What every node of every run must agree on, in one place.
//!
//! A number that one run may choose differently from another is in its
//! [`RunDescription`](crate::RunDescription) instead; these are fixed for the whole network.

/// Tokens in one sample: the unit in which data is assigned, counted and digested.
/// Changing this breaks every sample id, sample digest and dataset shard.
pub const SAMPLE_TOKENS: usize = 2048;

/// Context of every signature, so that one made for cov72 means nothing on a chain and vice versa.
/// Changing this breaks every signature.
pub const SIGNING_CONTEXT: &[u8] = b"cov72";

/// First bytes of a contribution.
/// Changing this breaks every contribution.
pub const CONTRIBUTION_MAGIC: [u8; 8] = *b"COV72CTB";

/// Version of the contribution's format.
/// Changing this breaks every contribution: nodes refuse versions that they do not know.
pub const CONTRIBUTION_VERSION: u16 = 1;

/// First bytes of what a run's owner signs, before the canonical description.
/// Changing this breaks every signed run description.
pub const RUN_MAGIC: [u8; 8] = *b"COV72RUN";

/// Newest version of the run description. Version 1 has neither objective nor genesis, version 2
/// has no documents; a run that needs none of them is written so, and keeps its id.
/// Changing this breaks the reading of every newer description.
pub const RUN_VERSION: u16 = 3;

/// Longest run description, in bytes of its text.
/// Changing this breaks the reading of runs that name very many shards.
pub const RUN_BYTES_MAX: usize = 1 << 20;

/// Longest name of a run, in bytes; lower-case letters, digits and dashes.
/// Changing this breaks the reading of runs with longer names.
pub const RUN_NAME_BYTES_MAX: usize = 64;

/// First bytes of what a validator signs, before the canonical manifest.
/// Changing this breaks every manifest.
pub const MANIFEST_MAGIC: [u8; 8] = *b"COV72MAN";

/// Version of the round manifest.
/// Changing this breaks every manifest.
pub const MANIFEST_VERSION: u16 = 1;

/// Longest manifest, in bytes of its text: a verdict on every seat and a root for every tensor.
/// Changing this breaks the reading of manifests of very large models.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// First bytes of a merged update.
/// Changing this breaks every merged update.
pub const MERGED_MAGIC: [u8; 8] = *b"COV72MRG";

/// Version of the merged update.
/// Changing this breaks every merged update.
pub const MERGED_VERSION: u16 = 1;

/// First bytes of what a validator signs, before the canonical checkpoint index.
/// Changing this breaks every published checkpoint.
pub const CHECKPOINT_MAGIC: [u8; 8] = *b"COV72CKP";

/// Version of the checkpoint index.
/// Changing this breaks every published checkpoint.
pub const CHECKPOINT_VERSION: u16 = 1;

/// Longest checkpoint index, in bytes of its text.
/// Changing this breaks the reading of checkpoints in very many parts.
pub const CHECKPOINT_BYTES_MAX: usize = 1 << 20;

/// First bytes of what a validator signs, before the canonical judgement.
/// Changing this breaks every published judgement.
pub const JUDGEMENT_MAGIC: [u8; 8] = *b"COV72JDG";

/// Version of the judgement.
/// Changing this breaks every published judgement, and with it the replay of a history.
pub const JUDGEMENT_VERSION: u16 = 1;

/// Longest judgement, in bytes of its text: 256 peers with as many probes as there may be.
/// Changing this breaks the reading of judgements on more peers.
pub const JUDGEMENT_BYTES_MAX: usize = 16 << 20;

/// Most samples on which one peer is measured, of its own data and of random data each.
/// Changing this breaks the reading of judgements that hold more.
pub const PROBES_MAX: usize = 64;

/// Largest loss that is told from a diverged one, in nats per token.
/// Changing this breaks the signatures of judgements that hold larger ones.
pub const LOSS_NATS_MAX: f64 = 1e6;

/// Version of the window record.
/// Changing this breaks whatever reads the records of a node.
pub const WINDOW_RECORD_VERSION: u16 = 2;

/// Characters of a stranger's text that are ever shown or kept.
/// Changing this breaks nothing but the width of logs.
pub const FOREIGN_TEXT_CHARS_MAX: usize = 64;
