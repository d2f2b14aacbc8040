//! A whole window on a GPU, emulated, beside one on the CPU: what is sent, what remains of it and
//! the parameters after the outer step have the same bits, wherever they were computed.

use model::sparseloco::{CheckedBody, Compressor, OuterReport, OuterStep};
use model::{ModelError, Trainer};
use runtime::ops::aggregate::Aggregation;
use runtime::{Buffer, Device};
use wire::{BodyShape, IndexCodec, ModelSpec, Quantiser, SparseTensor, Uid};

use super::tiny;

const K: usize = 64;
const CODEC: IndexCodec = IndexCodec::EliasFano;

/// A node between two windows.
struct Node {
    trainer: Trainer,
    compressor: Compressor,
    shared: Buffer<f32>,
    residual: Buffer<f32>,
}

impl Node {
    fn new(spec: &ModelSpec, mut trainer: Trainer, quantiser: Quantiser) -> Self {
        let layout = tiny::layout(spec);
        let device = trainer.compressing_device();
        let compressor = Compressor::new(device, &layout, K, 0.95, quantiser);
        let [mut shared, mut residual] = [(); 2].map(|()| trainer.device().alloc(layout.params()));
        shared.write(&tiny::params(spec, 1));
        residual.write(&tiny::params(spec, 2));
        trainer.start_from(&shared);
        Self { trainer, compressor, shared, residual }
    }

    /// Goes through a window in which inner steps end at the parameters of `seed`, and `others` are
    /// in the round; what it sent.
    fn window(
        &mut self,
        spec: &ModelSpec,
        seed: u64,
        counted: bool,
        others: &[Vec<SparseTensor>],
    ) -> Result<(Vec<SparseTensor>, OuterReport), ModelError> {
        let mut local = self.trainer.device().alloc(self.shared.len());
        local.write(&tiny::params(spec, seed));
        self.trainer.start_from(&self.shared);
        self.trainer.load_params(&local);
        let Self { trainer, compressor, shared, residual } = self;
        let sent = trainer.compress(compressor, shared, residual)?.to_vec();
        let round: Vec<_> = others.iter().chain([&sent]).map(|sent| body(spec, sent)).collect();
        let round: Vec<_> = (0..).map(Uid).zip(round).collect();
        let outer = OuterStep { alpha: 0.5, rule: Aggregation::Contributors };
        let (layout, host) = (tiny::layout(spec), trainer.device().clone());
        let shape = BodyShape::new(&layout, K, CODEC);
        let report = match trainer.mirror() {
            Some(mirror) => mirror.update(shared, |gpu, shared| {
                outer.apply_bodies(gpu, &layout, &shape, shared, &round)
            })?,
            None => outer.apply_bodies(&host, &layout, &shape, shared.view_mut(), &round)?,
        };
        trainer.settle(compressor, residual, counted)?;
        Ok((sent, report))
    }

    fn state(&mut self) -> [Vec<u32>; 3] {
        self.trainer.start_from(&self.shared);
        let mut params = vec![0.0; self.shared.len()];
        self.trainer.params_and_scratch().unwrap().0.read(&mut params);
        let [shared, residual] = [&self.shared, &self.residual].map(|v| v.as_host().unwrap());
        [shared, residual, &params].map(tiny::bits)
    }
}

fn body(spec: &ModelSpec, sent: &[SparseTensor]) -> CheckedBody<Vec<u8>> {
    let shape = BodyShape::new(&tiny::layout(spec), K, CODEC);
    let mut bytes = Vec::new();
    sent.iter().for_each(|tensor| CODEC.encode(tensor, &mut bytes));
    CheckedBody::check(&shape, bytes, 0).unwrap()
}

fn on_gpu(spec: &ModelSpec) -> Trainer {
    Trainer::on_gpu(spec, Device::emulated().unwrap(), 1, 1, tiny::SEQUENCES).unwrap()
}

fn on_cpu(spec: &ModelSpec) -> Trainer {
    Trainer::new(spec, 1, 1, tiny::SEQUENCES).unwrap()
}

#[test]
fn windows_on_a_gpu_send_keep_and_step_the_bits_of_the_cpu() {
    // Tiles of 64 by 64 and smaller ones, which are other kernels.
    let spec = ModelSpec { d_model: 64, heads: 4, ffn: 128, vocab: 96, ..tiny::spec(false) };
    for quantiser in [Quantiser::LloydMax, Quantiser::Published] {
        let mut cpu = Node::new(&spec, on_cpu(&spec), quantiser);
        let mut gpu = Node::new(&spec, on_gpu(&spec), quantiser);
        let mut others = Vec::new();
        for (window, counted) in [true, false, true].into_iter().enumerate() {
            let seed = 10 + window as u64;
            let expected = cpu.window(&spec, seed, counted, &others).unwrap();
            let found = gpu.window(&spec, seed, counted, &others).unwrap();
            assert_eq!(found, expected, "window {window}");
            assert_eq!(gpu.state(), cpu.state(), "window {window}");
            others.push(expected.0);
        }
    }
}

#[test]
fn parameters_that_the_host_changed_are_brought_to_the_gpu() {
    let spec = tiny::spec(true);
    let mut gpu = Node::new(&spec, on_gpu(&spec), Quantiser::LloydMax);
    gpu.window(&spec, 3, true, &[]).unwrap();
    let other = tiny::params(&spec, 4);
    gpu.shared.write(&other);
    gpu.trainer.mirror().unwrap().outdate();
    let [shared, _, params] = gpu.state();
    assert_eq!(shared, tiny::bits(&other));
    assert_eq!(params, shared);
}

#[test]
fn a_pseudo_gradient_that_is_not_finite_is_refused_by_the_name_of_its_tensor() {
    let spec = tiny::spec(true);
    for trainer in [on_cpu(&spec), on_gpu(&spec)] {
        let mut node = Node::new(&spec, trainer, Quantiser::LloydMax);
        let mut residual = tiny::params(&spec, 2);
        let layout = tiny::layout(&spec);
        let tensor = &layout.tensors()[3];
        residual[tensor.range().start + 5] = f32::INFINITY;
        node.residual.write(&residual);
        let error = node.window(&spec, 3, true, &[]).unwrap_err().to_string();
        assert!(error.contains(&tensor.name) && error.contains("offset 5"), "{error}");
    }
}
