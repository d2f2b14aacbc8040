//! How much a model knows: questions with a choice of answers, and the perplexity of a text, as
//! EleutherAI's lm-evaluation-harness 0.4 asks and scores them.
//!
//! A task turns a row of its dataset into texts, behind examples of the same kind
//! ([`Shots::question`]). A [`Judge`] turns texts into log-likelihoods, or writes on, and what
//! comes of that ([`Answered`], [`Solved`]) is summed up by whoever asks.

mod judge;
mod perplexity;
mod questions;
mod shots;
mod tasks;
mod written;

pub use judge::{Judge, JudgeError, Likelihood};
pub use perplexity::Perplexity;
pub use questions::{Answered, Question};
pub use shots::{SHOTS_SEED, Shots};
pub use tasks::{Asked, Order, Task, task, task_names};
pub use written::{ANSWER_TOKENS_MAX, Problem, STOPS, Solved};
