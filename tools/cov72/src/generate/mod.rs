//! `cov72 generate`: text from a model, as it comes.

pub(crate) mod source;

use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use clap::Args;
use model::generate::{Continuation, Decoder, Finish, Sampler, Sampling, StopText, TextStream};
use serde_json::json;

use crate::chat_template::Message;
use crate::failure::Failure;
use crate::stdout;
use crate::train::stop_on_interrupt;
use source::{Source, SourceArgs};

/// Most of stdin that is read as a prompt.
const PROMPT_BYTES_MAX: u64 = 16 << 20;

const EXAMPLES: &str = "\
Examples:
  cov72 generate --model runs/nano --prompt 'the ' --max-tokens 200
  cov72 generate --model models/smol --chat --prompt 'Why is the sky blue?'
  cov72 generate --model ~/models/SmolLM2-360M --temperature 0 < prompt.txt
  cov72 generate --model runs/book --seed 7 --top-p 0.9 --json";

/// Go on with a text: characters on stdout as they come, speed on stderr.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Text to go on with [default: stdin]
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// File of text to go on with
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    prompt_file: Option<PathBuf>,
    /// Treat the prompt as a message, and put it into the model's chat template
    #[arg(long)]
    chat: bool,
    /// What the chat begins with
    #[arg(long, value_name = "TEXT", requires = "chat")]
    system: Option<String>,
    /// Most tokens to make
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_tokens: usize,
    /// What logits are divided by; 0 always takes the most likely token
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    temperature: f32,
    /// Draw among the fewest tokens that have this probability together
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    top_p: f32,
    /// Draw among so many of the most likely tokens; 0 is all
    #[arg(long, value_name = "K", default_value_t = 0)]
    top_k: usize,
    /// End before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
    /// Seed of the draws: the same seed gives the same text [default: another one each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Print one JSON object at the end instead of text
    #[arg(long)]
    json: bool,
}

/// What was made, and how fast.
struct Made {
    text: String,
    finish: Finish,
    tokens: usize,
    prefill_s: f64,
    decode_s: f64,
    is_interrupted: bool,
}

/// Runs the command.
pub(crate) fn run(args: &GenerateArgs) -> Result<(), Failure> {
    let stop = stop_on_interrupt()?;
    let sampling = Sampling { temperature: args.temperature, top_k: args.top_k, top_p: args.top_p };
    if let Some((name, rule)) = sampling.broken_rule() {
        let name = name.replace('_', "-");
        return Err(Failure::usage(format!("--{name} is out of range; it has to be {rule}")));
    }
    if args.max_tokens == 0 {
        return Err(Failure::usage("--max-tokens 0 makes nothing; ask for 1 or more"));
    }
    let prompt = prompt(args)?;
    let source = Source::open(&args.source)?;
    let tokens = match args.chat {
        true => source.chat_tokens(&messages(args, prompt))?,
        false => source.prompt_tokens(&prompt)?,
    };
    let room = source.room(tokens.len()).map_err(Failure::usage)?;
    let seed = match args.seed {
        Some(seed) => seed,
        None => random_seed()?,
    };
    let tokenizer = &source.tokenizer;
    let continuation = Continuation::new(
        Sampler::new(sampling, seed),
        TextStream::after(tokenizer, &tokens),
        StopText::new(args.stop.clone()),
        source.ends.clone(),
        args.max_tokens.min(room),
    );
    let mut decoder = source.decoder(1, tokens.len() + args.max_tokens.min(room))?;
    let made = write(&mut decoder, continuation, &tokens, args.json, &stop)?;
    report(args, &made, tokens.len(), seed)?;
    match made.is_interrupted {
        true => Err(Failure::interrupted(format!("stopped after {} tokens", made.tokens))),
        false => Ok(()),
    }
}

fn prompt(args: &GenerateArgs) -> Result<String, Failure> {
    if let Some(prompt) = &args.prompt {
        return Ok(prompt.clone());
    }
    let mut text = String::new();
    let read = match &args.prompt_file {
        Some(file) => std::fs::File::open(file)
            .and_then(|file| file.take(PROMPT_BYTES_MAX + 1).read_to_string(&mut text))
            .map_err(|error| Failure::io("read", file, &error))?,
        None => std::io::stdin()
            .take(PROMPT_BYTES_MAX + 1)
            .read_to_string(&mut text)
            .map_err(|error| Failure::usage(format!("cannot read stdin: {error}; use --prompt")))?,
    };
    if read as u64 > PROMPT_BYTES_MAX {
        return Err(Failure::usage("the prompt has more than 16 MiB, which no model takes"));
    }
    Ok(text)
}

fn messages(args: &GenerateArgs, prompt: String) -> Vec<Message> {
    let system = args.system.iter().map(|text| Message::new("system", text));
    system.chain([Message::new("user", &prompt)]).collect()
}

/// A seed that no two calls share.
pub(crate) fn random_seed() -> Result<u64, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::ours(format!("no random numbers: {error}; give --seed")))?;
    // What fits a JSON number of every reader.
    Ok(u64::from_le_bytes(bytes) >> 11)
}

/// Feeds the prompt, then every token drawn, and writes the text as it comes.
fn write(
    decoder: &mut Decoder,
    mut continuation: Continuation,
    prompt: &[u32],
    is_silent: bool,
    stop: &Arc<AtomicBool>,
) -> Result<Made, Failure> {
    let mut logits = vec![0.0; decoder.vocab()];
    let started = Instant::now();
    decoder.next(0, prompt, &mut logits);
    let prefill_s = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut text = String::new();
    let (mut finish, mut is_interrupted) = (None, false);
    while finish.is_none() {
        let addition = continuation.draw(&logits);
        let is_read = is_silent || stdout::stream(&addition.text)?;
        text += &addition.text;
        finish = addition.finish;
        is_interrupted = stop.load(Ordering::Relaxed);
        if is_interrupted || !is_read {
            break;
        }
        if finish.is_none() {
            decoder.next(0, &[addition.token], &mut logits);
        }
    }
    if !is_silent {
        stdout::stream("\n")?;
    }
    Ok(Made {
        text,
        finish: finish.unwrap_or(Finish::Length),
        tokens: continuation.tokens(),
        prefill_s,
        decode_s: started.elapsed().as_secs_f64(),
        is_interrupted,
    })
}

fn report(args: &GenerateArgs, made: &Made, prompt: usize, seed: u64) -> Result<(), Failure> {
    let prompt_rate = prompt as f64 / made.prefill_s;
    // The first token comes of the prompt.
    let steps = made.tokens.saturating_sub(1);
    let rate = if steps == 0 { 0.0 } else { steps as f64 / made.decode_s };
    eprintln!(
        "{prompt} tokens read at {prompt_rate:.1} tokens/s, {} written at {rate:.1} tokens/s, \
         seed {seed}",
        made.tokens
    );
    if !args.json {
        return Ok(());
    }
    stdout::print_json(&json!({
        "text": made.text,
        "finish_reason": source::finish_name(made.finish),
        "prompt_tokens": prompt,
        "completion_tokens": made.tokens,
        "prompt_tokens_per_s": prompt_rate,
        "tokens_per_s": rate,
        "seed": seed,
    }))
}
