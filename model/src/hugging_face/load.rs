//! Parameters straight into memory, without a folder in between.

use std::path::Path;

use wire::{Layout, ModelSpec};

use super::config;
use super::error::InteropError;
use super::import::follows_from_others;
use super::names::{Way, reorder, theirs};
use super::tensors::{TensorFile, TensorFolder};
use crate::layout_of;

/// A Hugging Face folder whose headers have been checked.
pub(crate) struct Theirs {
    pub(crate) spec: ModelSpec,
    pub(super) layout: Layout,
    pub(super) source: TensorFolder,
}

impl Theirs {
    /// Reads the configuration and all headers.
    ///
    /// # Errors
    /// It is no LLaMA, or one with something that is not computed here.
    pub(crate) fn open(from: &Path) -> Result<Self, InteropError> {
        let spec = config::read(from)?;
        let layout = layout_of(&spec)?;
        let source = TensorFolder::open(from)?;
        let wanted: Vec<String> = layout.tensors().iter().map(|t| theirs(&t.name)).collect();
        for name in source.names() {
            let is_ours = wanted.iter().any(|wanted| wanted == name);
            if !is_ours && !follows_from_others(name, &spec) {
                let (path, tensor) = (from.to_path_buf(), name.to_string());
                return Err(InteropError::Foreign { path, tensor });
            }
        }
        Ok(Self { spec, layout, source })
    }

    /// All parameters in our order, read a tensor at a time.
    pub(crate) fn params(&self) -> Result<Vec<f32>, InteropError> {
        let mut params = vec![0.0; self.layout.params()];
        for tensor in self.layout.tensors() {
            let values = self.source.read(&theirs(&tensor.name), tensor.shape)?;
            let values = reorder(&self.spec, tensor, values, Way::ToOurs);
            params[tensor.range()].copy_from_slice(&values);
        }
        Ok(params)
    }
}

/// All parameters of a file under our own names.
///
/// # Errors
/// The file is damaged, or lacks a tensor of the model.
pub(crate) fn ours(spec: &ModelSpec, file: &Path) -> Result<Vec<f32>, InteropError> {
    let layout = layout_of(spec)?;
    let source = TensorFile::open(file)?;
    let mut params = vec![0.0; layout.params()];
    for tensor in layout.tensors() {
        params[tensor.range()].copy_from_slice(&source.read(&tensor.name, tensor.shape)?);
    }
    Ok(params)
}
