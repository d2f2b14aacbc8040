//! `cov72 serve`: completions over HTTP, in the form that everybody's clients speak.
//!
//! One thread owns the model and makes the texts of several requests side by side; requests beyond
//! those wait in a queue of bounded length, and beyond that are told to come back.

mod answer;
mod engine;
mod refusal;
mod request;
mod routes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use crate::failure::Failure;
use crate::generate::source::{Source, SourceArgs};
use crate::node::setup::block_on;
use crate::train::stop_on_interrupt;
use engine::Engine;
use routes::Service;

const EXAMPLES: &str = "\
Examples:
  cov72 serve --model runs/nano
  cov72 serve --model ~/models/SmolLM2-360M-Instruct --listen 127.0.0.1:8080 --parallel 8
  curl http://127.0.0.1:8080/v1/completions -H 'content-type: application/json' \\
    -d '{\"prompt\": \"the \", \"max_tokens\": 20}'";

/// How often is looked whether somebody stopped the server.
const GLANCE: Duration = Duration::from_millis(50);

/// Answer completions and chats over HTTP, as OpenAI's clients ask for them.
///
/// There is no password: whoever reaches the address may use the model.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Address to listen at; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Requests that are answered side by side, each with keys and values of its own
    #[arg(long, value_name = "N", default_value_t = 4,
          value_parser = clap::value_parser!(u16).range(1..=256))]
    parallel: u16,
    /// Requests that may wait for one of those to end
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u16).range(1..))]
    queue: u16,
    /// Most tokens of a prompt and its answer [default: what the model was trained on]
    #[arg(long, value_name = "N")]
    context: Option<usize>,
}

/// Runs the command until it is interrupted.
pub(crate) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let stop = stop_on_interrupt()?;
    let mut source = Source::open(&args.source)?;
    let trained = source.spec.seq_len;
    match args.context {
        Some(0) => return Err(Failure::usage("--context 0 leaves no room for a prompt")),
        Some(context) if context > trained => {
            return Err(Failure::usage(format!(
                "--context {context} is more than the {trained} tokens that the model was trained \
                 on; use at most that"
            )));
        }
        Some(context) => source.spec.seq_len = context,
        None => (),
    }
    let decoder = source.decoder(usize::from(args.parallel), source.spec.seq_len)?;
    let engine = Engine::start(decoder, usize::from(args.queue))?;
    block_on(serve(args.listen, Service::new(source, engine), stop))
}

async fn serve(listen: SocketAddr, service: Service, stop: Arc<AtomicBool>) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind(listen).await.map_err(|error| {
        Failure::precondition(format!(
            "cannot listen at {listen}: {error}; choose another --listen"
        ))
    })?;
    let address = listener.local_addr().map_err(|error| Failure::ours(error.to_string()))?;
    eprintln!("{} at http://{address}/v1, Ctrl-C ends it", service.name());
    let stopped = async move {
        while !stop.load(Ordering::Relaxed) {
            tokio::time::sleep(GLANCE).await;
        }
        eprintln!("no more requests are taken; Ctrl-C again ends those under way");
    };
    let server = axum::serve(listener, routes::router(service)).with_graceful_shutdown(stopped);
    server.await.map_err(|error| Failure::ours(format!("the server failed: {error}")))
}
