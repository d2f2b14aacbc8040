//! What is asked about a row of each dataset, and when an answer is right. Prompts, choices and
//! what a choice's score is divided by are those of lm-evaluation-harness 0.4.

use serde_json::{Map, Value};

use super::Likelihood;
use super::written::Problem;

/// A question: texts to compare, of which one is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// What stands before the examples.
    pub description: String,
    /// Of each choice: what is given, and what is scored after it.
    pub requests: Vec<(String, String)>,
    /// Characters of each choice.
    pub chars: Vec<usize>,
    /// Which choice is right.
    pub gold: usize,
}

/// Whether a model chose right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// By the log-likelihoods.
    pub acc: bool,
    /// By the log-likelihoods per character.
    pub acc_norm: bool,
}

impl Question {
    /// Choices that follow one text, a space between them.
    fn of(context: &str, choices: &[String], gold: usize) -> Self {
        let request = |choice: &String| (context.to_string(), format!(" {choice}"));
        Self {
            description: String::new(),
            requests: choices.iter().map(request).collect(),
            chars: choices.iter().map(|choice| choice.chars().count()).collect(),
            gold,
        }
    }

    /// What the likelihoods of its requests come to; of equals the first is chosen.
    pub fn answered(&self, found: &[Likelihood]) -> Answered {
        let is_right = |score: &dyn Fn(usize) -> f64| {
            let best = (1..found.len()).fold(0, |best, at| match score(at) > score(best) {
                true => at,
                false => best,
            });
            best == self.gold
        };
        Answered {
            acc: is_right(&|at| found[at].nats),
            acc_norm: is_right(&|at| found[at].nats / self.chars[at] as f64),
        }
    }
}

fn text<'a>(row: &'a Map<String, Value>, key: &str) -> Result<&'a str, String> {
    let value = row.get(key).ok_or_else(|| missing(row, key))?;
    value.as_str().ok_or_else(|| format!("its {key} is no text"))
}

fn texts(row: &Map<String, Value>, key: &str) -> Result<Vec<String>, String> {
    let values = row.get(key).ok_or_else(|| missing(row, key))?.as_array();
    let texts = values
        .and_then(|values| values.iter().map(|value| value.as_str().map(str::to_string)).collect());
    texts.ok_or_else(|| format!("its {key} is no list of texts"))
}

fn object<'a>(row: &'a Map<String, Value>, key: &str) -> Result<&'a Map<String, Value>, String> {
    let value = row.get(key).ok_or_else(|| missing(row, key))?;
    value.as_object().ok_or_else(|| format!("its {key} is no object"))
}

fn missing(row: &Map<String, Value>, key: &str) -> String {
    let present: Vec<String> =
        row.keys().take(20).map(|key| key.escape_debug().to_string()).collect();
    format!("it has no {key}, but [{}]", present.join(", "))
}

/// A number, or the text of one.
fn number(row: &Map<String, Value>, key: &str) -> Result<usize, String> {
    let value = row.get(key).ok_or_else(|| missing(row, key))?;
    let found = match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_u64().map(|number| number as usize),
    };
    found.ok_or_else(|| format!("its {key} is no number"))
}

/// Choices with labels, and which of them a label names.
fn labelled(row: &Map<String, Value>) -> Result<(Vec<String>, usize), String> {
    let choices = object(row, "choices")?;
    let (labels, texts) = (texts(choices, "label")?, texts(choices, "text")?);
    let key = text(row, "answerKey")?.trim_start();
    let gold = labels.iter().position(|label| label == key);
    Ok((texts, gold.ok_or_else(|| format!("no choice has the label {}", key.escape_debug()))?))
}

pub(super) fn arc(row: &Map<String, Value>) -> Result<Question, String> {
    let (choices, gold) = labelled(row)?;
    let context = format!("Question: {}\nAnswer:", text(row, "question")?);
    Ok(Question::of(&context, &choices, gold))
}

pub(super) fn openbookqa(row: &Map<String, Value>) -> Result<Question, String> {
    let (choices, gold) = labelled(row)?;
    Ok(Question::of(text(row, "question_stem")?, &choices, gold))
}

pub(super) fn piqa(row: &Map<String, Value>) -> Result<Question, String> {
    let context = format!("Question: {}\nAnswer:", text(row, "goal")?);
    let choices = [text(row, "sol1")?, text(row, "sol2")?].map(str::to_string);
    Ok(Question::of(&context, &choices, number(row, "label")?))
}

pub(super) fn hellaswag(row: &Map<String, Value>) -> Result<Question, String> {
    let (activity, first) = (text(row, "activity_label")?, text(row, "ctx_a")?);
    let context = format!("{activity}: {first} {}", capitalized(text(row, "ctx_b")?));
    let choices: Vec<String> =
        texts(row, "endings")?.iter().map(|ending| without_brackets(ending)).collect();
    Ok(Question::of(&without_brackets(&context), &choices, number(row, "label")?))
}

/// The first letter large, all others small.
fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    first + &chars.as_str().to_lowercase()
}

/// How-to articles come with marks in brackets.
fn without_brackets(text: &str) -> String {
    let text = text.trim().replace(" [title]", ". ");
    let (mut out, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some(open) = rest.find('[') {
        let line = rest[open..].split('\n').next().unwrap_or_default();
        let end = line.find(']').map(|close| open + close + 1);
        out += &rest[..open];
        match end {
            Some(end) => rest = &rest[end..],
            None => {
                out.push('[');
                rest = &rest[open + 1..];
            }
        }
    }
    (out + rest).replace("  ", " ")
}

pub(super) fn mmlu(row: &Map<String, Value>) -> Result<Question, String> {
    const LETTERS: [&str; 4] = ["A", "B", "C", "D"];
    let choices = texts(row, "choices")?;
    if choices.len() != LETTERS.len() {
        return Err(format!("it has {} choices, not {}", choices.len(), LETTERS.len()));
    }
    let subject = text(row, "subject")?.replace('_', " ");
    let mut context = format!("{}\n", text(row, "question")?.trim());
    for (letter, choice) in LETTERS.iter().zip(&choices) {
        context += &format!("{letter}. {choice}\n");
    }
    context += "Answer:";
    Ok(Question {
        description: format!(
            "The following are multiple choice questions (with answers) about {subject}.\n\n"
        ),
        ..Question::of(&context, &LETTERS.map(str::to_string), number(row, "answer")?)
    })
}

/// Here the beginnings differ, and what is scored is the end that they share.
pub(super) fn winogrande(row: &Map<String, Value>) -> Result<Question, String> {
    let sentence = text(row, "sentence")?;
    let (before, after) = sentence.split_once('_').ok_or("its sentence has no gap _")?;
    let options = [text(row, "option1")?, text(row, "option2")?];
    let request = |option: &str| (format!("{before}{option}"), format!(" {}", after.trim()));
    let answer = number(row, "answer")?;
    Ok(Question {
        description: String::new(),
        requests: options.map(request).to_vec(),
        chars: options.map(|option| (before.to_string() + option).chars().count()).to_vec(),
        gold: answer.checked_sub(1).ok_or("its answer is 0, not 1 or 2")?,
    })
}

pub(super) fn gsm8k(row: &Map<String, Value>) -> Result<Problem, String> {
    let prompt = format!("Question: {}\nAnswer:", text(row, "question")?);
    Ok(Problem { prompt, answer: text(row, "answer")?.to_string() })
}
