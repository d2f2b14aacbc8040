//! A model to compute with, whatever form it lies in: a Hugging Face folder, what `cov72 import`
//! made, a run's folder, or one of its checkpoints. All parameters are f32 in memory afterwards.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use runtime::dataset::Dataset;
use serde_json::Value;
use wire::{ModelSpec, SignedRun};

use crate::hugging_face::{Dtype, InteropError, MODEL_FILE, ModelFolder, load};
use crate::{Eos, SavedParams, TOKENIZER_FILE, Tokenizer, available_memory, layout_of};

/// Largest file of settings that is read.
const SETTINGS_BYTES_MAX: u64 = 1 << 20;

/// A model of our own form that was found on the disk.
#[derive(Clone, Debug)]
pub struct Located {
    /// Dimensions.
    pub spec: ModelSpec,
    /// Safetensors file of its parameters, under our own names.
    pub params: PathBuf,
    /// How the parameters were stored where they come from.
    pub dtype: Dtype,
    /// Its `tokenizer.json`, if there is one.
    pub tokenizer: Option<PathBuf>,
    /// Where it comes from, for people.
    pub facts: Vec<(&'static str, String)>,
}

/// A model in memory.
#[derive(Clone, Debug)]
pub struct OpenModel {
    /// Dimensions.
    pub spec: ModelSpec,
    /// All parameters in the order of [`layout_of`].
    pub params: Arc<Vec<f32>>,
    /// Its vocabulary, where the folder has one.
    pub tokenizer: Option<Tokenizer>,
    /// Tokens that end a text.
    pub ends: Vec<u32>,
    /// The token that stands before a text: one that begins texts, if the folder names it, else one
    /// that ends them.
    pub begin: Option<u32>,
    /// The folder it was read from.
    pub folder: PathBuf,
}

/// Reads the model at `path`.
///
/// # Errors
/// There is none; it is no LLaMA, or one with something that is not computed here; a file is
/// missing or damaged; its parameters do not fit into memory.
pub fn open_model(path: &Path) -> Result<OpenModel, InteropError> {
    let is_theirs = path.join("config.json").exists() && !path.join(MODEL_FILE).exists();
    let (spec, params, tokenizer) = if is_theirs {
        let theirs = load::Theirs::open(path)?;
        enough_memory(path, &theirs.spec)?;
        let params = theirs.params()?;
        (theirs.spec, params, Some(path.join(TOKENIZER_FILE)).filter(|file| file.exists()))
    } else {
        let located = locate(path)?;
        enough_memory(path, &located.spec)?;
        let params = load::ours(&located.spec, &located.params)?;
        (located.spec, params, located.tokenizer)
    };
    let mut ends = ends(path);
    let tokenizer = match tokenizer {
        Some(file) => {
            let eos = ends.first().map_or(Eos::WellKnown, |id| Eos::Id(*id));
            Some(Tokenizer::load(&file, eos).map(|tokenizer| (file, tokenizer))?)
        }
        None => of_run(path).map(|tokenizer| (path.to_path_buf(), tokenizer)),
    };
    if let Some((file, tokenizer)) = &tokenizer {
        fits(file, tokenizer, &spec)?;
        if ends.is_empty() {
            ends.push(tokenizer.eos());
        }
    }
    let tokenizer = tokenizer.map(|(_, tokenizer)| tokenizer);
    let begin = tokenizer.as_ref().map(|known| begin(path, known).unwrap_or(known.eos()));
    let folder = path.to_path_buf();
    Ok(OpenModel { spec, params: Arc::new(params), tokenizer, ends, begin, folder })
}

impl OpenModel {
    /// The same model with the vocabulary in `file`, a `tokenizer.json`, or that of bytes.
    ///
    /// # Errors
    /// It cannot be read, or has more tokens than the model.
    pub fn with_tokenizer(self, file: &Path) -> Result<Self, InteropError> {
        let tokenizer = match file.to_str() {
            Some(crate::BYTE_TOKENIZER) => Tokenizer::Byte,
            _ => Tokenizer::load(file, Eos::WellKnown)?,
        };
        fits(file, &tokenizer, &self.spec)?;
        let (ends, begin) = (vec![tokenizer.eos()], Some(tokenizer.eos()));
        Ok(Self { tokenizer: Some(tokenizer), ends, begin, ..self })
    }
}

/// Finds the model of our own form at `path`: an imported one, the newest checkpoint of a run, or
/// one checkpoint, whose hash is checked.
///
/// # Errors
/// There is none, or something of it is missing or damaged.
pub fn locate(path: &Path) -> Result<Located, InteropError> {
    if path.join(MODEL_FILE).exists() {
        let ModelFolder { model, dtype, .. } = ModelFolder::read(path)?;
        return Ok(Located {
            spec: model,
            params: ModelFolder::params(path),
            dtype,
            tokenizer: Some(path.join(TOKENIZER_FILE)).filter(|file| file.exists()),
            facts: vec![("imported as", dtype.name().to_string())],
        });
    }
    if path.join("config.json").exists() {
        return Err(InteropError::Theirs { path: path.to_path_buf() });
    }
    let checkpoints = path.join("checkpoints");
    let run = run_of(path).ok_or_else(|| InteropError::NoModel { path: path.to_path_buf() })?;
    let file = run.join("run.json");
    let damaged = |reason: String| InteropError::Run { path: file.clone(), reason };
    let text = std::fs::read(&file).map_err(|error| damaged(error.to_string()))?;
    let run = SignedRun::parse(&text).map_err(|error| damaged(error.to_string()))?;
    let run = run.document();
    let layout = layout_of(&run.model)?;
    let saved = match checkpoints.is_dir() {
        true => SavedParams::newest(&checkpoints, &layout),
        false => SavedParams::of(path, &layout),
    };
    let chosen = |reason| InteropError::Run { path: path.to_path_buf(), reason };
    let SavedParams { file: params, progress } = saved.map_err(chosen)?;
    let facts = vec![
        ("run", format!("{}, {}", run.name, progress.run_id)),
        ("objective", run.objective.to_string()),
        ("windows", progress.windows.to_string()),
        ("inner steps of a peer", progress.inner_steps.to_string()),
        ("state root", progress.state_root.to_string()),
    ];
    Ok(Located { spec: run.model.clone(), params, dtype: Dtype::F32, tokenizer: None, facts })
}

/// The folder of the run that `path` is, or is a checkpoint of: checkpoints lie in `checkpoints`.
fn run_of(path: &Path) -> Option<&Path> {
    let is_run = path.join("checkpoints").is_dir();
    let run = if is_run { Some(path) } else { path.parent().and_then(Path::parent) };
    run.filter(|run| run.join("run.json").exists())
}

/// The vocabulary of the data that a run keeps in its own folder.
fn of_run(path: &Path) -> Option<Tokenizer> {
    let dataset = Dataset::open(&run_of(path)?.join("data")).ok()?;
    Tokenizer::of_dataset(&dataset).ok().flatten()
}

/// The vocabulary in `file` for a model of `spec`.
///
/// # Errors
/// It cannot be read, or has more tokens than the model.
pub(crate) fn tokenizer_for(
    file: &Path,
    eos: Eos<'_>,
    spec: &ModelSpec,
) -> Result<Tokenizer, InteropError> {
    let tokenizer = Tokenizer::load(file, eos)?;
    fits(file, &tokenizer, spec).map(|()| tokenizer)
}

fn fits(file: &Path, tokenizer: &Tokenizer, spec: &ModelSpec) -> Result<(), InteropError> {
    let (tokens, model) = (tokenizer.vocab(), spec.vocab);
    match tokens as usize > model {
        true => Err(InteropError::Vocabulary { path: file.to_path_buf(), tokens, model }),
        false => Ok(()),
    }
}

fn enough_memory(path: &Path, spec: &ModelSpec) -> Result<(), InteropError> {
    let needs = layout_of(spec)?.params() * size_of::<f32>();
    match available_memory() {
        Some(has) if has < needs => {
            Err(InteropError::Memory { path: path.to_path_buf(), needs, has })
        }
        _ => Ok(()),
    }
}

/// The tokens that end a text, as the settings beside a model name them; what cannot be read says
/// nothing.
fn ends(dir: &Path) -> Vec<u32> {
    let of = |name: &str| {
        let found = settings(&dir.join(name))?.get("eos_token_id")?.clone();
        let ids = if let Value::Array(ids) = found { ids } else { vec![found] };
        let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
        Some(ids.iter().filter_map(id).collect::<Vec<u32>>()).filter(|ids| !ids.is_empty())
    };
    of("generation_config.json").or_else(|| of("config.json")).unwrap_or_default()
}

/// The token that begins a text, as the tokenizer's settings name it.
fn begin(dir: &Path, tokenizer: &Tokenizer) -> Option<u32> {
    let settings = settings(&dir.join("tokenizer_config.json"))?;
    let named = settings.get("bos_token")?;
    tokenizer.id(named.as_str().or_else(|| named.get("content")?.as_str())?)
}

/// A small JSON file, if it is there and is one.
pub(crate) fn settings(path: &Path) -> Option<Value> {
    let bytes = std::fs::metadata(path).ok()?.len();
    let text = (bytes <= SETTINGS_BYTES_MAX).then(|| std::fs::read(path).ok())??;
    serde_json::from_slice(&text).ok()
}
