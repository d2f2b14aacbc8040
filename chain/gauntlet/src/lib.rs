//! Who helped, who did not, and what each is worth: evidence -> scores -> ratings -> selection and
//! weights.
//!
//! Pure: no I/O, no clock, no randomness but what a secret given as an argument yields. All
//! arithmetic is IEEE 754 in a fixed order with the functions of `libm`, so that the same evidence
//! gives the same bits on every machine. [`Book`] holds what is known of all peers and takes one
//! window of evidence at a time; [`copies::find`] looks through contributions for others'
//! work. All numbers that are somebody's choice are in [`rules`].

mod book;
pub mod copies;
mod draw;
mod history;
mod loss_score;
mod outcome;
mod oversized;
mod plackett_luce;
mod probes;
mod proof;
#[cfg(test)]
mod published;
pub mod rules;
mod score;
mod seat;
mod selection;
mod votes;
mod weights;

pub use book::Book;
pub use draw::Secret;
pub use oversized::oversized;
pub use probes::{assigned_probes, random_probes};
pub use rules::Terms;
pub use selection::Selection;
pub use votes::votes;
