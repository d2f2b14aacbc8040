//! A stranger's text, made harmless: printable ASCII, and never longer than a line.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::protocol::FOREIGN_TEXT_CHARS_MAX;

/// Text from outside that may be shown, logged and recorded, but never used as a label or a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct ForeignText(String);

impl ForeignText {
    /// Keeps the printable ASCII of `text`, escapes the rest and cuts what is too long.
    pub fn new(text: &str) -> Self {
        Self::from_chars(text.chars())
    }

    /// As [`ForeignText::new`], each byte that is not ASCII being escaped by itself.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self::from_chars(bytes.iter().map(|byte| char::from(*byte)))
    }

    fn from_chars(chars: impl Iterator<Item = char>) -> Self {
        let mut text = String::new();
        for char in chars.take(FOREIGN_TEXT_CHARS_MAX + 1) {
            if char.is_ascii_graphic() || char == ' ' {
                text.push(char);
            } else {
                text.extend(char.escape_unicode());
            }
        }
        if text.len() > FOREIGN_TEXT_CHARS_MAX {
            text.truncate(FOREIGN_TEXT_CHARS_MAX - 3);
            text.push_str("...");
        }
        Self(text)
    }

    /// The harmless text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ForeignText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for ForeignText {
    fn from(text: String) -> Self {
        Self::new(&text)
    }
}

impl From<ForeignText> for String {
    fn from(text: ForeignText) -> Self {
        text.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_control_characters_do_not_reach_a_terminal() {
        assert_eq!(ForeignText::new("a\x1b[31m\nb").as_str(), "a\\u{1b}[31m\\u{a}b");
        assert_eq!(ForeignText::from_bytes(&[0xff, b'x']).as_str(), "\\u{ff}x");
        assert_eq!(ForeignText::new("\u{202e}").as_str(), "\\u{202e}");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        let text = ForeignText::new(&"\u{1f980}".repeat(1_000_000));
        assert_eq!(text.as_str().len(), FOREIGN_TEXT_CHARS_MAX);
        assert!(text.as_str().ends_with("..."));
        assert_eq!(ForeignText::new(text.as_str()), text);
    }

    #[test]
    fn text_is_made_harmless_when_it_is_read_too() {
        let text: ForeignText = serde_json::from_str("\"\\u001b[2J\"").unwrap();
        assert_eq!(text.as_str(), "\\u{1b}[2J");
    }
}
