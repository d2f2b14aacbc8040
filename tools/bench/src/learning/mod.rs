//! `bench learning`: what compression costs in learning, measured on the real training path.
//!
//! P peers in one process train a small LLaMA on the bytes of a text. Every method starts from the
//! same parameters and sees the same bytes; only what the peers exchange differs.

mod corpus;
mod exchange;
mod method;
mod report;
pub(crate) mod rounds;
mod study;

use std::path::PathBuf;

use wire::ModelSpec;

use crate::{BenchError, kept, machine};
use corpus::Corpus;
use method::METHODS;
use report::Report;
use study::Study;

/// Compares AdamW, DiLoCo and SparseLoCo on the bytes of a text.
#[derive(clap::Args, Clone, Debug)]
pub struct LearningArgs {
    /// Text to train on (the first 95 %) and validate with (the rest).
    #[arg(long, value_name = "FILE")]
    pub text: PathBuf,
    /// Windows: outer steps.
    #[arg(long, default_value_t = 24)]
    pub windows: u64,
    /// Simulated peers.
    #[arg(long, default_value_t = 4)]
    pub peers: usize,
    /// Inner steps in one window.
    #[arg(long, default_value_t = 15)]
    pub inner_steps: u32,
    /// Sequences of one peer in one inner step.
    #[arg(long, default_value_t = 4)]
    pub sequences: usize,
    /// Tokens in a sequence.
    #[arg(long, default_value_t = 256)]
    pub seq: usize,
    /// Layers of the model.
    #[arg(long, default_value_t = 4)]
    pub layers: usize,
    /// Width of the model; a head has 32 values.
    #[arg(long, default_value_t = 128)]
    pub width: usize,
    /// Width of its feed-forward layers.
    #[arg(long, default_value_t = 352)]
    pub ffn: usize,
    /// Give the model an output matrix of its own instead of the embedding.
    #[arg(long)]
    pub untied: bool,
    /// Seed of the first parameters and of which bytes peers see.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Threads; all cores when not given.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Only the methods whose name holds one of these, as mean,Lloyd; ratios need a dense DiLoCo.
    #[arg(long, value_delimiter = ',', value_name = "PARTS")]
    pub only: Vec<String>,
    /// Print JSON instead of a Markdown table.
    #[arg(long)]
    pub json: bool,
    /// Keep the result as tools/bench/runs/learning-NAME.json.
    #[arg(long, value_name = "NAME")]
    pub keep: Option<String>,
}

impl LearningArgs {
    /// The model of preset `m1`, of byte tokens, as large as asked for.
    fn spec(&self) -> ModelSpec {
        let heads = (self.width / 32).max(1);
        ModelSpec {
            layers: self.layers,
            d_model: self.width,
            heads,
            kv_heads: heads,
            ffn: self.ffn,
            vocab: 256,
            seq_len: self.seq,
            rope_theta: 10_000.0,
            norm_eps: 1e-5,
            tied: !self.untied,
        }
    }

    fn check(&self) -> Result<(), BenchError> {
        let counts = [
            ("--windows", self.windows as usize),
            ("--peers", self.peers),
            ("--inner-steps", self.inner_steps as usize),
            ("--sequences", self.sequences),
            ("--seq", self.seq),
            ("--layers", self.layers),
            ("--width", self.width),
            ("--ffn", self.ffn),
        ];
        match counts.into_iter().find(|(_, count)| *count == 0) {
            Some((name, _)) => Err(BenchError::Zero(name)),
            None => Ok(()),
        }
    }
}

/// Runs the study and returns what to print.
///
/// # Errors
/// The text cannot be read or is too short, training fails, or the result cannot be kept.
pub fn run(args: &LearningArgs) -> Result<String, BenchError> {
    args.check()?;
    let corpus = Corpus::read(&args.text, args.seq, args.seed)?;
    let study = Study {
        spec: args.spec(),
        corpus: &corpus,
        peers: args.peers,
        windows: args.windows,
        inner_steps: args.inner_steps,
        sequences: args.sequences,
        threads: machine::threads(args.threads),
        seed: args.seed,
    };
    let mut report = Report::new(&study)?;
    let wanted =
        |name: &str| args.only.is_empty() || args.only.iter().any(|part| name.contains(part));
    for (name, method) in METHODS.into_iter().filter(|(name, _)| wanted(name)) {
        let outcome = study.run(method, &mut |window| {
            if window.is_multiple_of(8) {
                eprintln!("{name}: window {window} of {}", args.windows);
            }
        })?;
        eprintln!("{name}: {:.4} nats/byte in {:.0} s", outcome.loss, outcome.seconds);
        report.push(name, method, &outcome);
    }
    let json = report.json();
    if let Some(name) = &args.keep {
        kept::write(&format!("learning-{name}"), &json)?;
    }
    Ok(if args.json { json } else { report.markdown() })
}
