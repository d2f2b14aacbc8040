//! What can go wrong with a dataset. Each sentence names the file or value and the remedy.

use std::path::{Path, PathBuf};

/// An error of the dataset on this machine's disk.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file that has to be there is not.
    #[error("{} is missing; copy it there, or see: cov72 data prepare --help", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A folder without any shard.
    #[error(
        "{} holds no train_NNNNNN.npy; make shards with: cov72 data prepare --text FILE --out {}",
        .dir.display(), .dir.display()
    )]
    NoShards {
        /// The folder.
        dir: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {verb} {}: {source}; check rights and space", .path.display())]
    Io {
        /// `read`, `write`, ...
        verb: &'static str,
        /// File or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The first bytes are not those of the `.npy` file expected.
    #[error(
        "{} is damaged or of another kind: {why}; copy or prepare it again as a flat array \
         of {kind}", .path.display()
    )]
    Header {
        /// The file.
        path: PathBuf,
        /// What was expected, for example `<u4`.
        kind: &'static str,
        /// What was found.
        why: String,
    },
    /// More or fewer bytes than the header promises.
    #[error(
        "{} has {found_bytes} bytes where its header says {expected_bytes}; it was cut off or is \
         still being written: copy or prepare it again", .path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// By the header.
        expected_bytes: u64,
        /// On disk.
        found_bytes: u64,
    },
    /// Tokens that do not make whole samples.
    #[error(
        "{} has {tokens} tokens, which is no multiple of 2048; prepare it again",
        .path.display()
    )]
    NotWholeSamples {
        /// The token file.
        path: PathBuf,
        /// Its tokens.
        tokens: usize,
    },
    /// Less than one sample.
    #[error(
        "{} has {tokens} tokens and {ids} sample ids, less than one sample of 2048 tokens; \
         prepare it from more text", .path.display()
    )]
    TooShort {
        /// The token file.
        path: PathBuf,
        /// Its tokens.
        tokens: usize,
        /// Ids beside it.
        ids: usize,
    },
    /// Tokens whose hash is not the recorded id.
    #[error(
        "sample {sample} of {} hashes to {computed} but its id is {recorded}; the shard is \
         damaged: copy or prepare it again", .path.display()
    )]
    IdMismatch {
        /// The token file.
        path: PathBuf,
        /// Sample within the shard.
        sample: u64,
        /// Id in the file of ids.
        recorded: u64,
        /// Hash of the tokens.
        computed: u64,
    },
    /// A token the model has no embedding for.
    #[error(
        "token {token} at position {position} of sample {sample} of {} is beyond the vocabulary of \
         {vocab}; use the tokenizer that the shards were made with", .path.display()
    )]
    TokenBeyondVocabulary {
        /// The token file.
        path: PathBuf,
        /// Sample within the shard.
        sample: u64,
        /// Position within the sample.
        position: usize,
        /// The token.
        token: u32,
        /// Size of the vocabulary.
        vocab: u32,
    },
    /// A sample index past the end.
    #[error("sample {sample} is beyond the {samples} of {}; use a smaller one", .path.display())]
    SampleBeyond {
        /// The token file.
        path: PathBuf,
        /// The index asked for.
        sample: u64,
        /// Samples there are.
        samples: u64,
    },
    /// Answers asked for where nothing says what an answer is.
    #[error(
        "{} has no loss mask beside it, so nothing says which tokens are answers; make shards of \
         conversations with: cov72 data chat --jsonl FILE --out DIR", .path.display()
    )]
    NoMask {
        /// The token file.
        path: PathBuf,
    },
    /// More samples to draw than there are.
    #[error("cannot assign {size} different samples out of {of}; use more data or a smaller size")]
    TooFewSamples {
        /// Samples to draw.
        size: u64,
        /// Samples there are.
        of: u64,
    },
    /// A sequence length that does not cut a sample evenly.
    #[error(
        "sequence length {seq_len} does not divide a sample of 2048 tokens; use a power of two"
    )]
    SequenceLength {
        /// The length.
        seq_len: usize,
    },
    /// `dataset.json` that is not one.
    #[error("{}: {source}; mend that line, or remove the folder and make it anew", .path.display())]
    Description {
        /// The file.
        path: PathBuf,
        /// Line, column and key.
        source: serde_json::Error,
    },
    /// `dataset.json` and the shards beside it tell different stories.
    #[error(
        "{} says {said} but the shards have {found}; remove the folder and make it anew",
        .path.display()
    )]
    Disagrees {
        /// The description.
        path: PathBuf,
        /// By the description.
        said: String,
        /// On disk.
        found: String,
    },
    /// Documents that are to be kept apart, of which nobody knows where they begin.
    #[error(
        "{} is not there, so nothing says where documents begin; prepare the data by cov72 data \
         prepare --documents, or cov72 data chat, or leave documents.masks out", .path.display()
    )]
    NoDocuments {
        /// The file that would say it.
        path: PathBuf,
    },
    /// Starts of documents that cannot be.
    #[error(
        "{} has documents that do not begin one behind the other within {tokens} tokens; copy it \
         again, or prepare the data anew", .path.display()
    )]
    Starts {
        /// The file.
        path: PathBuf,
        /// Tokens of the shard.
        tokens: u64,
    },
    /// A shard that is not what it was when it was opened.
    #[error(
        "{} {what}: it is not as it was when it was opened, which would change what is trained on; \
         put it back as it was and start again, or prepare it again", .path.display()
    )]
    Changed {
        /// The token file.
        path: PathBuf,
        /// What happened to it.
        what: String,
    },
    /// A folder that holds something that must not be overwritten.
    #[error("{} already holds {found}; name an empty or a new folder", .dir.display())]
    Occupied {
        /// The folder.
        dir: PathBuf,
        /// What is there.
        found: String,
    },
    /// Not even one sample to write.
    #[error("{tokens} tokens are less than one sample of 2048; give more text")]
    NothingToWrite {
        /// Tokens given.
        tokens: u64,
    },
}

impl DatasetError {
    /// Wraps an error of the operating system; a file that is not there becomes `Missing`.
    pub(crate) fn io(verb: &'static str, path: &Path, source: std::io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            std::io::ErrorKind::NotFound if verb == "read" => Self::Missing { path },
            _ => Self::Io { verb, path, source },
        }
    }
}
