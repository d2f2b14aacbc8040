//! How surprised a model is by texts, per word and per byte, so that vocabularies compare.

/// The log-likelihood of texts and how long they are.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Perplexity {
    /// Logarithm of their probability, in nats.
    pub nats: f64,
    /// Pieces between white space, empty ones at either end included, as the harness counts.
    pub words: usize,
    /// Bytes of UTF-8.
    pub bytes: usize,
}

impl Perplexity {
    /// Of one text.
    pub fn of(text: &str, nats: f64) -> Self {
        let is_space = |text: Option<char>| text.is_some_and(char::is_whitespace);
        let ends = [text.chars().next(), text.chars().next_back()];
        let inner = text.split_whitespace().count();
        let words = match inner {
            0 if text.is_empty() => 1,
            0 => 2,
            _ => inner + ends.into_iter().filter(|end| is_space(*end)).count(),
        };
        Self { nats, words, bytes: text.len() }
    }

    /// Of these and more texts.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self {
            nats: self.nats + more.nats,
            words: self.words + more.words,
            bytes: self.bytes + more.bytes,
        }
    }

    /// Perplexity of a word.
    pub fn per_word(&self) -> f64 {
        (-self.nats / self.words as f64).exp()
    }

    /// Perplexity of a byte.
    pub fn per_byte(&self) -> f64 {
        (-self.nats / self.bytes as f64).exp()
    }

    /// Bits to write a byte down.
    pub fn bits_per_byte(&self) -> f64 {
        -self.nats / self.bytes as f64 / std::f64::consts::LN_2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_pieces_between_white_space() {
        let words = |text: &str| Perplexity::of(text, 0.0).words;
        assert_eq!(["a b", " a  b\n", "a", "", "  "].map(words), [2, 4, 1, 1, 2]);
    }

    #[test]
    fn one_bit_per_byte_is_a_perplexity_of_two() {
        let both = Perplexity::of("ab", -2.0 * std::f64::consts::LN_2)
            .and(Perplexity::of("c d", -3.0 * std::f64::consts::LN_2));
        assert_eq!((both.bytes, both.words), (5, 3));
        assert!((both.bits_per_byte() - 1.0).abs() < 1e-12);
        assert!((both.per_byte() - 2.0).abs() < 1e-12);
        assert!((both.per_word() - 2f64.powf(5.0 / 3.0)).abs() < 1e-12);
    }
}
