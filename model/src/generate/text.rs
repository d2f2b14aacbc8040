//! Tokens as text while they come, in whole characters, up to a stop sequence.

use std::sync::Arc;

use crate::Tokenizer;

/// Tokens after which text is given out even if its last character may be unfinished: no character
/// has so many parts.
const PARTS_MAX: usize = 8;

/// Text of tokens, as soon as it is certain.
#[derive(Clone, Debug)]
pub struct TextStream {
    tokenizer: Arc<Tokenizer>,
    tokens: Vec<u32>,
    /// Tokens from here on are decoded, for what a token says depends on the one before it.
    start: usize,
    /// Tokens up to here are given out.
    given: usize,
}

impl TextStream {
    /// A text that goes on after `before`, which is not given out.
    pub fn after(tokenizer: &Arc<Tokenizer>, before: &[u32]) -> Self {
        let tokens = before[before.len().saturating_sub(PARTS_MAX)..].to_vec();
        Self { tokenizer: Arc::clone(tokenizer), start: 0, given: tokens.len(), tokens }
    }

    /// What becomes certain by one more token; often nothing.
    pub fn push(&mut self, token: u32) -> String {
        self.tokens.push(token);
        self.give(self.tokens.len() - self.given >= PARTS_MAX)
    }

    /// What is left when no token follows.
    pub fn finish(&mut self) -> String {
        self.give(true)
    }

    fn give(&mut self, all: bool) -> String {
        let before = self.tokenizer.decode(&self.tokens[self.start..self.given]);
        let text = self.tokenizer.decode(&self.tokens[self.start..]);
        let new = text.get(before.len()..).unwrap_or_default();
        if new.is_empty() || (new.ends_with(char::REPLACEMENT_CHARACTER) && !all) {
            return String::new();
        }
        self.tokens.drain(..self.start);
        self.start = self.given - self.start;
        self.given = self.tokens.len();
        new.to_string()
    }
}

/// Text up to the first of several stop sequences. What may be the start of one is held back until
/// it is certain that it is not.
#[derive(Clone, Debug)]
pub struct StopText {
    stops: Vec<String>,
    held: String,
}

impl StopText {
    /// A text that ends before the first of `stops`; empty ones are nothing.
    pub fn new(stops: Vec<String>) -> Self {
        Self {
            stops: stops.into_iter().filter(|stop| !stop.is_empty()).collect(),
            held: String::new(),
        }
    }

    /// What can be given out after more text, and whether a stop sequence ended it.
    pub fn push(&mut self, text: &str) -> (String, bool) {
        self.held += text;
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min();
        if let Some(at) = found {
            let text = self.held[..at].to_string();
            self.held.clear();
            return (text, true);
        }
        let held = self.stops.iter().map(|stop| overlap(&self.held, stop)).max().unwrap_or(0);
        let rest = self.held.split_off(self.held.len() - held);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back, when no text follows.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// Bytes at the end of `text` that `stop` begins with.
fn overlap(text: &str, stop: &str) -> usize {
    let starts = stop.char_indices().map(|(at, _)| at).rev();
    starts.into_iter().find(|at| text.ends_with(&stop[..*at])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(bytes: &[u8]) -> Vec<String> {
        let mut stream =
            TextStream::after(&Arc::new(Tokenizer::Byte), b"a\xC3".map(u32::from).as_slice());
        let mut pieces: Vec<String> =
            bytes.iter().map(|byte| stream.push(u32::from(*byte))).collect();
        pieces.push(stream.finish());
        pieces
    }

    #[test]
    fn characters_come_whole() {
        let euro = "x\u{20AC}y".as_bytes();
        assert_eq!(pieces(euro), ["x", "", "", "\u{20AC}", "y", ""]);
        assert_eq!(pieces(b"\xE2\x82"), ["", "", "\u{FFFD}"]);
    }

    #[test]
    fn bytes_that_are_no_text_do_not_hold_up_what_follows() {
        assert_eq!(pieces(b"\xFFz"), ["", "\u{FFFD}z", ""]);
        let many = pieces(&[0xFF; 20]);
        assert_eq!(many.concat(), "\u{FFFD}".repeat(20));
        assert_eq!(many[7], "\u{FFFD}".repeat(8));
    }

    fn stopped(stops: &[&str], text: &[&str]) -> (Vec<String>, bool) {
        let mut stop = StopText::new(stops.iter().map(|stop| stop.to_string()).collect());
        let mut pieces = Vec::new();
        for text in text {
            let (piece, ended) = stop.push(text);
            pieces.push(piece);
            if ended {
                return (pieces, true);
            }
        }
        pieces.push(stop.finish());
        (pieces, false)
    }

    #[test]
    fn text_ends_before_the_first_stop_sequence_even_if_it_comes_in_pieces() {
        let pieces = |given: &[&str], ended| (given.iter().map(|s| s.to_string()).collect(), ended);
        assert_eq!(stopped(&["END"], &["a E", "N", "D b"]), pieces(&["a ", "", ""], true));
        assert_eq!(stopped(&["END"], &["a EN", "E"]), pieces(&["a ", "EN", "E"], false));
        assert_eq!(stopped(&["bc", "b"], &["abc"]), pieces(&["a"], true));
        assert_eq!(stopped(&[], &["abc"]), pieces(&["abc", ""], false));
        assert_eq!(stopped(&[""], &["abc"]), pieces(&["abc", ""], false));
        assert_eq!(
            stopped(&["\u{20AC}!"], &["x\u{20AC}", "?"]),
            pieces(&["x", "\u{20AC}?", ""], false)
        );
        // A stop sequence that overlaps itself.
        assert_eq!(stopped(&["aab"], &["aa", "ab"]), pieces(&["", "a"], true));
    }
}
