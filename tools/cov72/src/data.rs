//! `cov72 data`: make token shards and tokenizers, check them, look inside, and see which samples a
//! peer is assigned.

mod chat;
mod claim;
mod documents;
mod inputs;
mod inspect;
mod prepare;
mod samples;
mod synth;
mod text;
mod train_tokenizer;
mod verify;
mod vocabulary;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Make token shards, look inside them, see which samples a peer is assigned.
#[derive(Debug, Args)]
pub(crate) struct DataArgs {
    #[command(subcommand)]
    command: DataCommand,
}

#[derive(Debug, Subcommand)]
enum DataCommand {
    Prepare(prepare::PrepareArgs),
    Chat(chat::ChatArgs),
    Synth(synth::SynthArgs),
    Verify(verify::VerifyArgs),
    TrainTokenizer(train_tokenizer::TrainTokenizerArgs),
    Inspect(inspect::InspectArgs),
    Samples(samples::SamplesArgs),
}

/// Runs the subcommand asked for.
///
/// # Errors
/// What it was told to read or write cannot be, or its arguments contradict the data.
pub(crate) fn run(args: DataArgs) -> Result<(), Failure> {
    match args.command {
        DataCommand::Prepare(args) => prepare::run(args),
        DataCommand::Chat(args) => chat::run(args),
        DataCommand::Synth(args) => synth::run(args),
        DataCommand::Verify(args) => verify::run(args),
        DataCommand::TrainTokenizer(args) => train_tokenizer::run(args),
        DataCommand::Inspect(args) => inspect::run(args),
        DataCommand::Samples(args) => samples::run(args),
    }
}
