//! Initial parameters: the same bits from the same seed on every machine, for every node starts
//! from them and their root is the run's genesis. Hence ChaCha8 with one stream per tensor, and the
//! pure Rust `libm` instead of the platform's logarithm and cosine.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use wire::ModelSpec;

use crate::ModelError;
use crate::params::{Init, layout_of, params_of};

/// Fills `flat`, the whole model's parameters in layout order, from `seed`.
///
/// # Errors
/// The model has a tensor without values.
///
/// # Panics
/// `flat` is shorter than the model.
pub fn initial_params(spec: &ModelSpec, seed: u64, flat: &mut [f32]) -> Result<(), ModelError> {
    let layout = layout_of(spec)?;
    let mut rest = flat;
    let mut tensors = Vec::new();
    for tensor in layout.tensors() {
        let (values, tail) = rest.split_at_mut(tensor.shape.len());
        tensors.push(values);
        rest = tail;
    }
    let params = params_of(spec);
    tensors.into_par_iter().zip(params).enumerate().for_each(
        |(stream, (values, param))| match param.init {
            Init::Ones => values.fill(1.0),
            Init::Normal { std, cut } => {
                let mut key = [0; 32];
                key[..8].copy_from_slice(&seed.to_le_bytes());
                let mut rng = ChaCha8Rng::from_seed(key);
                rng.set_stream(stream as u64);
                values.fill_with(|| normal(&mut rng, std, cut));
            }
        },
    );
    Ok(())
}

/// One draw from a normal distribution of mean 0, drawn again while beyond `cut` (Box and Muller).
fn normal(rng: &mut ChaCha8Rng, std: f64, cut: f64) -> f32 {
    const UNIT: f64 = 1.0 / (1u64 << 53) as f64;
    loop {
        let radius_draw = ((rng.next_u64() >> 11) + 1) as f64 * UNIT;
        let angle_draw = (rng.next_u64() >> 11) as f64 * UNIT;
        let radius = (-2.0 * libm::log(radius_draw)).sqrt();
        let value = std * radius * libm::cos(std::f64::consts::TAU * angle_draw);
        if value.abs() <= cut {
            return value as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;

    #[test]
    fn tensors_have_the_mean_and_deviation_they_should() {
        let spec = preset("nano").unwrap().model;
        let layout = layout_of(&spec).unwrap();
        let mut flat = vec![0.0; layout.params()];
        initial_params(&spec, 7, &mut flat).unwrap();
        let deviation = |name: &str| {
            let values = &flat[layout.find(name).unwrap().range()];
            let square: f64 = values.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
            (square / values.len() as f64).sqrt()
        };
        let near = |name: &str, expected: f64| {
            let found = deviation(name);
            assert!((found / expected - 1.0).abs() < 0.03, "{name}: {found} is not {expected}");
        };
        near("tok_embeddings.weight", 1.0);
        near("output.weight", 128f64.powf(-0.5) * 0.9866);
        near("layers.0.attention.wq.weight", 0.02);
        near("layers.0.feed_forward.w3.weight", 0.02 / 2f64.sqrt());
        near("layers.3.feed_forward.w2.weight", 0.02 / 8f64.sqrt());
        near("layers.3.ffn_norm.weight", 1.0);
    }

    #[test]
    fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
        let spec = preset("nano").unwrap().model;
        let draw = |seed| {
            let mut flat = vec![0.0; layout_of(&spec).unwrap().params()];
            initial_params(&spec, seed, &mut flat).unwrap();
            blake3::hash(bytemuck::cast_slice(&flat)).to_string()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert_eq!(&draw(0)[..16], GENESIS_NANO_SEED_0);
    }

    /// Changing this means that nodes of different versions start from different parameters.
    const GENESIS_NANO_SEED_0: &str = "6928ea0b1b9cb687";
}
