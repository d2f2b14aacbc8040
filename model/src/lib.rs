//! A LLaMA, its optimizers and its state on disk: everything that turns tokens into parameters.
//!
//! Read in this order: `presets` says what models there are, `params` where its tensors lie,
//! `llama` how it computes, `rank` and `trainer` how inner steps run on one or more ranks,
//! `loss_meter` what a contribution does to the loss, `sparseloco` what leaves the node,
//! `checkpoint` what survives it, `hugging_face` what others can read of it, `open` how any of them
//! is read, `generate` how text comes of it, `eval` what it knows.

mod bpe;
mod checkpoint;
mod error;
pub mod eval;
pub mod generate;
pub mod hugging_face;
mod init;
mod llama;
mod loss_meter;
mod memory;
mod mirror;
mod open;
mod params;
mod presets;
mod rank;
pub mod schedule;
pub mod sparseloco;
mod tokenizer;
mod trainer;

pub use bpe::train_bpe;
pub use checkpoint::{CheckpointStore, Damaged, Progress, Saved, SavedParams, Snapshot};
pub use error::ModelError;
pub use init::initial_params;
pub use llama::MicroBatch;
pub use loss_meter::{LossMeter, SampleLoss, SampleSource};
pub use memory::{MemoryPlan, available_memory, file_memory, peak_memory};
pub use mirror::Mirror;
pub use open::{Located, OpenModel, locate, open_model};
pub use params::{ParamTable, Partition, Split, layout_of};
pub use presets::{Preset, fine_tuning, preset, preset_names};
pub use rank::Moments;
pub use schedule::{rate_factor, restart_factor};
pub use tokenizer::{
    BYTE_TOKENIZER, Eos, JsonTokenizer, TOKENIZER_FILE, Tokenizer, TokenizerError,
};
pub use trainer::{BatchSource, OnStep, StepReport, Stop, Trainer};
