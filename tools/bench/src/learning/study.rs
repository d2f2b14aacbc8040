//! One method from the same start over the same tokens: peers train in turn, then exchange.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use model::sparseloco::OuterStep;
use model::{Trainer, initial_params, layout_of, schedule};
use runtime::Buffer;
use wire::{Inner, Layout, ModelSpec, Optimizer};

use super::corpus::{Corpus, PeerBatches, Validation};
use super::exchange::{Dense, Sparse};
use super::method::Method;
use crate::BenchError;

/// What all methods share.
pub(super) struct Study<'a> {
    pub(super) spec: ModelSpec,
    pub(super) corpus: &'a Corpus,
    pub(super) peers: usize,
    pub(super) windows: u64,
    pub(super) inner_steps: u32,
    /// Sequences of one peer in one inner step.
    pub(super) sequences: usize,
    pub(super) threads: usize,
    pub(super) seed: u64,
}

/// What one method came to.
pub(super) struct Outcome {
    /// Nats per byte of the validation part.
    pub(super) loss: f64,
    /// Bytes that each peer sent in all windows together.
    pub(super) sent_bytes: u64,
    /// Seconds of everything.
    pub(super) seconds: f64,
}

/// What the peers send.
enum Exchange {
    Nothing,
    Dense(Dense),
    Sparse(Box<Sparse>),
}

impl Study<'_> {
    /// Warm-up over 30 steps to the peak, then a cosine to a tenth of it at the last step.
    fn inner(&self) -> Inner {
        let total = self.windows * u64::from(self.inner_steps);
        Inner {
            steps: u64::from(self.inner_steps),
            batch_samples: 1,
            clip_norm: 1.0,
            optimizer: Optimizer::AdamW {
                learning_rate: 2e-3,
                beta1: 0.9,
                beta2: 0.95,
                eps: 1e-8,
                weight_decay: 0.1,
            },
            schedule: schedule::warmup_cosine(30, total.saturating_sub(30), None),
        }
    }

    /// Trains by `method` and validates what all peers then share.
    pub(super) fn run(
        &self,
        method: Method,
        on_window: &mut dyn FnMut(u64),
    ) -> Result<Outcome, BenchError> {
        let started = Instant::now();
        let layout = layout_of(&self.spec)?;
        let mut shared = vec![0.0; layout.params()];
        initial_params(&self.spec, self.seed, &mut shared)?;
        // A trainer's moments are its peer's own and stay with it from window to window.
        let trainers = if method == Method::Synchronous { 1 } else { self.peers };
        let mut trainers = (0..trainers)
            .map(|_| Trainer::new(&self.spec, 1, self.threads, self.sequences))
            .collect::<Result<Vec<_>, _>>()?;
        let mut exchange = self.exchange(method, &layout, &trainers[0]);
        let mut sent_bytes = 0;
        for window in 0..self.windows {
            for (peer, trainer) in trainers.iter_mut().enumerate() {
                self.train(trainer, method, window, peer, &shared)?;
                let (local, _) = trainer.params_and_scratch()?;
                let sent = self.send(&mut exchange, window, peer, &shared, local)?;
                sent_bytes += sent as u64;
            }
            match &mut exchange {
                Exchange::Nothing => trainers[0].params_and_scratch()?.0.read(&mut shared),
                Exchange::Dense(dense) => dense.step(&mut shared),
                Exchange::Sparse(sparse) => sparse.step(&mut shared)?,
            }
            on_window(window + 1);
        }
        let loss = self.validate(&mut trainers[0], &shared)?;
        let seconds = started.elapsed().as_secs_f64();
        Ok(Outcome { loss, sent_bytes: sent_bytes / trainers.len() as u64, seconds })
    }

    fn exchange(&self, method: Method, layout: &Layout, trainer: &Trainer) -> Exchange {
        match method {
            Method::Synchronous => Exchange::Nothing,
            Method::DenseDiLoCo { alpha, momentum } => {
                Exchange::Dense(Dense::new(layout.params(), alpha, momentum))
            }
            Method::SparseLoCo { alpha, quantiser, codec, rule } => {
                let outer = OuterStep { alpha, rule };
                let device = trainer.device();
                let sparse = Sparse::new(device, layout, self.peers, outer, quantiser, codec);
                Exchange::Sparse(Box::new(sparse))
            }
        }
    }

    fn train(
        &self,
        trainer: &mut Trainer,
        method: Method,
        window: u64,
        peer: usize,
        shared: &[f32],
    ) -> Result<(), BenchError> {
        let mut start = trainer.device().alloc(shared.len());
        start.write(shared);
        trainer.load_params(&start);
        let first_step = window * u64::from(self.inner_steps);
        let peers = if method == Method::Synchronous { 0..self.peers } else { peer..peer + 1 };
        let (corpus, seq_len) = (self.corpus, self.spec.seq_len);
        let batches = PeerBatches { corpus, peers, first_step, seq_len };
        let (inner, never) = (self.inner(), AtomicBool::new(false));
        trainer.run(&batches, &inner, first_step, self.inner_steps, &never, &mut |_| ())?;
        Ok(())
    }

    /// Bytes that one peer sends for one window.
    fn send(
        &self,
        exchange: &mut Exchange,
        window: u64,
        peer: usize,
        shared: &[f32],
        local: &Buffer<f32>,
    ) -> Result<usize, BenchError> {
        match exchange {
            // A dense f32 gradient in every inner step.
            Exchange::Nothing => Ok(size_of_val(shared) * self.inner_steps as usize),
            Exchange::Dense(dense) => {
                Ok(dense.add(shared, local.as_host().expect("a trainer on the CPU"), self.peers))
            }
            Exchange::Sparse(sparse) => {
                let tokens = self.inner_steps as usize * self.sequences * self.spec.seq_len;
                sparse.add(window, peer, tokens, shared, local.view())
            }
        }
    }

    fn validate(&self, trainer: &mut Trainer, shared: &[f32]) -> Result<f64, BenchError> {
        let mut params = trainer.device().alloc(shared.len());
        params.write(shared);
        trainer.load_params(&params);
        let (corpus, seq_len) = (self.corpus, self.spec.seq_len);
        let validation = Validation { corpus, sequences: self.sequences, seq_len };
        Ok(trainer.evaluate(&validation, validation.steps())?.mean())
    }
}
