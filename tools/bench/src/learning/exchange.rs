//! What the simulated peers send each other at the end of a window, through the real byte formats:
//! a sparse contribution is encoded, signed, verified and decoded before it is applied.

use model::sparseloco::{Compressor, OuterStep};
use runtime::{Buffer, Device, View};
use wire::contribution::{self, HEADER_BYTES};
use wire::{
    BodyShape, Claims, Expected, Header, IndexCodec, Keypair, Layout, Quantiser, Rejection, RunId,
    SampleDigest, SparseTensor, StateRoot, StateTree, Uid, Window, protocol,
};

use crate::BenchError;

/// Values kept of a chunk, and how much of the residual counts.
pub(super) const K: usize = 64;
pub(super) const BETA: f32 = 0.95;

/// Dense pseudo-gradients, averaged in peer order, and one step of Nesterov's momentum.
pub(super) struct Dense {
    alpha: f32,
    momentum: f32,
    /// `[params]`: mean pseudo-gradient of the window, then the velocity.
    mean: Vec<f32>,
    velocity: Vec<f32>,
}

impl Dense {
    pub(super) fn new(params: usize, alpha: f32, momentum: f32) -> Self {
        Self { alpha, momentum, mean: vec![0.0; params], velocity: vec![0.0; params] }
    }

    /// Adds one of `peers` peers' `shared - local` and returns the bytes that it sent.
    pub(super) fn add(&mut self, shared: &[f32], local: &[f32], peers: usize) -> usize {
        for ((mean, shared), local) in self.mean.iter_mut().zip(shared).zip(local) {
            *mean += (shared - local) / peers as f32;
        }
        size_of_val(local)
    }

    /// `v = momentum * v + g; shared -= alpha * (g + momentum * v)`.
    pub(super) fn step(&mut self, shared: &mut [f32]) {
        for ((shared, mean), velocity) in
            shared.iter_mut().zip(&mut self.mean).zip(&mut self.velocity)
        {
            *velocity = self.momentum * *velocity + *mean;
            *shared -= self.alpha * (*mean + self.momentum * *velocity);
            *mean = 0.0;
        }
    }
}

/// Sparse contributions of all peers, and their residuals.
pub(super) struct Sparse {
    device: Device,
    layout: Layout,
    shape: BodyShape,
    outer: OuterStep,
    compressor: Compressor,
    residuals: Vec<Buffer<f32>>,
    /// The residual being made; swapped with the peer's once its contribution is sent.
    next_residual: Buffer<f32>,
    decoded: Vec<(Uid, Vec<SparseTensor>)>,
}

impl Sparse {
    pub(super) fn new(
        device: &Device,
        layout: &Layout,
        peers: usize,
        outer: OuterStep,
        quantiser: Quantiser,
        codec: IndexCodec,
    ) -> Self {
        Self {
            device: device.clone(),
            shape: BodyShape::new(layout, K, codec),
            outer,
            compressor: Compressor::new(device, layout, K, BETA, quantiser),
            residuals: (0..peers).map(|_| device.alloc(layout.params())).collect(),
            next_residual: device.alloc(layout.params()),
            decoded: Vec::new(),
            layout: layout.clone(),
        }
    }

    /// Compresses one peer's window, sends it through the wire format, and returns its bytes.
    pub(super) fn add(
        &mut self,
        window: u64,
        peer: usize,
        tokens: usize,
        shared: &[f32],
        local: View<'_, f32>,
    ) -> Result<usize, BenchError> {
        let residual = self.residuals[peer].view();
        let next = self.next_residual.view_mut();
        let sent = self.compressor.compress(shared.into(), local, residual, next)?;
        let root = StateTree::of_params(&self.layout, shared).root();
        let post = Post { shape: &self.shape, window: Window(window), uid: Uid(peer as u16), root };
        let object = post.write(sent, tokens);
        let tensors = post.read(&object).map_err(|why| BenchError::Rejected(why.to_string()))?;
        self.decoded.push((post.uid, tensors));
        std::mem::swap(&mut self.residuals[peer], &mut self.next_residual);
        Ok(object.len())
    }

    /// The outer step over all contributions of the window.
    pub(super) fn step(&mut self, shared: &mut [f32]) -> Result<(), BenchError> {
        let contributions: Vec<(Uid, &[SparseTensor])> =
            self.decoded.iter().map(|(uid, tensors)| (*uid, tensors.as_slice())).collect();
        self.outer.apply(&self.device, &self.layout, shared.into(), &contributions)?;
        self.decoded.clear();
        Ok(())
    }
}

/// One contribution on its way.
struct Post<'a> {
    shape: &'a BodyShape,
    window: Window,
    uid: Uid,
    root: StateRoot,
}

impl Post<'_> {
    fn keypair(&self) -> Keypair {
        Keypair::from_seed([self.uid.0 as u8 + 1; 32])
    }

    fn write(&self, sent: &[SparseTensor], tokens: usize) -> Vec<u8> {
        let claims = Claims {
            run: RunId([0; 32]),
            window: self.window,
            uid: self.uid,
            layout: self.shape.layout(),
            parent_root: self.root,
            sample_digest: SampleDigest([0; 16]),
            sample_count: samples(tokens),
            tokens: tokens as u64,
            k: self.shape.k(),
            index_codec: self.shape.index_codec(),
        };
        contribution::encode(&claims, sent, &self.keypair())
    }

    fn read(&self, object: &[u8]) -> Result<Vec<SparseTensor>, Rejection> {
        let expected = Expected {
            run: RunId([0; 32]),
            window: self.window,
            uid: self.uid,
            hotkey: self.keypair().hotkey(),
            parent_root: self.root,
            samples: 1..=u64::MAX,
            shape: self.shape,
        };
        let verified = Header::parse(object)?.verify(&expected)?;
        Ok(verified.body(&object[HEADER_BYTES..])?.decode()?.tensors)
    }
}

/// Samples that hold `tokens`, rounded up.
fn samples(tokens: usize) -> u64 {
    tokens.div_ceil(protocol::SAMPLE_TOKENS) as u64
}
