//! A conversation as the text that a model sees, and where in it the answers lie.
//!
//! The plain template opens a turn with `<start_of_turn>ROLE`, a line feed, and closes it with
//! `<end_of_turn>`; a line feed stands between two turns, and the token that ends a document behind
//! the last. Of an assistant's turn, all behind the first line feed is the answer.

use std::ops::Range;
use std::path::Path;

use super::jinja::Jinja;
use super::row::Message;
use crate::failure::Failure;

/// Name of the template that needs no file.
const PLAIN: &str = "plain";
/// Name of a template beside the shards that it made.
const TEMPLATE_FILE: &str = "chat_template.jinja";

/// How a conversation is written down.
#[derive(Debug)]
pub(super) enum Template {
    Plain,
    /// As a model of others came with it.
    Jinja(Box<Jinja>),
}

/// A conversation written down.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Rendered {
    pub(super) text: String,
    /// Bytes of the text that are answers, in order.
    pub(super) answers: Vec<Range<usize>>,
    /// Whether the token that ends a document is still to follow.
    pub(super) is_plain: bool,
}

impl Rendered {
    /// Whether a token at these bytes is part of an answer: all of it, for a token that reaches
    /// back into a prompt is none that a model could answer with. White space may be a token of no
    /// length, at its end.
    pub(super) fn counts(&self, place: &Range<usize>) -> bool {
        let next = self.answers.partition_point(|answer| answer.end < place.end);
        self.answers.get(next).is_some_and(|answer| {
            place.start >= answer.start && place.end > answer.start && place.end <= answer.end
        })
    }

    /// Whether nothing follows the last answer.
    pub(super) fn ends_with_an_answer(&self) -> bool {
        self.answers.last().is_some_and(|answer| answer.end == self.text.len())
    }
}

impl Template {
    /// The template that is named on the command line.
    pub(super) fn load(named: &Path) -> Result<Self, Failure> {
        match named == Path::new(PLAIN) {
            true => Ok(Self::Plain),
            false => Jinja::load(named).map(|jinja| Self::Jinja(Box::new(jinja))),
        }
    }

    /// As the description of a dataset names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Plain => PLAIN,
            Self::Jinja(_) => TEMPLATE_FILE,
        }
    }

    /// What to keep beside the shards.
    pub(super) fn source(&self) -> Option<&str> {
        match self {
            Self::Plain => None,
            Self::Jinja(jinja) => Some(jinja.source()),
        }
    }

    /// Writes a conversation down; an error says what is wrong with it.
    pub(super) fn render(&self, messages: &[Message]) -> Result<Rendered, String> {
        match self {
            Self::Plain => Ok(plain(messages)),
            Self::Jinja(jinja) => jinja.render(messages),
        }
    }
}

fn plain(messages: &[Message]) -> Rendered {
    let (mut text, mut answers) = (String::new(), Vec::new());
    for message in messages {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &format!("<start_of_turn>{}\n", message.role);
        let start = text.len();
        text += &message.content;
        text += "<end_of_turn>";
        if message.is_answer() {
            answers.push(start..text.len());
        }
    }
    Rendered { text, answers, is_plain: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_that_lie_in_an_answer_as_a_whole_count() {
        let rendered =
            Rendered { text: "x".repeat(20), answers: vec![3..6, 10..20], is_plain: true };
        let counting = [3..4, 3..6, 5..6, 4..4, 6..6, 10..20, 19..20, 20..20];
        let others = [0..1, 2..3, 2..4, 3..3, 5..7, 6..7, 7..7, 10..10, 9..11, 2..12];
        counting.iter().for_each(|place| assert!(rendered.counts(place), "{place:?}"));
        others.iter().for_each(|place| assert!(!rendered.counts(place), "{place:?}"));
        assert!(rendered.ends_with_an_answer());
    }
}
