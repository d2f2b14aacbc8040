//! One text in the making: a token for each row of logits, its text, and when to end.

use super::{Sampler, StopText, TextStream};

/// Why a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it, or a stop sequence came.
    Stop,
    /// It has as many tokens as were asked for, or as the model can take.
    Length,
}

/// What one token adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addition {
    /// The token, which the decoder is fed next unless the text has ended.
    pub token: u32,
    /// Text that is certain now.
    pub text: String,
    /// Whether the text ends here.
    pub finish: Option<Finish>,
}

/// The rest of a text, of which the beginning was given.
#[derive(Clone, Debug)]
pub struct Continuation {
    sampler: Sampler,
    text: TextStream,
    stop: StopText,
    ends: Vec<u32>,
    tokens: usize,
    tokens_max: usize,
}

impl Continuation {
    /// A continuation of at least one and at most `tokens_max` tokens, which one of `ends` ends.
    pub fn new(
        sampler: Sampler,
        text: TextStream,
        stop: StopText,
        ends: Vec<u32>,
        tokens_max: usize,
    ) -> Self {
        Self { sampler, text, stop, ends, tokens: 0, tokens_max }
    }

    /// Draws the next token.
    pub fn draw(&mut self, logits: &[f32]) -> Addition {
        let token = self.sampler.draw(logits);
        self.tokens += 1;
        let is_end = self.ends.contains(&token);
        let new = if is_end { self.text.finish() } else { self.text.push(token) };
        let (mut text, is_stopped) = self.stop.push(&new);
        if is_stopped {
            return Addition { token, text, finish: Some(Finish::Stop) };
        }
        let is_full = self.tokens >= self.tokens_max;
        if !is_end && !is_full {
            return Addition { token, text, finish: None };
        }
        let (last, is_stopped) = self.stop.push(&self.text.finish());
        text += &last;
        text += &self.stop.finish();
        let is_end = is_end || is_stopped;
        let finish = if is_end { Finish::Stop } else { Finish::Length };
        Addition { token, text, finish: Some(finish) }
    }

    /// Tokens drawn so far.
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sampling;
    use super::*;
    use crate::Tokenizer;

    /// Draws the bytes of `text`, one after another.
    fn spoken(text: &[u8], stops: &[&str], tokens_max: usize) -> (String, Option<Finish>, usize) {
        let sampler = Sampler::new(Sampling { temperature: 0.0, ..Sampling::default() }, 0);
        let stop = StopText::new(stops.iter().map(|stop| stop.to_string()).collect());
        let stream = TextStream::after(&std::sync::Arc::new(Tokenizer::Byte), &[]);
        let mut rest = Continuation::new(sampler, stream, stop, vec![0], tokens_max);
        let mut said = String::new();
        for byte in text {
            let mut logits = [0.0; 256];
            logits[usize::from(*byte)] = 1.0;
            let Addition { token, text, finish } = rest.draw(&logits);
            assert_eq!(token, u32::from(*byte));
            said += &text;
            if finish.is_some() {
                return (said, finish, rest.tokens());
            }
        }
        (said, None, rest.tokens())
    }

    #[test]
    fn a_text_ends_by_its_end_token_a_stop_sequence_or_its_length() {
        let said = |text: &str, finish, tokens| (text.to_string(), finish, tokens);
        assert_eq!(spoken(b"abc\0d", &[], 9), said("abc", Some(Finish::Stop), 4));
        assert_eq!(spoken(b"abc\0d", &["c"], 9), said("ab", Some(Finish::Stop), 3));
        assert_eq!(spoken(b"abc\0d", &[], 2), said("ab", Some(Finish::Length), 2));
        assert_eq!(spoken(b"abc", &["cd"], 9), said("ab", None, 3));
        // What was held back is said at the end.
        assert_eq!(spoken(b"abc\0", &["cd"], 9), said("abc", Some(Finish::Stop), 4));
        assert_eq!(spoken(b"ab\xC3", &[], 3), said("ab\u{FFFD}", Some(Finish::Length), 3));
    }
}
