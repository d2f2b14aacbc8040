//! Tokens are those of the Python package `tokenizers`, for text of many scripts; the numbers were
//! kept by `tokenizer/reference.py`.

use std::path::Path;

use model::{Eos, Tokenizer, train_bpe};
use serde::Deserialize;

#[derive(Deserialize)]
struct Kept {
    learnt_from: Vec<String>,
    encoded: Vec<Encoded>,
}

#[derive(Deserialize)]
struct Encoded {
    text: String,
    byte_level: Vec<u32>,
    llama_split: Vec<u32>,
}

fn kept() -> Kept {
    serde_json::from_str(include_str!("tokenizer/kept.json")).unwrap()
}

fn load(name: &str) -> Tokenizer {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tokenizer").join(name);
    Tokenizer::load(&path, Eos::WellKnown).unwrap()
}

#[test]
fn text_of_many_scripts_has_the_tokens_that_python_gives_it_and_comes_back() {
    let (byte_level, llama_split) = (load("byte_level.json"), load("llama_split.json"));
    let kept = kept();
    assert!(kept.encoded.len() > 10);
    for Encoded { text, byte_level: by_bytes, llama_split: by_split } in kept.encoded {
        for (tokenizer, wanted) in [(&byte_level, by_bytes), (&llama_split, by_split)] {
            let mut tokens = Vec::new();
            tokenizer.encode(text.as_bytes(), &mut tokens).unwrap();
            assert_eq!(tokens, wanted, "{text:?}");
            assert_eq!(tokenizer.decode(&tokens), text);
        }
    }
}

#[test]
fn a_vocabulary_learnt_here_is_the_one_that_python_learns() {
    let (json, vocab) = train_bpe(kept().learnt_from.into_iter(), 420, &["<|endoftext|>"]).unwrap();
    assert_eq!(vocab, 420);
    let ours: serde_json::Value = serde_json::from_str(&json).unwrap();
    let theirs: serde_json::Value =
        serde_json::from_str(include_str!("tokenizer/byte_level.json")).unwrap();
    for part in ["vocab", "merges"] {
        assert_eq!(ours["model"][part], theirs["model"][part], "{part}");
    }
}
