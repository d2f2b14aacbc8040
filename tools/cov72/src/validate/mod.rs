//! `cov72 validate`: judges the contributions of a network's miners and publishes what counts.

mod archive;
mod ballot;
mod case;
mod equivocation;
mod judge;
mod originals;
mod patience;
mod referee;
mod validator;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use runtime::Device;

use crate::config::Config;
use crate::failure::Failure;
use crate::node::{FirstParams, Replica, setup};
use crate::train::{
    RunFolder, Screen, agree_with_network, append_window, dataset, last_window, stop_on_interrupt,
};
pub(crate) use archive::{Archive, FolderArchive, MemoryArchive};
pub(crate) use case::{Samples, effect};
pub(crate) use referee::{Scoring, replay};
pub(crate) use validator::Validator;

const EXAMPLES: &str = "\
Examples:
  cov72 init --network net --dir net/judge --role validator    a validator's folder and key
  cov72 validate --config net/judge/run.toml                   judge until Ctrl-C
  cov72 validate --config net/judge/run.toml --windows 20      judge the first twenty windows";

/// Judge the contributions to a run, and publish which of them count.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ValidateArgs {
    /// Configuration of the node, as `cov72 init` writes it
    #[arg(long, value_name = "FILE.toml")]
    config: PathBuf,
    /// Stop after this window, counted from the start of the run [default: never]
    #[arg(long, value_name = "N")]
    windows: Option<u64>,
}

/// Runs the command.
pub(crate) fn run(args: &ValidateArgs) -> Result<(), Failure> {
    let stop = stop_on_interrupt()?;
    let Some((mut config, run)) = Config::of_network(&args.config)? else {
        return Err(Failure::usage(format!(
            "{} names no network; set network.run and network.chain, or write a new one with \
             cov72 init",
            args.config.display()
        )));
    };
    config.windows = args.windows.unwrap_or(config.windows);
    config.check()?;
    let folder = RunFolder::claim(&config.dir())?;
    let dataset = dataset(&config, folder.dir())?;
    agree_with_network(&run, &config, &dataset)?;
    let screen = Arc::new(Screen::new(config.windows, 0, None, folder.dir().to_path_buf()));
    let layout = model::layout_of(&run.model)?;
    let device = Device::cpu(config.threads()).map_err(model::ModelError::from)?;
    let first = FirstParams::of(&run, &config.node.genesis);
    let replica = Replica::genesis(&device, &layout, &run, &first)?;
    let done = setup::block_on(async {
        let (keypair, voice) = (folder.key_in_network(&config)?, Arc::clone(&screen) as _);
        let node = setup::join(&config, &run, &layout, keypair, voice, stop).await?;
        let recorded = last_window(&folder)?;
        let shown = Arc::clone(&screen);
        let archive = Box::new(FolderArchive::of(folder.dir()));
        let scoring = Scoring { archive, is_aside: true };
        let on_record = Box::new(move |record| {
            append_window(&folder, &record)?;
            shown.judged(&record);
            Ok(())
        });
        let every = config.network.checkpoint_every;
        let mut validator = Validator::new(node, replica, dataset, every, scoring, on_record)?;
        if let Some(window) = recorded {
            validator.node.trail.skip_to(window.next());
        }
        validator.run(config.windows).await?;
        Ok(validator.state())
    });
    screen.close();
    let (window, root) = done?;
    eprintln!("{} windows judged, state root {root}", window.0);
    Ok(())
}
