//! `cov72 export`: what was trained, as a folder that everybody else's tools load.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use model::hugging_face::{Dtype, Export, export};
use model::{Located, layout_of, locate};
use serde_json::json;
use wire::ModelSpec;

use crate::failure::Failure;
use crate::stdout;

const EXAMPLES: &str = "\
Examples:
  cov72 export --checkpoint runs/nano --out exported      the newest checkpoint of a run
  cov72 export --checkpoint runs/nano/checkpoints/window-00000008 --out exported --dtype bf16
  cov72 export --checkpoint models/smol --out back    what cov72 import made";

/// Write a Hugging Face folder of a checkpoint: config.json, safetensors, tokenizer, model card.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// A run's folder, one of its checkpoints, or a folder that cov72 import made
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// How to store parameters [default: as they were imported, f32 if they were trained]
    #[arg(long, value_enum)]
    dtype: Option<DtypeArg>,
    /// tokenizer.json to go with the model [default: the one beside an imported model]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Most megabytes of values in one file
    #[arg(long, value_name = "MB", default_value_t = 5_000)]
    file_mb: u64,
    /// Print one JSON object on stdout at the end
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DtypeArg {
    F32,
    Bf16,
    F16,
}

impl From<DtypeArg> for Dtype {
    fn from(dtype: DtypeArg) -> Self {
        match dtype {
            DtypeArg::F32 => Self::F32,
            DtypeArg::Bf16 => Self::Bf16,
            DtypeArg::F16 => Self::F16,
        }
    }
}

/// Runs the command.
pub(crate) fn run(args: &ExportArgs) -> Result<(), Failure> {
    if args.file_mb == 0 {
        return Err(Failure::usage("--file-mb 0: a file holds at least one megabyte"));
    }
    let origin = locate(&args.checkpoint)?;
    let tokenizer = args.tokenizer.clone().or_else(|| origin.tokenizer.clone());
    let tensors = layout_of(&origin.spec)?.tensors().len() as u64;
    let style = "writing tensors {bar:30} {pos}/{len}, {eta} left";
    let style = ProgressStyle::with_template(style).expect("the template is well formed");
    let bar = ProgressBar::new(tensors).with_style(style);
    let dtype = args.dtype.map_or(origin.dtype, Dtype::from);
    let exported = export(&Export {
        spec: &origin.spec,
        params: &origin.params,
        out: &args.out,
        dtype,
        file_bytes_max: args.file_mb.saturating_mul(1_000_000),
        tokenizer: tokenizer.as_deref(),
        card: &card(&origin, dtype),
        on_tensor: &|tensors| bar.set_position(tensors as u64),
    });
    bar.finish_and_clear();
    let exported = exported?;
    if args.json {
        return stdout::print_json(&json!({
            "out": args.out.display().to_string(),
            "dtype": dtype.name(),
            "tensors": exported.tensors,
            "files": exported.files,
            "bytes": exported.bytes,
            "tokenizer": tokenizer.is_some(),
        }));
    }
    eprintln!(
        "{} tensors, {:.1} MB as {}, in {} files of {}",
        exported.tensors,
        exported.bytes as f64 / 1e6,
        dtype.name(),
        exported.files,
        args.out.display()
    );
    if tokenizer.is_none() {
        eprintln!("no tokenizer goes with it; give one by --tokenizer if the model has one");
    }
    Ok(())
}

/// The model card.
fn card(origin: &Located, dtype: Dtype) -> String {
    let ModelSpec { layers, d_model, heads, kv_heads, ffn, vocab, seq_len, .. } = origin.spec;
    let mut card = format!(
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n\
         A LLaMA of {layers} layers, width {d_model}, {heads} query and {kv_heads} key-value \
         heads, feed-forward width {ffn}, {vocab} tokens, trained on sequences of {seq_len}; \
         stored as {}. Exported by cov72 {}.\n\n| | |\n|---|---|\n",
        dtype.name(),
        env!("CARGO_PKG_VERSION")
    );
    for (what, value) in &origin.facts {
        card += &format!("| {what} | {value} |\n");
    }
    card
}
