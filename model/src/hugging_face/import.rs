//! Theirs to ours: any LLaMA, tied or not, of one file or several, in f32, bf16 or f16.

use std::borrow::Cow;
use std::cell::RefCell;
use std::path::Path;

use safetensors::tensor::{Dtype as StoredDtype, View};
use wire::{ModelSpec, Tensor};

use super::error::{InteropError, io};
use super::folder::{Dtype, MODEL_FILE, ModelFolder, NewFolder, PARAMS_FILE, save};
use super::load::Theirs;
use super::names::{Way, reorder, theirs};
use super::tensors::TensorFolder;
use crate::open::tokenizer_for;
use crate::{Eos, TOKENIZER_FILE};

/// What else says how to talk to a model: it is taken along as it is.
const COMPANIONS: [&str; 3] =
    ["tokenizer_config.json", "chat_template.jinja", "generation_config.json"];

/// What was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// Dimensions.
    pub spec: ModelSpec,
    /// How the parameters were stored.
    pub dtype: Dtype,
    /// Parameters.
    pub params: usize,
}

/// Reads the Hugging Face folder `from` and makes the [`ModelFolder`] `out` of it, all or nothing.
/// `on_tensor` is called with the number of tensors that were read.
///
/// # Errors
/// It is no LLaMA, or one with something that is not computed here (the key or tensor is named); a
/// file is missing, damaged or lies about what it holds; `out` is there already; the disk is full.
pub fn import(
    from: &Path,
    out: &Path,
    on_tensor: &dyn Fn(usize),
) -> Result<Imported, InteropError> {
    let Theirs { spec, layout, source } = Theirs::open(from)?;
    let dtype = match source.dtype(&theirs(&layout.tensors()[0].name))? {
        Some(StoredDtype::BF16) => Dtype::Bf16,
        Some(StoredDtype::F16) => Dtype::F16,
        _ => Dtype::F32,
    };
    let folder = NewFolder::new(out)?;
    let tokenizer = from.join(TOKENIZER_FILE);
    if tokenizer.exists() {
        tokenizer_for(&tokenizer, Eos::WellKnown, &spec)?;
        std::fs::copy(&tokenizer, folder.path(TOKENIZER_FILE)).map_err(io("copy", &tokenizer))?;
    }
    let (failure, read) = (RefCell::new(None), RefCell::new(0));
    for name in COMPANIONS {
        let file = from.join(name);
        if file.exists() {
            std::fs::copy(&file, folder.path(name)).map_err(io("copy", &file))?;
        }
    }
    let views = layout.tensors().iter().map(|tensor| {
        let (source, spec, extents) = (&source, &spec, tensor.shape.extents());
        let (failure, read) = (&failure, &read);
        let view = Incoming { source, spec, tensor, extents, failure, read, on_tensor };
        (tensor.name.as_str(), view)
    });
    save(&folder.path(PARAMS_FILE), views, &failure)?;
    let about = serde_json::to_string_pretty(&ModelFolder::new(spec.clone(), dtype));
    folder.write(MODEL_FILE, about.expect("plain data").as_bytes())?;
    folder.finish()?;
    Ok(Imported { spec, dtype, params: layout.params() })
}

/// Whether a tensor says nothing that others do not: rotary frequencies, and the head of a tied
/// model.
pub(super) fn follows_from_others(name: &str, spec: &ModelSpec) -> bool {
    name.ends_with(".rotary_emb.inv_freq") || (spec.tied && name == "lm_head.weight")
}

/// A tensor that is read when it is written.
struct Incoming<'a> {
    source: &'a TensorFolder,
    spec: &'a ModelSpec,
    tensor: &'a Tensor,
    extents: Vec<usize>,
    failure: &'a RefCell<Option<InteropError>>,
    read: &'a RefCell<usize>,
    on_tensor: &'a dyn Fn(usize),
}

impl View for Incoming<'_> {
    fn dtype(&self) -> StoredDtype {
        StoredDtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.extents
    }

    /// The library's view cannot fail, so what went wrong is kept beside it.
    fn data(&self) -> Cow<'_, [u8]> {
        if self.failure.borrow().is_some() {
            return Cow::Borrowed(&[]);
        }
        let values = self.source.read(&theirs(&self.tensor.name), self.tensor.shape);
        let values = values.unwrap_or_else(|failure| {
            *self.failure.borrow_mut() = Some(failure);
            vec![0.0; self.tensor.shape.len()]
        });
        let values = reorder(self.spec, self.tensor, values, Way::ToOurs);
        *self.read.borrow_mut() += 1;
        (self.on_tensor)(*self.read.borrow());
        Cow::Owned(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.tensor.shape.len() * size_of::<f32>()
    }
}
