//! `cov72`: train large language models together, over the open internet, among strangers.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod attack;
mod chat_template;
mod config;
mod data;
mod device;
mod eval;
mod explain;
mod export;
mod failure;
mod generate;
mod import;
mod init;
mod localnet;
mod node;
mod on_chain;
mod serve;
mod sim;
mod stdout;
mod train;
mod validate;

/// Train large language models together, over the open internet, among strangers.
#[derive(Debug, Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::TrainArgs),
    Localnet(localnet::LocalnetArgs),
    Init(init::InitArgs),
    Validate(validate::ValidateArgs),
    Explain(explain::ExplainArgs),
    Wallet(on_chain::WalletArgs),
    Register(on_chain::RegisterArgs),
    Metagraph(on_chain::MetagraphArgs),
    Chain(on_chain::ChainArgs),
    Data(data::DataArgs),
    Export(export::ExportArgs),
    Eval(eval::EvalArgs),
    Generate(generate::GenerateArgs),
    Serve(serve::ServeArgs),
    Import(import::ImportArgs),
    Sim(sim::SimArgs),
    Bench(bench::Cli),
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Train(args) => train::run(&args),
        Command::Localnet(args) => localnet::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Validate(args) => validate::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Wallet(args) => on_chain::wallet(&args),
        Command::Register(args) => on_chain::register(&args),
        Command::Metagraph(args) => on_chain::metagraph(&args),
        Command::Chain(args) => on_chain::info(&args),
        Command::Data(args) => data::run(args),
        Command::Export(args) => export::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Sim(args) => sim::run(&args),
        Command::Bench(args) => measure(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::from(failure.exit)
        }
    }
}

fn measure(args: &bench::Cli) -> Result<(), failure::Failure> {
    let text = bench::run(args)
        .map_err(|error| failure::Failure { exit: error.exit(), message: error.to_string() })?;
    stdout::print(|out| out.write_all(text.as_bytes()))
}
