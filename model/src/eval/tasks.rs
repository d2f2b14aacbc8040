//! The tasks: which rows are asked about, and which are examples. Definitions are those of
//! lm-evaluation-harness 0.4.

use serde_json::{Map, Value};

use super::questions::{self, Question};
use super::written::Problem;

/// What is asked about the rows of a dataset.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Its name.
    pub name: &'static str,
    /// Version of its definition.
    pub version: f64,
    /// Folder of its dataset, in the layout of the hub: `owner/name`, then the configuration.
    pub dataset: (&'static str, &'static str),
    /// Beginning of the names of the files to ask from.
    pub split: &'static str,
    /// Beginning of the names of the files that examples come from.
    pub examples: &'static str,
    /// Which of them stand before a question.
    pub order: Order,
    /// How many, if nobody says how many.
    pub shots: usize,
    /// Whether scores per character are reported, too.
    pub has_norm: bool,
    ask: Ask,
}

/// Which rows become examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Drawn anew for each question.
    Drawn,
    /// Drawn anew for each question, without the row that is asked about.
    DrawnFromOthers,
    /// The first of the same subject.
    First,
}

/// A question in the form that its task has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// One of several answers is right.
    Choice(Question),
    /// The answer is written.
    Written(Problem),
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Choice(fn(&Map<String, Value>) -> Result<Question, String>),
    Written(fn(&Map<String, Value>) -> Result<Problem, String>),
}

const TASKS: [Task; 8] = [
    Task {
        name: "arc_challenge",
        version: 1.0,
        dataset: ("allenai/ai2_arc", "ARC-Challenge"),
        split: "test",
        examples: "train",
        order: Order::Drawn,
        shots: 0,
        has_norm: true,
        ask: Ask::Choice(questions::arc),
    },
    Task {
        name: "arc_easy",
        version: 1.0,
        dataset: ("allenai/ai2_arc", "ARC-Easy"),
        split: "test",
        examples: "train",
        order: Order::Drawn,
        shots: 0,
        has_norm: true,
        ask: Ask::Choice(questions::arc),
    },
    Task {
        name: "gsm8k",
        version: 3.0,
        dataset: ("openai/gsm8k", "main"),
        split: "test",
        examples: "train",
        order: Order::Drawn,
        shots: 5,
        has_norm: false,
        ask: Ask::Written(questions::gsm8k),
    },
    Task {
        name: "hellaswag",
        version: 1.0,
        dataset: ("Rowan/hellaswag", "default"),
        split: "validation",
        examples: "train",
        order: Order::DrawnFromOthers,
        shots: 0,
        has_norm: true,
        ask: Ask::Choice(questions::hellaswag),
    },
    Task {
        name: "mmlu",
        version: 2.0,
        dataset: ("cais/mmlu", "all"),
        split: "test",
        examples: "dev",
        order: Order::First,
        shots: 0,
        has_norm: false,
        ask: Ask::Choice(questions::mmlu),
    },
    Task {
        name: "openbookqa",
        version: 1.0,
        dataset: ("allenai/openbookqa", "main"),
        split: "test",
        examples: "train",
        order: Order::Drawn,
        shots: 0,
        has_norm: true,
        ask: Ask::Choice(questions::openbookqa),
    },
    Task {
        name: "piqa",
        version: 1.0,
        dataset: ("baber/piqa", "default"),
        split: "validation",
        examples: "train",
        order: Order::DrawnFromOthers,
        shots: 0,
        has_norm: true,
        ask: Ask::Choice(questions::piqa),
    },
    Task {
        name: "winogrande",
        version: 1.0,
        dataset: ("allenai/winogrande", "winogrande_xl"),
        split: "validation",
        examples: "train",
        order: Order::DrawnFromOthers,
        shots: 0,
        has_norm: false,
        ask: Ask::Choice(questions::winogrande),
    },
];

/// The names of all tasks.
pub fn task_names() -> impl Iterator<Item = &'static str> {
    TASKS.iter().map(|task| task.name)
}

/// The task of this name.
pub fn task(name: &str) -> Option<Task> {
    TASKS.iter().find(|task| task.name == name).copied()
}

impl Task {
    /// Whether answers are written, not chosen.
    pub fn is_written(&self) -> bool {
        matches!(self.ask, Ask::Written(_))
    }

    /// What is asked about a row.
    ///
    /// # Errors
    /// The row lacks a column or holds something else there, in a few words.
    pub fn question(&self, row: &Map<String, Value>) -> Result<Asked, String> {
        let question = match self.ask {
            Ask::Choice(ask) => ask(row)?,
            Ask::Written(ask) => return Ok(Asked::Written(ask(row)?)),
        };
        match question.gold < question.requests.len() {
            true => Ok(Asked::Choice(question)),
            false => {
                Err(format!("the right answer is number {}, beyond its choices", question.gold))
            }
        }
    }
}

impl Asked {
    /// The question with its right answer, as it stands before another question.
    pub fn example(&self) -> String {
        let (given, answer) = match self {
            Self::Choice(question) => &question.requests[question.gold],
            Self::Written(problem) => {
                return format!("{} {}\n\n", problem.prompt, problem.answer);
            }
        };
        format!("{given}{answer}\n\n")
    }

    /// The same question after these examples.
    #[must_use]
    pub fn after(mut self, examples: &str) -> Self {
        match &mut self {
            Self::Choice(question) => {
                let start = format!("{}{examples}", question.description);
                question.requests.iter_mut().for_each(|(given, _)| given.insert_str(0, &start));
            }
            Self::Written(problem) => problem.prompt.insert_str(0, examples),
        }
        self
    }
}
