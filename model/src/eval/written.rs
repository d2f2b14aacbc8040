//! Answers that a model writes: where one ends, which number in it counts, and when it is right.
//! The rules are those of the harness's gsm8k.

use std::sync::LazyLock;

use regex::Regex;

/// Texts before which an answer ends.
pub const STOPS: [&str; 3] = ["Question:", "</s>", "<|im_end|>"];
/// Most tokens of an answer.
pub const ANSWER_TOKENS_MAX: usize = 256;
/// What stands for a number where there is none.
const NONE: &str = "[invalid]";

static AFTER_MARK: LazyLock<Regex> = LazyLock::new(|| known(r"#### (-?[0-9.,]+)"));
static ANY_NUMBER: LazyLock<Regex> = LazyLock::new(|| known(r"-?[$0-9.,]{2,}|-?[0-9]+"));
/// What does not count when numbers are compared. A last line's end may follow the point.
static WITHOUT: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
    [(",", ""), (r"\$", ""), ("(?s).*#### ", ""), (r"\.(\n?)$", "$1")]
        .map(|(pattern, with)| (known(pattern), with))
});

fn known(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the pattern is well formed")
}

/// A problem, of which the solution is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is given.
    pub prompt: String,
    /// The right solution.
    pub answer: String,
}

/// Whether what was written is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solved {
    /// By the number in the form that the examples have, and which that is.
    pub strict: (bool, String),
    /// By the last number of the text.
    pub flexible: (bool, String),
}

impl Problem {
    /// What a written solution comes to.
    pub fn solved(&self, text: &str) -> Solved {
        let strict = AFTER_MARK.captures(text).map(|found| found[1].to_string());
        let flexible = ANY_NUMBER.find_iter(text).last().map(|found| found.as_str().to_string());
        let right = plain(&self.answer);
        let [strict, flexible] = [strict, flexible].map(|found| {
            let found = found.unwrap_or_else(|| NONE.to_string());
            (plain(&found) == right, found)
        });
        Solved { strict, flexible }
    }
}

/// An answer without what does not count.
fn plain(text: &str) -> String {
    let text = WITHOUT.iter().fold(text.to_string(), |text, (pattern, with)| {
        pattern.replace_all(&text, *with).into_owned()
    });
    text.to_lowercase()
}
