//! Which run this is: the run description made from a configuration, and whether two agree.

use serde_json::Value;
use wire::{
    BlockNumber, Dataset, Digest, Genesis, Hotkey, RunDescription, Shard, StateRoot, StateTree,
    Windows,
};

use crate::config::Config;
use crate::failure::Failure;
use crate::node::FirstParams;

/// On one machine nobody waits for blocks: each window is one, made on demand.
const LOCAL_WINDOWS: Windows =
    Windows { first_block: BlockNumber(0), blocks_per_window: 1, judge_blocks: 0 };

/// The identity of a dataset on this machine, with the places at which documents begin where it was
/// opened with them.
pub(crate) fn describe_dataset(dataset: &runtime::dataset::Dataset) -> Dataset {
    let shards = dataset.shards().map(|(_, shard)| Shard {
        samples: shard.samples(),
        sample_ids: digest(shard.ids()),
        documents: shard.documents().map(digest),
    });
    Dataset { shards: shards.collect() }
}

fn digest(values: &[u64]) -> Digest {
    Digest(*blake3::hash(bytemuck::cast_slice(values)).as_bytes())
}

/// The description of a run on this machine, for which its first parameters are drawn or read,
/// unless their root is known.
pub(crate) fn describe(
    config: &Config,
    dataset: &runtime::dataset::Dataset,
    owner: Hotkey,
    known_root: Option<StateRoot>,
) -> Result<RunDescription, Failure> {
    let genesis_root = known_root.map_or_else(|| genesis_root(config), Ok)?;
    let (objective, genesis, documents) = (config.objective, config.genesis(), config.documents);
    Ok(RunDescription {
        version: RunDescription::version_for(objective, genesis, documents),
        name: config.name.clone(),
        owner,
        seed: config.seed,
        model: config.model.clone(),
        windows: LOCAL_WINDOWS,
        inner: config.inner.clone(),
        outer: config.outer.clone(),
        dataset: describe_dataset(dataset),
        objective,
        genesis,
        documents,
        genesis_root,
    })
}

fn genesis_root(config: &Config) -> Result<StateRoot, Failure> {
    let layout = model::layout_of(&config.model)?;
    let mut values = vec![0.0; layout.params()];
    FirstParams::of_config(config).fill(&layout, &mut values)?;
    Ok(StateTree::of_params(&layout, &values).root())
}

/// Refuses a configuration whose numbers are not those of the network's run, or data that is not
/// what the run trains on.
pub(crate) fn agree_with_network(
    run: &RunDescription,
    config: &Config,
    data: &runtime::dataset::Dataset,
) -> Result<(), Failure> {
    let wanted = RunDescription {
        name: config.name.clone(),
        seed: config.seed,
        model: config.model.clone(),
        inner: config.inner.clone(),
        outer: config.outer.clone(),
        objective: config.objective,
        documents: config.documents,
        ..run.clone()
    };
    if let Some(found) = difference(run, &wanted) {
        return Err(Failure::usage(format!(
            "{} = {} contradicts the network's run, where it is {}; leave it out",
            found.key, found.right, found.left
        )));
    }
    if run.genesis == Genesis::Drawn && config.genesis() == Genesis::Given {
        return Err(Failure::usage(format!(
            "node.genesis names a model, but run {} draws its first parameters; leave it out",
            run.id()
        )));
    }
    if describe_dataset(data) == run.dataset {
        return Ok(());
    }
    Err(Failure::precondition(format!(
        "{} does not hold the data of run {}; fetch the run's shards, and name them as node.data",
        data.dir().display(),
        run.id()
    )))
}

/// A key in which two descriptions differ, with the value of each.
#[derive(Debug, PartialEq)]
pub(super) struct Difference {
    pub(super) key: String,
    pub(super) left: String,
    pub(super) right: String,
}

/// The first key in which two descriptions differ: that of documents before the shards, and the
/// genesis root last, for these differ as a consequence of others.
pub(super) fn difference(left: &RunDescription, right: &RunDescription) -> Option<Difference> {
    let json = |run: &RunDescription| {
        let mut json = serde_json::to_value(run).expect("a description is plain data");
        // Told even where a description leaves them out: the version that follows from them tells
        // nobody anything.
        json["objective"] = run.objective.name().into();
        json["genesis"] = serde_json::to_value(run.genesis).expect("plain data");
        json["documents"] = serde_json::to_value(run.documents).expect("plain data");
        json
    };
    let (left, right) = (json(left), json(right));
    let mut same_genesis = right.clone();
    same_genesis["genesis_root"] = left["genesis_root"].clone();
    differ(&left["documents"], &right["documents"], "documents")
        .or_else(|| differ(&left, &same_genesis, ""))
        .or_else(|| differ(&left, &right, ""))
}

fn differ(left: &Value, right: &Value, path: &str) -> Option<Difference> {
    let (Value::Object(left_keys), Value::Object(right_keys)) = (left, right) else {
        let values = || (path.to_string(), capped(left), capped(right));
        return (left != right).then(|| {
            let (key, left, right) = values();
            Difference { key, left, right }
        });
    };
    let keys =
        left_keys.keys().chain(right_keys.keys().filter(|key| !left_keys.contains_key(*key)));
    keys.into_iter().find_map(|key| {
        let full = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        differ(&left[key.as_str()], &right[key.as_str()], &full)
    })
}

/// A value as text that fits a sentence.
fn capped(value: &Value) -> String {
    let text = value.to_string();
    if text.len() <= 80 { text } else { text.chars().take(77).chain("...".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_first_differing_key_is_named_with_both_values() {
        let (left, right) = (json!({"a": 1, "b": {"c": 2}}), json!({"a": 1, "b": {"c": 3}}));
        let found = differ(&left, &right, "").unwrap();
        assert_eq!(
            (found.key.as_str(), found.left.as_str(), found.right.as_str()),
            ("b.c", "2", "3")
        );
        assert_eq!(differ(&left, &left, ""), None);
        assert_eq!(differ(&json!({}), &json!({"x": 1}), "").unwrap().key, "x");
    }
}
