//! The parameters of a model in our own form, into one vector in the order of its layout.

use std::path::Path;

use wire::Layout;

use super::error::InteropError;
use super::tensors::TensorFile;

/// Reads the tensors of `layout` from the safetensors file `path`, which names them as we do.
///
/// # Errors
/// The file is damaged or cannot be read, or a tensor is not there or of other extents.
///
/// # Panics
/// `into` is shorter than the model.
pub fn read_params(path: &Path, layout: &Layout, into: &mut [f32]) -> Result<(), InteropError> {
    let file = TensorFile::open(path)?;
    for tensor in layout.tensors() {
        into[tensor.range()].copy_from_slice(&file.read(&tensor.name, tensor.shape)?);
    }
    Ok(())
}
