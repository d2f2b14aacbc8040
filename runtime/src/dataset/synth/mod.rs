//! A corpus that looks like a language and whose entropy is known exactly.
//!
//! A language is a fixed lexicon of pronounceable words and a Markov chain over them: each word has
//! a few likely successors, and now and then any word follows, frequent ones more often. A word
//! carries its own separator, so text and word sequence determine each other, and the entropy rate
//! in nats per byte is that of the chain divided by the mean length of a word. A model that sees
//! `T` bytes at a time ends slightly above it, as it cannot know the word before its first.
//! The language is always the same; the seed picks the text.

mod corpus;
mod language;

pub use corpus::ensure;
pub use language::Language;
