//! A model that is there already: a run's newest checkpoint, one of its checkpoints, or a folder
//! that `cov72 import` made. What is exported is one, and what a run may start from.

use std::path::{Path, PathBuf};

use model::hugging_face::{Dtype, MODEL_FILE, ModelFolder};
use model::{SavedParams, TOKENIZER_FILE, layout_of};
use wire::{ModelSpec, SignedRun};

use crate::failure::Failure;

/// Where a model comes from.
pub(crate) struct Origin {
    pub(crate) spec: ModelSpec,
    /// Safetensors file of the parameters, under our own names.
    pub(crate) params: PathBuf,
    pub(crate) dtype: Dtype,
    pub(crate) tokenizer: Option<PathBuf>,
    /// What a model card tells of it.
    pub(crate) facts: Vec<(&'static str, String)>,
}

impl Origin {
    /// The model in the folder `path`, which `flag` named.
    pub(crate) fn of(path: &Path, flag: &str) -> Result<Self, Failure> {
        if path.join(MODEL_FILE).exists() {
            let ModelFolder { model, dtype, .. } = ModelFolder::read(path)?;
            let tokenizer = Some(path.join(TOKENIZER_FILE)).filter(|file| file.exists());
            let facts = vec![("imported as", dtype.name().to_string())];
            let params = ModelFolder::params(path);
            return Ok(Self { spec: model, params, dtype, tokenizer, facts });
        }
        if path.join("config.json").exists() {
            let path = path.display();
            return Err(Failure::precondition(format!(
                "{path} is a model of others; make it ours by: cov72 import {path} --out models/it"
            )));
        }
        Self::of_run(path, flag)
    }

    /// A checkpoint lies in `checkpoints`, in the folder of its run.
    fn of_run(path: &Path, flag: &str) -> Result<Self, Failure> {
        let checkpoints = path.join("checkpoints");
        let is_run = checkpoints.is_dir();
        let run = if is_run { Some(path) } else { path.parent().and_then(Path::parent) };
        let file = run.map(|run| run.join("run.json")).filter(|file| file.exists());
        let file = file.ok_or_else(|| {
            Failure::precondition(format!(
                "{} is no run, no checkpoint of one, and no imported model; give {flag} the --dir \
                 of a run",
                path.display()
            ))
        })?;
        let text = std::fs::read(&file).map_err(|error| Failure::io("read", &file, &error))?;
        let run = SignedRun::parse(&text)
            .map_err(|error| Failure::damaged(format!("{}: {error}", file.display())))?;
        let run = run.document();
        let layout = layout_of(&run.model)?;
        let saved = match is_run {
            true => SavedParams::newest(&checkpoints, &layout),
            false => SavedParams::of(path, &layout),
        };
        let saved = saved.map_err(|reason| {
            Failure::damaged(format!("{reason}; choose another checkpoint by {flag}"))
        })?;
        let progress = &saved.progress;
        let facts = vec![
            ("run", format!("{}, {}", run.name, progress.run_id)),
            ("objective", run.objective.to_string()),
            ("windows", progress.windows.to_string()),
            ("inner steps of a peer", progress.inner_steps.to_string()),
            ("state root", progress.state_root.to_string()),
        ];
        let (spec, dtype) = (run.model.clone(), Dtype::F32);
        Ok(Self { spec, params: saved.file, dtype, tokenizer: None, facts })
    }
}
