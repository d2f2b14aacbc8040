//! Learning a byte-level BPE vocabulary: every byte is a token, and the most frequent pairs of
//! tokens become tokens, so that any text can be encoded and comes back as it was.
//!
//! Ties go to the smaller pair and nothing hangs on the order of threads: the same texts give the
//! same file.

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, NormalizerWrapper, PostProcessorWrapper, TokenizerBuilder};

use crate::TokenizerError;

/// Learns at most `vocab` tokens from `texts`, `special` ones first; returns the `tokenizer.json`
/// and how many tokens it has.
///
/// # Errors
/// `vocab` has no room for the bytes and the special tokens, or the library gave up.
pub fn train_bpe(
    texts: impl Iterator<Item = String> + Send,
    vocab: u32,
    special: &[&str],
) -> Result<(String, u32), TokenizerError> {
    let needed = 256 + special.len() as u32;
    if vocab < needed {
        return Err(TokenizerError::SmallVocabulary { vocab, needed });
    }
    let failed = |source| TokenizerError::Train { source };
    let special = special.iter().map(|token| AddedToken::from(*token, true)).collect();
    let mut trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(vocab as usize)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(special)
        .build();
    let split = ByteLevel::new(false, true, true);
    let mut tokenizer = TokenizerBuilder::<
        BPE,
        NormalizerWrapper,
        ByteLevel,
        PostProcessorWrapper,
        ByteLevelDecoder,
    >::new()
    .with_model(BPE::default())
    .with_pre_tokenizer(Some(split))
    .with_decoder(Some(ByteLevelDecoder::default()))
    .build()
    .map_err(failed)?;
    tokenizer.train(&mut trainer, texts).map_err(failed)?;
    let found = tokenizer.get_vocab_size(true) as u32;
    Ok((tokenizer.to_string(true).map_err(failed)?, found))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Eos, Tokenizer};

    const TEXTS: [&str; 3] = ["the cat sat on the mat", "größer, 日本語 😀\n\tthe end", "the the"];

    fn trained(vocab: u32) -> (String, u32) {
        train_bpe(TEXTS.iter().map(|text| text.to_string()), vocab, &["<|endoftext|>"]).unwrap()
    }

    #[test]
    fn a_trained_vocabulary_gives_any_text_back() {
        let (json, vocab) = trained(300);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokenizer.json");
        std::fs::write(&path, &json).unwrap();
        let tokenizer = Tokenizer::load(&path, Eos::WellKnown).unwrap();
        assert_eq!((tokenizer.vocab(), tokenizer.eos()), (vocab, 0));
        for text in TEXTS.iter().chain(&["never seen: ß\u{0}\u{10FFFF}"]) {
            let mut tokens = Vec::new();
            tokenizer.encode(text.as_bytes(), &mut tokens).unwrap();
            assert_eq!(tokenizer.decode(&tokens), *text);
        }
        let mut tokens = Vec::new();
        tokenizer.encode(b" the", &mut tokens).unwrap();
        assert_eq!(tokens.len(), 1, "the most frequent word is a token");
    }

    #[test]
    fn the_same_texts_give_the_same_file() {
        let first = trained(290);
        assert!((0..5).all(|_| trained(290) == first));
    }

    #[test]
    fn a_vocabulary_without_room_for_the_bytes_is_refused() {
        let error = train_bpe(std::iter::empty(), 256, &["<|endoftext|>"]).unwrap_err();
        assert!(error.to_string().contains("256 tokens have no room for 257"), "{error}");
    }
}
