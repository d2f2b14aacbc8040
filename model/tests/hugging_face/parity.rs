//! The same log-probabilities as transformers, for the same parameters.

use model::generate::{Decoder, Extend, LogSoftmax, Wanted};
use model::hugging_face::{ModelFolder, import};
use model::{LossMeter, SampleSource, layout_of, open_model, preset};
use runtime::Device;
use safetensors::SafeTensors;
use serde_json::Value;

use super::Foreign;

/// Of log-probabilities in nats: products are summed in other orders there.
const TOLERANCE: f64 = 1e-4;
const IGNORED: u32 = u32::MAX;

/// Sample `i` counts the token of pair `i` at its position, and nothing else.
struct Pairs {
    tokens: Vec<u32>,
    pairs: Vec<(usize, u32)>,
}

impl SampleSource for Pairs {
    fn fill_sample(
        &self,
        sample: u64,
        tokens: &mut [u32],
        targets: &mut [u32],
    ) -> Result<(), String> {
        for row in tokens.chunks_mut(self.tokens.len()) {
            row.copy_from_slice(&self.tokens[..row.len()]);
        }
        targets.fill(IGNORED);
        let (position, token) = self.pairs[sample as usize];
        targets[position] = token;
        Ok(())
    }
}

fn number(value: &Value) -> usize {
    value.as_u64().expect("a count") as usize
}

#[test]
fn an_imported_model_computes_what_transformers_does() {
    let reference: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    for (name, of) in reference["models"].as_object().unwrap() {
        let dir = tempfile::tempdir().unwrap();
        let (theirs, ours) =
            (Foreign::new(&of["shape"]).write(dir.path()), dir.path().join("ours"));
        let spec = import(&theirs, &ours, &|_| ()).unwrap().spec;
        let bytes = std::fs::read(ModelFolder::params(&ours)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let flat: Vec<f32> = layout_of(&spec)
            .unwrap()
            .tensors()
            .iter()
            .flat_map(|tensor| file.tensor(&tensor.name).unwrap().data().as_chunks::<4>().0)
            .map(|four| f32::from_le_bytes(*four))
            .collect();
        let outer = preset("nano").unwrap().outer;
        let mut meter = LossMeter::new(&Device::cpu(2).unwrap(), &spec, &outer, 0.0).unwrap();
        meter.take(&flat);
        let tokens = of["tokens"].as_array().unwrap().iter().map(|token| number(token) as u32);
        let pairs = of["pairs"].as_array().unwrap();
        let source = Pairs {
            tokens: tokens.collect(),
            pairs: pairs.iter().map(|p| (number(&p[0]), number(&p[1]) as u32)).collect(),
        };
        let losses = meter.losses(&source, 0..pairs.len() as u64).unwrap();
        for (pair, loss) in pairs.iter().zip(losses) {
            let expected = -pair[2].as_f64().unwrap();
            let difference = (loss.nats - expected).abs();
            assert!(
                difference < TOLERANCE,
                "{name} {pair}: {} nats, expected {expected}",
                loss.nats
            );
        }
    }
}

#[test]
fn a_decoder_gives_the_probabilities_that_transformers_does_straight_from_its_folder() {
    let reference: Value = serde_json::from_str(include_str!("reference.json")).unwrap();
    for (name, of) in reference["models"].as_object().unwrap() {
        let dir = tempfile::tempdir().unwrap();
        let theirs = Foreign::new(&of["shape"]).write(dir.path());
        let ours = dir.path().join("ours");
        import(&theirs, &ours, &|_| ()).unwrap();
        let model = open_model(&theirs).unwrap();
        assert!(model.tokenizer.is_none() && model.ends.is_empty());
        assert_eq!(*model.params, *open_model(&ours).unwrap().params);
        let tokens = of["tokens"].as_array().unwrap().iter();
        let tokens: Vec<u32> = tokens.map(|token| number(token) as u32).collect();
        let device = Device::cpu(2).unwrap();
        let mut decoder =
            Decoder::new(&device, &model.spec, model.params, 1, tokens.len()).unwrap();
        let mut nats = Vec::new();
        // A prompt, then token by token.
        for tokens in std::iter::once(&tokens[..20]).chain(tokens[20..].chunks(1)) {
            let work = [Extend { slot: 0, tokens }];
            decoder.extend(&work, Wanted::All, &mut |_, logits| {
                let of = LogSoftmax::of(logits);
                nats.push(logits.iter().map(|logit| of.nats(*logit)).collect::<Vec<_>>());
            });
        }
        for pair in of["pairs"].as_array().unwrap() {
            let (position, token) = (number(&pair[0]), number(&pair[1]));
            let (found, expected) = (nats[position][token], pair[2].as_f64().unwrap());
            assert!((found - expected).abs() < TOLERANCE, "{name} {pair}: {found} nats");
        }
    }
}
