//! `cov72 import`: a LLaMA of others in our own form.

use std::path::PathBuf;

use clap::Args;
use indicatif::ProgressBar;
use model::hugging_face::{Imported, ModelFolder, import};
use serde_json::json;

use crate::failure::Failure;
use crate::stdout;

const EXAMPLES: &str = "\
Examples:
  cov72 import ~/models/SmolLM2-360M --out models/smol
  cov72 export --checkpoint models/smol --out back    the same tensors, bit for bit";

/// Make a model folder of a Hugging Face folder: any LLaMA, tied or not, f32, bf16 or f16.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// Folder with config.json and model*.safetensors
    dir: PathBuf,
    /// Folder to make, with model.json and params.safetensors
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Print one JSON object on stdout at the end
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(crate) fn run(args: &ImportArgs) -> Result<(), Failure> {
    let counter = ProgressBar::new_spinner();
    let show = |tensors: usize| counter.set_message(format!("{tensors} tensors read"));
    let imported = import(&args.dir, &args.out, &show);
    counter.finish_and_clear();
    let Imported { spec, dtype, params } = imported?;
    if args.json {
        let out = args.out.display().to_string();
        return stdout::print_json(&json!({
            "params": params, "dtype": dtype.name(), "model": spec, "out": out,
        }));
    }
    eprintln!(
        "{params} parameters, stored as {}, are f32 in {}",
        dtype.name(),
        ModelFolder::params(&args.out).display()
    );
    Ok(())
}
