//! `cargo run -p bench --release`: the table of measurements on stdout, talk on stderr.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match bench::run(&bench::Cli::parse()) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(error.exit())
        }
    }
}
