//! `cov72 train`, driven as a user drives it, on runs whose windows take milliseconds.

mod chat;
mod contract;
mod documents;
#[cfg(unix)]
mod kill;
mod refusals;
mod sft;
mod tiny;
