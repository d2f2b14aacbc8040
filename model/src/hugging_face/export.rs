//! Ours to theirs: a folder that `transformers` and everything that follows it loads.

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype as StoredDtype, View};
use serde_json::json;
use wire::{ModelSpec, Tensor};

use super::config::{self, CONFIG};
use super::error::{InteropError, io};
use super::folder::{Dtype, NewFolder, save};
use super::names::{Way, reorder, theirs};
use super::tensors::TensorFile;
use crate::open::tokenizer_for;
use crate::{Eos, TOKENIZER_FILE, layout_of};

/// What to write, and where.
pub struct Export<'a> {
    /// Dimensions.
    pub spec: &'a ModelSpec,
    /// Safetensors file of the parameters, under our own names.
    pub params: &'a Path,
    /// The folder to make.
    pub out: &'a Path,
    /// How to store the parameters.
    pub dtype: Dtype,
    /// Most bytes of values in one file.
    pub file_bytes_max: u64,
    /// The `tokenizer.json` to go with it.
    pub tokenizer: Option<&'a Path>,
    /// What the model card says, as Markdown.
    pub card: &'a str,
    /// Called with the number of tensors that were written.
    pub on_tensor: &'a dyn Fn(usize),
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Tensors.
    pub tensors: usize,
    /// Files that hold them.
    pub files: usize,
    /// Bytes of their values.
    pub bytes: u64,
}

/// Writes the folder, all or nothing.
///
/// # Errors
/// The folder is there already; the parameters are not those of the model, or cannot be read; the
/// disk is full; the tokenizer has more tokens than the model.
pub fn export(order: &Export<'_>) -> Result<Exported, InteropError> {
    let Export { spec, dtype, .. } = *order;
    let layout = layout_of(spec)?;
    let source = TensorFile::open(order.params)?;
    let folder = NewFolder::new(order.out)?;
    let eos = match order.tokenizer {
        Some(path) => Some(add_tokenizer(&folder, path, spec)?),
        None => None,
    };
    let shards = shards(layout.tensors(), dtype, order.file_bytes_max);
    let mut places = serde_json::Map::new();
    let (failure, written) = (RefCell::new(None), RefCell::new(0));
    let mut bytes = 0;
    for (at, shard) in shards.iter().enumerate() {
        let name = match shards.len() {
            1 => "model.safetensors".to_string(),
            all => format!("model-{:05}-of-{all:05}.safetensors", at + 1),
        };
        let views = shard.iter().map(|&tensor| {
            let view = Outgoing { order, source: &source, tensor, extents: tensor.shape.extents() };
            let view = Streamed { view, failure: &failure, written: &written };
            (theirs(&tensor.name), view)
        });
        let path = folder.path(&name);
        save(&path, views, &failure)?;
        for tensor in shard {
            bytes += bytes_of(tensor, dtype);
            places.insert(theirs(&tensor.name), name.clone().into());
        }
    }
    if shards.len() > 1 {
        let index = json!({ "metadata": { "total_size": bytes }, "weight_map": places });
        folder.write("model.safetensors.index.json", pretty(&index).as_bytes())?;
    }
    folder.write(CONFIG, pretty(&config::to_json(spec, dtype, eos)).as_bytes())?;
    let generation = json!({ "do_sample": true, "eos_token_id": eos });
    folder.write("generation_config.json", pretty(&generation).as_bytes())?;
    folder.write("README.md", order.card.as_bytes())?;
    folder.finish()?;
    Ok(Exported { tensors: layout.tensors().len(), files: shards.len(), bytes })
}

/// Copies the tokenizer; the token that ends a text.
fn add_tokenizer(folder: &NewFolder, path: &Path, spec: &ModelSpec) -> Result<u32, InteropError> {
    let tokenizer = tokenizer_for(path, Eos::WellKnown, spec)?;
    let to = folder.path(TOKENIZER_FILE);
    std::fs::copy(path, &to).map_err(io("copy", path))?;
    let about = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": spec.seq_len,
        "eos_token": tokenizer.decode(&[tokenizer.eos()]),
    });
    folder.write("tokenizer_config.json", pretty(&about).as_bytes())?;
    Ok(tokenizer.eos())
}

fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}\n")
}

/// Which tensors go into which file, in order: as many as fit, and at least one.
fn shards(tensors: &[Tensor], dtype: Dtype, file_bytes_max: u64) -> Vec<Vec<&Tensor>> {
    let mut shards: Vec<Vec<&Tensor>> = Vec::new();
    let mut room = 0;
    for tensor in tensors {
        let bytes = bytes_of(tensor, dtype);
        match shards.last_mut() {
            Some(shard) if bytes <= room => shard.push(tensor),
            _ => {
                shards.push(vec![tensor]);
                room = file_bytes_max.max(bytes);
            }
        }
        room -= bytes;
    }
    shards
}

fn bytes_of(tensor: &Tensor, dtype: Dtype) -> u64 {
    let each = if dtype == Dtype::F32 { 4 } else { 2 };
    tensor.shape.len() as u64 * each
}

/// A tensor that is read when it is written.
struct Outgoing<'a> {
    order: &'a Export<'a>,
    source: &'a TensorFile,
    tensor: &'a Tensor,
    extents: Vec<usize>,
}

impl Outgoing<'_> {
    fn read(&self) -> Result<Vec<u8>, InteropError> {
        let Export { spec, dtype, .. } = *self.order;
        let values = self.source.read(&self.tensor.name, self.tensor.shape)?;
        let values = reorder(spec, self.tensor, values, Way::ToTheirs);
        Ok(match dtype {
            Dtype::F32 => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            Dtype::Bf16 => {
                values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect()
            }
            Dtype::F16 => {
                values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect()
            }
        })
    }
}

/// The library's view cannot fail, so what went wrong is kept beside it.
struct Streamed<'a> {
    view: Outgoing<'a>,
    failure: &'a RefCell<Option<InteropError>>,
    written: &'a RefCell<usize>,
}

impl View for Streamed<'_> {
    fn dtype(&self) -> StoredDtype {
        match self.view.order.dtype {
            Dtype::F32 => StoredDtype::F32,
            Dtype::Bf16 => StoredDtype::BF16,
            Dtype::F16 => StoredDtype::F16,
        }
    }

    fn shape(&self) -> &[usize] {
        &self.view.extents
    }

    fn data(&self) -> Cow<'_, [u8]> {
        if self.failure.borrow().is_some() {
            return Cow::Borrowed(&[]);
        }
        let bytes = self.view.read().unwrap_or_else(|failure| {
            *self.failure.borrow_mut() = Some(failure);
            Vec::new()
        });
        *self.written.borrow_mut() += 1;
        (self.view.order.on_tensor)(*self.written.borrow());
        Cow::Owned(bytes)
    }

    fn data_len(&self) -> usize {
        bytes_of(self.view.tensor, self.view.order.dtype) as usize
    }
}
