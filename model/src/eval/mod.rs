//! How much a model knows: questions with a choice of answers, and the perplexity of a text, as
//! EleutherAI's lm-evaluation-harness 0.4 asks and scores them.
//!
//! A task turns a row of its dataset into texts ([`Task::question`]), a [`Judge`] turns texts into
//! log-likelihoods, and what comes of them ([`Answered`]) is summed up by whoever asks.

mod judge;
mod perplexity;
mod tasks;

pub use judge::{Judge, JudgeError, Likelihood};
pub use perplexity::Perplexity;
pub use tasks::{Answered, Question, Task, task, task_names};
