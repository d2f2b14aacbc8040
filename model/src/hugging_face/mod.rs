//! Models in the form that everybody else's tools read: a Hugging Face folder of `config.json` and
//! safetensors, and back.
//!
//! Tensors are read, changed and written one by one, so a model of any size passes through memory
//! a tensor at a time. What is written lies under a temporary name until all of it is on the disk.
//! The other form, our own, is a folder of `model.json` and `params.safetensors`.

mod config;
mod error;
mod export;
mod folder;
mod import;
pub(crate) mod load;
mod names;
mod params;
mod tensors;

pub use error::InteropError;
pub use export::{Export, Exported, export};
pub use folder::{Dtype, MODEL_FILE, ModelFolder};
pub use import::{Imported, import};
pub use params::read_params;
