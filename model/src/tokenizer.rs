//! Text to tokens and back: bytes as they are, or a Hugging Face `tokenizer.json`.
//!
//! A document is encoded without special tokens; whoever makes a dataset appends [`Tokenizer::eos`]
//! after each. In the byte vocabulary (256 tokens) the end of a document is byte 0, so a text must
//! not contain it.

use std::ops::Range;
use std::path::{Path, PathBuf};

use runtime::dataset::Dataset;

/// Name of the `tokenizer.json` that lies beside the shards it made.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// Name of the byte vocabulary.
pub const BYTE_TOKENIZER: &str = "byte";
/// End of a document in the byte vocabulary.
const BYTE_EOS: u32 = 0;
/// Names under which known tokenizers keep the token that ends a document, most specific first.
const EOS_NAMES: [&str; 6] =
    ["<|endoftext|>", "<|end_of_text|>", "<|endofdocument|>", "</s>", "<eos>", "[EOS]"];

/// Which token of a `tokenizer.json` ends a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eos<'a> {
    /// The first well-known name that the vocabulary has.
    WellKnown,
    /// The token of this name.
    Named(&'a str),
    /// The token of this id.
    Id(u32),
}

/// Why text cannot be encoded or a tokenizer cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// No such file, or none that the `tokenizers` library reads.
    #[error("cannot load tokenizer {}: {source}; name a tokenizer.json, or: byte", .path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What the library said.
        source: tokenizers::Error,
    },
    /// The vocabulary names no token that ends a document.
    #[error(
        "{} has no end-of-document token {wanted}; name one of its tokens with --eos",
        .path.display()
    )]
    NoEos {
        /// The file.
        path: PathBuf,
        /// The token asked for, or those that were tried.
        wanted: String,
    },
    /// The byte vocabulary keeps byte 0 for the end of a document.
    #[error("byte 0 at offset {offset} is the end of a document to the byte tokenizer; remove it")]
    Nul {
        /// Offset within the text given.
        offset: u64,
    },
    /// A `tokenizer.json` works on characters.
    #[error("no UTF-8 at offset {offset}; convert the text, or use the byte tokenizer")]
    NotUtf8 {
        /// Offset within the text given.
        offset: u64,
    },
    /// A vocabulary to learn that has no room for the bytes.
    #[error(
        "{vocab} tokens have no room for {needed}: the 256 bytes and the special tokens; raise \
         --vocab"
    )]
    SmallVocabulary {
        /// Tokens asked for.
        vocab: u32,
        /// The fewest there can be.
        needed: u32,
    },
    /// The library gave up on learning a vocabulary.
    #[error("no vocabulary can be learnt from this text: {source}; give other text")]
    Train {
        /// What the library said.
        source: tokenizers::Error,
    },
    /// The library gave up on a text.
    #[error("the tokenizer cannot encode this text: {source}; try the byte tokenizer")]
    Encode {
        /// What the library said.
        source: tokenizers::Error,
    },
}

/// A vocabulary and the way into it and out of it.
#[derive(Clone, Debug)]
pub enum Tokenizer {
    /// 256 tokens, one per byte.
    Byte,
    /// A `tokenizer.json`.
    Json(Box<JsonTokenizer>),
}

/// A loaded `tokenizer.json`.
#[derive(Clone, Debug)]
pub struct JsonTokenizer {
    inner: tokenizers::Tokenizer,
    vocab: u32,
    eos: u32,
}

impl Tokenizer {
    /// Loads a `tokenizer.json`.
    ///
    /// # Errors
    /// The file cannot be read, or its vocabulary lacks the token that shall end a document.
    pub fn load(path: &Path, eos: Eos<'_>) -> Result<Self, TokenizerError> {
        let inner = tokenizers::Tokenizer::from_file(path)
            .map_err(|source| TokenizerError::Load { path: path.to_path_buf(), source })?;
        let first_of = |names: &[&str]| names.iter().find_map(|name| inner.token_to_id(name));
        let (found, wanted) = match eos {
            Eos::WellKnown => (first_of(&EOS_NAMES), EOS_NAMES.join(" or ")),
            Eos::Named(name) => (first_of(&[name]), name.to_string()),
            Eos::Id(id) => (inner.id_to_token(id).map(|_| id), id.to_string()),
        };
        let no_eos = || TokenizerError::NoEos { path: path.to_path_buf(), wanted };
        let eos = found.ok_or_else(no_eos)?;
        // Ids may have gaps, so the count of tokens is not the bound on their ids.
        let vocab = inner.get_vocab(true).into_values().max().map_or(0, |largest| largest + 1);
        Ok(Self::Json(Box::new(JsonTokenizer { inner, vocab, eos })))
    }

    /// The tokenizer that made a dataset; `None` where the folder does not say.
    ///
    /// # Errors
    /// The `tokenizer.json` beside the shards is gone or damaged.
    pub fn of_dataset(dataset: &Dataset) -> Result<Option<Self>, TokenizerError> {
        let Some(about) = dataset.description() else { return Ok(None) };
        match (about.tokenizer.as_str(), about.eos) {
            (BYTE_TOKENIZER, _) => Ok(Some(Self::Byte)),
            (TOKENIZER_FILE, eos) => {
                let eos = eos.map_or(Eos::WellKnown, Eos::Id);
                Self::load(&dataset.dir().join(TOKENIZER_FILE), eos).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Size of the vocabulary: every token is below it.
    pub fn vocab(&self) -> u32 {
        match self {
            Self::Byte => 256,
            Self::Json(json) => json.vocab,
        }
    }

    /// The token of this name; bytes have none.
    pub fn id(&self, name: &str) -> Option<u32> {
        match self {
            Self::Byte => None,
            Self::Json(json) => json.inner.token_to_id(name),
        }
    }

    /// The token that ends a document.
    pub fn eos(&self) -> u32 {
        match self {
            Self::Byte => BYTE_EOS,
            Self::Json(json) => json.eos,
        }
    }

    /// Appends the tokens of `text` to `tokens`, without special tokens.
    ///
    /// # Errors
    /// The text holds byte 0 (byte vocabulary) or is not UTF-8 (`tokenizer.json`).
    pub fn encode(&self, text: &[u8], tokens: &mut Vec<u32>) -> Result<(), TokenizerError> {
        match self {
            Self::Byte => {
                if let Some(offset) = text.iter().position(|&byte| u32::from(byte) == BYTE_EOS) {
                    return Err(TokenizerError::Nul { offset: offset as u64 });
                }
                tokens.extend(text.iter().map(|&byte| u32::from(byte)));
            }
            Self::Json(json) => {
                let text = std::str::from_utf8(text)
                    .map_err(|e| TokenizerError::NotUtf8 { offset: e.valid_up_to() as u64 })?;
                let encoding = json.inner.encode_fast(text, false);
                let encoding = encoding.map_err(|source| TokenizerError::Encode { source })?;
                tokens.extend_from_slice(encoding.get_ids());
            }
        }
        Ok(())
    }

    /// The tokens of `text`, without special tokens but those it spells out, and for each the bytes
    /// of the text that it stands for. White space that a token stands for besides may be left out.
    ///
    /// # Errors
    /// The text holds byte 0 (byte vocabulary).
    pub fn encode_with_places(
        &self,
        text: &str,
    ) -> Result<(Vec<u32>, Vec<Range<usize>>), TokenizerError> {
        match self {
            Self::Byte => {
                let mut tokens = Vec::with_capacity(text.len());
                self.encode(text.as_bytes(), &mut tokens)?;
                Ok((tokens, (0..text.len()).map(|at| at..at + 1).collect()))
            }
            Self::Json(json) => {
                let encoding = json.inner.encode(text, false);
                let encoding = encoding.map_err(|source| TokenizerError::Encode { source })?;
                let places = encoding.get_offsets().iter().map(|&(start, end)| start..end);
                Ok((encoding.get_ids().to_vec(), places.collect()))
            }
        }
    }

    /// The tokens of a text that a model is to go on with: with the special tokens that the
    /// `tokenizer.json` puts around a text, such as one that begins it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_prompt(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        let Self::Json(json) = self else {
            let mut tokens = Vec::new();
            self.encode(text.as_bytes(), &mut tokens)?;
            return Ok(tokens);
        };
        let encoding = json.inner.encode_fast(text, true);
        Ok(encoding.map_err(|source| TokenizerError::Encode { source })?.get_ids().to_vec())
    }

    /// The text of `tokens`, special tokens included; what is no text becomes U+FFFD.
    pub fn decode(&self, tokens: &[u32]) -> String {
        match self {
            Self::Byte => {
                // 0xFF never occurs in UTF-8: a token that is no byte shows as what it is.
                let bytes = tokens.iter().map(|&token| u8::try_from(token).unwrap_or(0xFF));
                String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
            }
            Self::Json(json) => {
                let known: Vec<u32> = tokens
                    .iter()
                    .copied()
                    .filter(|&token| json.inner.id_to_token(token).is_some())
                    .collect();
                json.inner
                    .decode(&known, false)
                    .unwrap_or_else(|_| char::REPLACEMENT_CHARACTER.into())
            }
        }
    }
}

impl TokenizerError {
    /// The same error with offsets counted from `start` bytes earlier, for text read in pieces.
    pub fn offset_by(self, start: u64) -> Self {
        match self {
            Self::Nul { offset } => Self::Nul { offset: start + offset },
            Self::NotUtf8 { offset } => Self::NotUtf8 { offset: start + offset },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = r#"{
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [{"id": 4, "content": "</s>", "single_word": false, "lstrip": false,
            "rstrip": false, "normalized": false, "special": true}],
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
        "decoder": null,
        "model": {"type": "WordLevel", "unk_token": "?",
            "vocab": {"?": 0, "the": 1, "cat": 2, "sat": 3}}
    }"#;

    fn load(text: &str, eos: Eos<'_>) -> Result<Tokenizer, TokenizerError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        std::fs::write(&path, text).unwrap();
        Tokenizer::load(&path, eos)
    }

    fn encoded(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        tokenizer.encode(text.as_bytes(), &mut tokens).unwrap();
        tokens
    }

    #[test]
    fn bytes_are_their_own_tokens() {
        let tokens = encoded(&Tokenizer::Byte, "né\n");
        assert_eq!(tokens, [110, 195, 169, 10]);
        assert_eq!(Tokenizer::Byte.decode(&tokens), "né\n");
        assert_eq!(Tokenizer::Byte.decode(&[97, 300, 98]), "a\u{FFFD}b");
        assert_eq!((Tokenizer::Byte.vocab(), Tokenizer::Byte.eos()), (256, 0));
    }

    #[test]
    fn byte_zero_in_a_text_is_refused_with_its_offset() {
        let error = Tokenizer::Byte.encode(b"ab\0", &mut Vec::new()).unwrap_err();
        assert!(error.offset_by(100).to_string().starts_with("byte 0 at offset 102 "));
    }

    #[test]
    fn a_tokenizer_file_is_read_with_its_end_of_document() {
        let tokenizer = load(JSON, Eos::WellKnown).unwrap();
        assert_eq!((tokenizer.vocab(), tokenizer.eos()), (5, 4));
        assert_eq!(encoded(&tokenizer, "the cat ate"), [1, 2, 0]);
        assert_eq!(tokenizer.decode(&[1, 2, 7, 3]), "the cat sat");
        assert_eq!(load(JSON, Eos::Named("sat")).unwrap().eos(), 3);
    }

    #[test]
    fn tokens_come_with_the_bytes_they_stand_for() {
        let (tokens, places) = Tokenizer::Byte.encode_with_places("né").unwrap();
        assert_eq!((tokens, places), (vec![110, 195, 169], vec![0..1, 1..2, 2..3]));
        let tokenizer = load(JSON, Eos::WellKnown).unwrap();
        let (tokens, places) = tokenizer.encode_with_places("né cat</s> the").unwrap();
        assert_eq!(tokens, [0, 2, 4, 1]);
        assert_eq!(places, [0..3, 4..7, 7..11, 12..15]);
    }

    #[test]
    fn text_that_is_not_utf8_is_refused_with_its_offset() {
        let error =
            load(JSON, Eos::WellKnown).unwrap().encode(b"cat\xFF", &mut Vec::new()).unwrap_err();
        assert!(matches!(error, TokenizerError::NotUtf8 { offset: 3 }), "{error}");
    }

    #[test]
    fn files_that_are_no_tokenizer_or_lack_the_token_are_refused() {
        assert!(matches!(load("{}", Eos::WellKnown), Err(TokenizerError::Load { .. })));
        let error = load(JSON, Eos::Named("<stop>")).unwrap_err().to_string();
        assert!(error.contains("has no end-of-document token <stop>"), "{error}");
        let nameless = JSON.replace("</s>", "<other>");
        assert!(matches!(load(JSON, Eos::Id(5)), Err(TokenizerError::NoEos { .. })));
        assert!(matches!(load(&nameless, Eos::WellKnown), Err(TokenizerError::NoEos { .. })));
    }
}
