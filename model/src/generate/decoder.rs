//! Several sequences under one model, with the keys and values of all their tokens kept: a new
//! token costs one pass over the parameters, whatever came before it.
//!
//! The logits have the bits of the training path's forward pass, however the tokens were split
//! into calls: all sums go in the same order. Host cores, f32. Memory is planned once:
//! [`Decoder::planned_bytes`], of which a cache of `slots` sequences of `positions` tokens takes
//! `slots * positions * layers * 2 * kv_heads * head_dim * 4` bytes.

use std::sync::Arc;

use runtime::ops::cached_attention::{PANEL, Segment, Shape};
use runtime::{Buffer, Device};
use wire::ModelSpec;

use super::layers::{Cache, Layers, Rows};
use crate::ModelError;

/// Most rows of one pass: long prompts go through in pieces, so that activations stay small.
const ROWS_MAX: usize = 256;

/// New tokens of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Extend<'a> {
    /// The sequence, below [`Decoder::slots`].
    pub slot: usize,
    /// What follows what it holds.
    pub tokens: &'a [u32],
}

/// Which logits to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Those after the last new token of each sequence.
    Last,
    /// Those after each new token.
    All,
    /// None: the tokens are kept, and that is all.
    None,
}

/// Which token logits come after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The sequence.
    pub slot: usize,
    /// The token's position in it, from 0.
    pub position: usize,
}

/// A model that goes on with sequences.
pub struct Decoder {
    layers: Layers,
    cache: Cache,
    rows: Rows,
    /// Tokens held of each sequence.
    lens: Vec<usize>,
    positions: usize,
}

impl Decoder {
    /// A decoder for `slots` sequences of at most `positions` tokens, on the host's `device`.
    ///
    /// # Errors
    /// The model has no layout.
    ///
    /// # Panics
    /// `params` are not those of `spec`, or the device is a GPU.
    pub fn new(
        device: &Device,
        spec: &ModelSpec,
        params: Arc<Vec<f32>>,
        slots: usize,
        positions: usize,
    ) -> Result<Self, ModelError> {
        assert!(matches!(device, Device::Cpu(_)), "a decoder runs on host cores");
        let (slots, positions) = (slots.max(1), positions.max(1));
        let shape = shape_of(spec, slots, positions);
        let layers = Layers::new(device, spec, params, positions)?;
        Ok(Self {
            rows: Rows::plan(device, spec, rows_max(slots, positions)),
            cache: Cache::plan(device, spec.layers, shape),
            layers,
            lens: vec![0; slots],
            positions,
        })
    }

    /// Bytes that [`Decoder::new`] will hold beside the parameters.
    pub fn planned_bytes(spec: &ModelSpec, slots: usize, positions: usize) -> usize {
        let (slots, positions) = (slots.max(1), positions.max(1));
        let cache = 2 * spec.layers * shape_of(spec, slots, positions).cache_len();
        let rope = positions * (spec.d_model / spec.heads);
        let rows = Rows::planned_values(spec, rows_max(slots, positions));
        size_of::<f32>() * (cache + rope + rows)
    }

    /// Sequences.
    pub fn slots(&self) -> usize {
        self.lens.len()
    }

    /// Most tokens of a sequence.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Tokens of the vocabulary, hence logits of a row.
    pub fn vocab(&self) -> usize {
        self.layers.vocab
    }

    /// Tokens that a sequence holds.
    pub fn held(&self, slot: usize) -> usize {
        self.lens[slot]
    }

    /// Forgets what a sequence holds from token `len` on.
    pub fn truncate(&mut self, slot: usize, len: usize) {
        self.lens[slot] = self.lens[slot].min(len);
    }

    /// Makes `to` the same sequence as `from`: its keys and values are copied.
    pub fn fork(&mut self, from: usize, to: usize) {
        self.lens[to] = self.lens[from];
        self.cache.copy(&self.layers.device, from, to, self.lens[from]);
    }

    /// Appends tokens to sequences, each named once at most, and gives `each` the wanted logits,
    /// `[vocab]`, those of a sequence in the order of its tokens.
    ///
    /// # Panics
    /// A sequence would be longer than [`Decoder::positions`], is named twice, or a token is
    /// outside of the vocabulary.
    pub fn extend(
        &mut self,
        work: &[Extend<'_>],
        wanted: Wanted,
        each: &mut (dyn FnMut(Place, &[f32]) + Send),
    ) {
        self.check(work);
        let mut done = vec![0; work.len()];
        while let Some(segments) = self.next_rows(work, &mut done) {
            let mut heads = Vec::new();
            for (segment, part, ends) in &segments {
                let first = match wanted {
                    Wanted::All => 0,
                    Wanted::Last if *ends => segment.tokens - 1,
                    _ => segment.tokens,
                };
                let slot = work[*part].slot;
                heads.extend((first..segment.tokens).map(|token| {
                    (segment.row + token, Place { slot, position: segment.first + token })
                }));
            }
            let segments: Vec<Segment> = segments.into_iter().map(|(at, ..)| at).collect();
            let Self { layers, cache, rows, .. } = self;
            let device = layers.device.clone();
            let each = &mut *each;
            device.install(move || {
                layers.forward(cache, rows, &segments);
                layers.head(rows, &heads, each);
            });
        }
    }

    /// [`Decoder::extend`] of one sequence, whose last logits are written to `logits`.
    ///
    /// # Panics
    /// As [`Decoder::extend`]; or `tokens` are none, or `logits` are not `[vocab]`.
    pub fn next(&mut self, slot: usize, tokens: &[u32], logits: &mut [f32]) {
        assert!(!tokens.is_empty(), "logits come after a token");
        let work = [Extend { slot, tokens }];
        self.extend(&work, Wanted::Last, &mut |_, row| logits.copy_from_slice(row));
    }

    fn check(&self, work: &[Extend<'_>]) {
        for (at, extend) in work.iter().enumerate() {
            let Extend { slot, tokens } = *extend;
            let (held, most) = (self.lens[slot], self.positions);
            assert!(held + tokens.len() <= most, "{held} + {} tokens of {most}", tokens.len());
            assert!(work[..at].iter().all(|other| other.slot != slot), "sequence {slot} twice");
            let foreign = tokens.iter().find(|token| **token as usize >= self.vocab());
            assert!(foreign.is_none(), "token {foreign:?} of {}", self.vocab());
        }
    }

    /// The rows of the next pass: the segments, whose tokens are written, which part of `work` each
    /// is of, and whether it is its end. None when all is done.
    fn next_rows(
        &mut self,
        work: &[Extend<'_>],
        done: &mut [usize],
    ) -> Option<Vec<(Segment, usize, bool)>> {
        let mut segments = Vec::new();
        let mut row = 0;
        for (part, Extend { slot, tokens }) in work.iter().enumerate() {
            let rest = &tokens[done[part]..];
            let count = rest.len().min(self.rows.rows_max() - row);
            if count == 0 {
                continue;
            }
            let segment = Segment { slot: *slot, row, tokens: count, first: self.lens[*slot] };
            self.rows.tokens_mut()[row..row + count].copy_from_slice(&rest[..count]);
            segments.push((segment, part, count == rest.len()));
            self.lens[*slot] += count;
            done[part] += count;
            row += count;
        }
        (!segments.is_empty()).then_some(segments)
    }
}

fn rows_max(slots: usize, positions: usize) -> usize {
    ROWS_MAX.min(slots * positions)
}

fn shape_of(spec: &ModelSpec, slots: usize, positions: usize) -> Shape {
    Shape {
        slots,
        capacity: positions.next_multiple_of(PANEL),
        heads: spec.heads,
        kv_heads: spec.kv_heads,
        head_dim: spec.d_model / spec.heads,
    }
}

/// Keys and values of one layer.
pub(super) struct Kept {
    pub(super) keys: Buffer<f32>,
    pub(super) values: Buffer<f32>,
}
