//! LLaMA, AdamW, SparseLoCo, checkpoints and tokenizers.

mod tokenizer;

pub use tokenizer::{JsonTokenizer, Tokenizer, TokenizerError};
