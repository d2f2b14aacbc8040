//! LLaMA, AdamW, SparseLoCo, checkpoints and tokenizers.

mod tokenizer;

pub use tokenizer::{
    BYTE_TOKENIZER, Eos, JsonTokenizer, TOKENIZER_FILE, Tokenizer, TokenizerError,
};
