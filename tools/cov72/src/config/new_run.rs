//! The configuration that a new run starts with: a preset, the model that it starts from, the
//! numbers that suit its objective, and over them a file.

use std::path::{Path, PathBuf};

use wire::{ModelSpec, Objective, protocol};

use super::{Config, absolute, read};
use crate::failure::Failure;

/// What is asked for, by flags or in a file.
#[derive(Clone, Debug, Default)]
pub(crate) struct NewRun {
    pub(crate) preset: Option<String>,
    pub(crate) objective: Option<Objective>,
    /// Folder of the model to start from.
    pub(crate) from: Option<PathBuf>,
}

impl NewRun {
    /// The same, with what the TOML file at `path` says where nothing else does.
    pub(crate) fn or_in(self, path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(self) };
        // A file that does not parse is refused, with its line, when it is overlaid.
        let table: toml::Table = read(path)?.parse().unwrap_or_default();
        let text = |key: &str| table.get(key).and_then(|value| value.as_str());
        let objective = text("objective").and_then(|name| name.parse().ok());
        let from = table.get("node").and_then(|node| node.get("genesis")?.as_str());
        let from = from.filter(|from| !from.is_empty()).map(PathBuf::from);
        Ok(Self {
            preset: self.preset.or_else(|| text("preset").map(str::to_string)),
            objective: self.objective.or(objective),
            from: self.from.or(from),
        })
    }

    /// The preset's name.
    pub(crate) fn preset(&self) -> &str {
        self.preset.as_deref().unwrap_or("nano")
    }

    /// The configuration, before the file's numbers are laid over it.
    pub(crate) fn config(&self) -> Result<Config, Failure> {
        let mut config = Config::named(self.preset())?;
        if let Some(from) = &self.from {
            let spec = model::locate(from)?.spec;
            let seq_len = sequence_within_a_sample(spec.seq_len);
            config.model = ModelSpec { seq_len, ..spec };
            config.node.genesis = absolute(from)?;
        }
        config.objective = self.objective.unwrap_or_default();
        if config.objective == Objective::Sft {
            config.inner = model::fine_tuning(config.inner, &config.model);
            config.name += "-sft";
        }
        Ok(config)
    }
}

/// Models of others take longer sequences than there are tokens in a sample.
fn sequence_within_a_sample(seq_len: usize) -> usize {
    let sample = protocol::SAMPLE_TOKENS;
    match seq_len {
        0 => sample,
        _ if sample.is_multiple_of(seq_len) => seq_len,
        // A power of two divides a sample.
        _ => 1 << seq_len.min(sample).ilog2(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fine_tuning_has_numbers_and_a_name_of_its_own() {
        let sft = NewRun { objective: Some(Objective::Sft), ..NewRun::default() };
        let (pretrain, sft) = (NewRun::default().config().unwrap(), sft.config().unwrap());
        assert_eq!((pretrain.name.as_str(), sft.name.as_str()), ("nano", "nano-sft"));
        assert_eq!(pretrain.inner.batch_samples, sft.inner.batch_samples);
        assert_ne!(pretrain.inner.optimizer, sft.inner.optimizer);
        assert_ne!(pretrain.inner.schedule, sft.inner.schedule);
    }

    #[test]
    fn what_the_file_says_counts_where_no_flag_does() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        std::fs::write(&path, "preset = \"m1\"\nobjective = \"sft\"\n").unwrap();
        let asked = NewRun::default().or_in(Some(&path)).unwrap();
        assert_eq!((asked.preset(), asked.objective), ("m1", Some(Objective::Sft)));
        let flags = NewRun { objective: Some(Objective::Pretrain), ..NewRun::default() };
        assert_eq!(flags.or_in(Some(&path)).unwrap().objective, Some(Objective::Pretrain));
    }

    #[test]
    fn sequences_fit_into_a_sample() {
        for (theirs, ours) in [(256, 256), (2048, 2048), (131_072, 2048), (1000, 512), (0, 2048)] {
            assert_eq!(sequence_within_a_sample(theirs), ours);
        }
    }
}
