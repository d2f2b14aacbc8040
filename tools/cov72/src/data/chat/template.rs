//! A conversation as the text that a model sees, and where in it the answers lie.
//!
//! The plain template opens a turn with `<start_of_turn>ROLE`, a line feed, and closes it with
//! `<end_of_turn>`; a line feed stands between two turns, and the token that ends a document behind
//! the last. Of an assistant's turn, all behind the first line feed is the answer.
//!
//! A model's own template says how to write a conversation, not where its answers are. An answer is
//! what it writes between its invitation to answer and the next message: the conversation up to
//! there is written with the invitation, then with the answer, and the second must begin with the
//! first.

use std::ops::Range;
use std::path::Path;

use super::row::is_answer;
use crate::chat_template::{ChatTemplate, Message, TEMPLATE_FILE};
use crate::failure::Failure;

/// Name of the template that needs no file.
const PLAIN: &str = "plain";

/// How a conversation is written down.
#[derive(Debug)]
pub(super) enum Template {
    Plain,
    /// As a model of others came with it.
    Model(Box<ChatTemplate>),
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
            false => ChatTemplate::load(named).map(|theirs| Self::Model(Box::new(theirs))),
        }
    }

    /// As the description of a dataset names it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Plain => PLAIN,
            Self::Model(_) => TEMPLATE_FILE,
        }
    }

    /// What to keep beside the shards.
    pub(super) fn source(&self) -> Option<&str> {
        match self {
            Self::Plain => None,
            Self::Model(theirs) => Some(theirs.source()),
        }
    }

    /// Writes a conversation down; an error says what is wrong with it.
    pub(super) fn render(&self, messages: &[Message]) -> Result<Rendered, String> {
        match self {
            Self::Plain => Ok(plain(messages)),
            Self::Model(theirs) => {
                answered(theirs, messages).map_err(|told| told + ", or use --template plain")
            }
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
        if is_answer(message) {
            answers.push(start..text.len());
        }
    }
    Rendered { text, answers, is_plain: true }
}

fn answered(template: &ChatTemplate, messages: &[Message]) -> Result<Rendered, String> {
    let text = template.render(messages, false)?;
    let (mut answers, mut from) = (Vec::new(), 0);
    for (at, _) in messages.iter().enumerate().filter(|(_, message)| is_answer(message)) {
        let asked = template.render(&messages[..at], true)?;
        let answered = template.render(&messages[..=at], false)?;
        let follows = answered.starts_with(&asked) && text.starts_with(&answered);
        // White space behind the end of a turn is the template's, not the answer's.
        let end = answered.trim_end().len();
        if !follows || asked.len() < from || end <= asked.len() {
            return Err(format!(
                "the chat template writes a conversation differently once message {} follows, so \
                 that its answer cannot be told from the prompt; take another",
                at + 1
            ));
        }
        from = end;
        answers.push(asked.len()..end);
    }
    Ok(Rendered { text, answers, is_plain: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theirs(source: &str) -> Template {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(TEMPLATE_FILE);
        std::fs::write(&path, source).unwrap();
        Template::load(&path).unwrap()
    }

    #[test]
    fn answers_are_found_between_invitation_and_next_message() {
        let template = theirs(
            "{% for m in messages %}<{{ m.role }}>{{ m.content.strip() }}</s>\n{% endfor %}\
             {% if add_generation_prompt %}<assistant>{% endif %}",
        );
        let said =
            [("user", " Hi <b>"), ("assistant", "Yes & no."), ("user", "?"), ("assistant", "!")];
        let said = said.map(|(role, content)| Message::new(role, content));
        let rendered = template.render(&said).unwrap();
        let text = "<user>Hi <b></s>\n<assistant>Yes & no.</s>\n<user>?</s>\n<assistant>!</s>\n";
        assert_eq!(rendered.text, text);
        let answers: Vec<_> = rendered.answers.iter().map(|at| &text[at.clone()]).collect();
        assert_eq!(answers, ["Yes & no.</s>", "!</s>"]);
        assert_eq!(rendered.answers[0], 28..41);
        // What is written of a conversation depends on how long it is.
        let fickle =
            theirs("{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}");
        let refused = fickle.render(&said).unwrap_err();
        assert!(refused.contains("differently once message 2 follows"), "{refused}");
        assert!(refused.contains("--template plain"), "{refused}");
    }

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
