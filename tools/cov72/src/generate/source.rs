//! The model that text is made with, and the way of text into its tokens.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use model::generate::{Decoder, Finish};
use model::{OpenModel, Tokenizer, available_memory, open_model};
use runtime::Device;
use wire::ModelSpec;

use crate::chat_template::{ChatTemplate, Message};
use crate::failure::Failure;

/// Which model, with which vocabulary, on how many threads.
#[derive(Args, Debug)]
pub(crate) struct SourceArgs {
    /// A Hugging Face folder, a run's folder, one of its checkpoints, or what cov72 import made
    #[arg(long, value_name = "DIR")]
    pub(crate) model: PathBuf,
    /// tokenizer.json of the model, or: byte [default: the one that lies with it]
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// An open model that can read and write text.
pub(crate) struct Source {
    pub(crate) spec: ModelSpec,
    pub(crate) tokenizer: Arc<Tokenizer>,
    pub(crate) ends: Vec<u32>,
    /// Stands before a text that follows nothing.
    pub(crate) begin: u32,
    /// None where the folder has none.
    pub(crate) template: Option<ChatTemplate>,
    params: Arc<Vec<f32>>,
    folder: PathBuf,
    device: Device,
}

impl Source {
    pub(crate) fn open(args: &SourceArgs) -> Result<Self, Failure> {
        let mut open = open_model(&args.model)?;
        if let Some(file) = &args.tokenizer {
            open = open.with_tokenizer(file)?;
        }
        let OpenModel { spec, params, tokenizer, ends, begin, folder } = open;
        let tokenizer = tokenizer.ok_or_else(|| {
            Failure::precondition(format!(
                "{} has no tokenizer; give the one it was trained with by --tokenizer, a \
                 tokenizer.json or: byte",
                folder.display()
            ))
        })?;
        let threads =
            args.threads.or_else(|| Some(std::thread::available_parallelism().ok()?.get()));
        let device = Device::cpu(threads.unwrap_or(1)).map_err(model::ModelError::from)?;
        let template = ChatTemplate::of(&folder)?;
        let begin = begin.unwrap_or(tokenizer.eos());
        let tokenizer = Arc::new(tokenizer);
        Ok(Self { spec, tokenizer, ends, begin, template, params, folder, device })
    }

    /// The tokens of a text. One of none begins like a document, after the end of another.
    pub(crate) fn prompt_tokens(&self, text: &str) -> Result<Vec<u32>, Failure> {
        let mut tokens = self.tokenizer.encode_prompt(text).map_err(Failure::usage)?;
        if tokens.is_empty() {
            tokens.push(self.tokenizer.eos());
        }
        Ok(tokens)
    }

    /// The tokens of messages, after which an answer is to follow.
    pub(crate) fn chat_tokens(&self, messages: &[Message]) -> Result<Vec<u32>, Failure> {
        let template = self.template.as_ref().ok_or_else(|| {
            Failure::precondition(format!(
                "{} has no chat template, so it was not trained to chat; let it go on with a plain \
                 prompt, or add the template to its tokenizer_config.json",
                self.folder.display()
            ))
        })?;
        let text = template.render(messages, true).map_err(Failure::usage)?;
        let mut tokens = Vec::new();
        // The template writes the special tokens itself.
        self.tokenizer.encode(text.as_bytes(), &mut tokens).map_err(Failure::usage)?;
        if tokens.is_empty() {
            return Err(Failure::usage("the chat template makes nothing of these messages"));
        }
        Ok(tokens)
    }

    /// Tokens that may follow a prompt of so many.
    ///
    /// # Errors
    /// None may, in one sentence.
    pub(crate) fn room(&self, prompt: usize) -> Result<usize, String> {
        let most = self.spec.seq_len;
        let room = most.checked_sub(prompt).filter(|room| *room > 0);
        room.ok_or_else(|| {
            format!(
                "the prompt has {prompt} tokens, and the model takes {most} with what follows; \
                 shorten it"
            )
        })
    }

    /// A decoder for so many sequences of so many tokens, if there is memory for it.
    pub(crate) fn decoder(&self, slots: usize, positions: usize) -> Result<Decoder, Failure> {
        let needs = Decoder::planned_bytes(&self.spec, slots, positions);
        if let Some(has) = available_memory().filter(|has| *has < needs) {
            return Err(Failure::precondition(format!(
                "{slots} sequences of {positions} tokens need {:.1} GB beside the parameters, this \
                 machine has {:.1} GB free; ask for fewer",
                needs as f64 / 1e9,
                has as f64 / 1e9
            )));
        }
        let params = Arc::clone(&self.params);
        Ok(Decoder::new(&self.device, &self.spec, params, slots, positions)?)
    }

    /// What the model is called: its folder's name.
    pub(crate) fn name(&self) -> String {
        let folder = std::fs::canonicalize(&self.folder).unwrap_or_else(|_| self.folder.clone());
        folder.file_name().map_or("model".into(), |name| name.to_string_lossy().into_owned())
    }
}

/// As everybody calls it.
pub(crate) fn finish_name(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
    }
}
