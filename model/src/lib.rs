//! The model and how it learns: what a peer computes, apart from the network.

pub mod sparseloco;
