//! The parameters that a run's first window starts from: drawn from its seed, or those of a model
//! that was there before, which every node keeps where it likes.

use std::path::{Path, PathBuf};

use model::hugging_face::read_params;
use wire::{Genesis, Layout, ModelSpec, RunDescription, StateRoot};

use crate::config::Config;
use crate::failure::Failure;

/// Where to take a run's first parameters from. Nothing is read until somebody needs them: who goes
/// on from a checkpoint does not.
#[derive(Clone, Debug)]
pub(crate) struct FirstParams {
    model: ModelSpec,
    seed: u64,
    genesis: Genesis,
    /// The folder of the model, for a run that starts from one.
    folder: PathBuf,
}

impl FirstParams {
    /// Those of `run`; `folder` is where this node keeps the model that it may start from.
    pub(crate) fn of(run: &RunDescription, folder: &Path) -> Self {
        let (model, folder) = (run.model.clone(), folder.to_path_buf());
        Self { model, seed: run.seed, genesis: run.genesis, folder }
    }

    /// Those of the run that a configuration describes.
    pub(crate) fn of_config(config: &Config) -> Self {
        let (model, folder) = (config.model.clone(), config.node.genesis.clone());
        Self { model, seed: config.seed, genesis: config.genesis(), folder }
    }

    /// Fills `values`, the whole model in layout order.
    pub(crate) fn fill(&self, layout: &Layout, values: &mut [f32]) -> Result<(), Failure> {
        match self.genesis {
            Genesis::Drawn => Ok(model::initial_params(&self.model, self.seed, values)?),
            Genesis::Given => self.read(layout, values),
        }
    }

    fn read(&self, layout: &Layout, values: &mut [f32]) -> Result<(), Failure> {
        if self.folder.as_os_str().is_empty() {
            return Err(Failure::usage(
                "this run starts from a model that was there before; name its folder as \
                 node.genesis, or by --from",
            ));
        }
        let origin = model::locate(&self.folder)?;
        // How long its sequences are is no property of parameters.
        let same = ModelSpec { seq_len: self.model.seq_len, ..origin.spec };
        if same != self.model {
            return Err(Failure::usage(format!(
                "{} is another model than the run's: {same:?}, not {:?}; name the right one as \
                 node.genesis, or by --from",
                self.folder.display(),
                self.model
            )));
        }
        Ok(read_params(&origin.params, layout, values)?)
    }

    /// Refuses parameters that are not those that the run starts from.
    pub(crate) fn confirm(&self, found: StateRoot, wanted: StateRoot) -> Result<(), Failure> {
        if found == wanted {
            return Ok(());
        }
        Err(match self.genesis {
            Genesis::Drawn => Failure::ours(format!(
                "seed {} gives first parameters of root {found}, the run's have {wanted}; use the \
                 version of cov72 that the run was made with",
                self.seed
            )),
            Genesis::Given => Failure::precondition(format!(
                "the parameters in {} have root {found}, those that the run starts from \
                 {wanted}; name the right model as node.genesis, or by --from",
                self.folder.display()
            )),
        })
    }
}
