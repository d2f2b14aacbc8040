//! `cov72 data`: make token shards, look inside them, and see which samples a peer is assigned.

mod chat;
mod inspect;
mod prepare;
mod samples;
mod synth;
mod text;

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
        DataCommand::Inspect(args) => inspect::run(args),
        DataCommand::Samples(args) => samples::run(args),
    }
}
