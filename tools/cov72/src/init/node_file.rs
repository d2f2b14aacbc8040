//! The file of a node, `run.toml`: every key that concerns it, each with what it means.

use std::path::{Path, PathBuf};

use wire::Role;

use super::bittensor::Bittensor;
use super::{DATA_PLACE, GENESIS_PLACE, NETUID, NetworkFolder, NodePlan, READ_KEY};
use crate::attack::Plot;
use crate::config::absolute;
use crate::failure::Failure;
use crate::train::RunFolder;

/// What a node on a dev chain is told of the other one.
const ELSEWHERE: &str = "\
# A network on Bittensor instead: its nodes, and this node's hotkey in a wallet.
# [chain]
# kind = \"subtensor\"
# endpoints = [\"wss://entrypoint-finney.opentensor.ai:443\"]
# hotkey = \"/home/me/.bittensor/wallets/default/hotkeys/alice\"
";

impl NetworkFolder {
    /// The file of the node that `plan` asks for, in `folder`.
    pub(super) fn toml(
        &self,
        plan: &NodePlan<'_>,
        folder: &RunFolder,
        on: Option<&Bittensor>,
    ) -> Result<String, Failure> {
        let quoted = |path: &Path| toml::Value::from(path.display().to_string()).to_string();
        let data = self.place_of(DATA_PLACE, plan.data)?.unwrap_or_else(|| self.dir.join("data"));
        if !data.exists() {
            return Err(Failure::usage(format!(
                "{} is not there; name the folder of the run's shards by --data DIR",
                data.display()
            )));
        }
        let genesis = self.place_of(GENESIS_PLACE, plan.genesis)?.unwrap_or_default();
        let bucket = toml::Value::from(plan.bucket.unwrap_or_default()).to_string();
        let read_key = match plan.read_key {
            Some(_) => absolute(&folder.path(READ_KEY))?,
            None => PathBuf::new(),
        };
        let chain_file = self.dir.join("chain.sqlite");
        let (netuid, chain_file, poll_ms, section) = match on {
            None => (NETUID, chain_file.as_path(), 200, ELSEWHERE.to_string()),
            Some(on) => (on.netuid, Path::new(""), 2_000, on.section()),
        };
        Ok(format!(
            "# A {role} of the network in {dir}.\n\
             # Model and training numbers are those of the run; they need not be repeated here.\n\
             \n\
             [network]\n\
             # The signed run description, the dev chain's file if it is on one, and the\n\
             # subnet.\n\
             run = {run}\n\
             chain = {chain}\n\
             netuid = {netuid}\n\
             # This node's own bucket; empty for the folder `bucket` beside this file.\n\
             bucket = {bucket}\n\
             # Files of key pairs for an S3 bucket: one to write with (empty: the\n\
             # environment's), and one that is published for others to read with.\n\
             write_key = \"\"\n\
             read_key = {read_key}\n\
             # Storage faults to make on purpose, for tests.\n\
             faults = {faults}\n\
             # How to cheat on purpose, for tests.\n\
             attack = {attack}\n\
             # Milliseconds between two looks at chain and buckets.\n\
             poll_ms = {poll_ms}\n\
             # Windows between two checkpoints that a validator publishes.\n\
             checkpoint_every = 10\n\
             \n\
             {section}\n\
             [node]\n\
             # Shards of the run's data, and host threads (0: one per core).\n\
             data = {data}\n\
             threads = {threads}\n\
             # The model that the run starts from, if it starts from one.\n\
             genesis = {genesis}\n",
            role = if plan.role == Role::Miner { "miner" } else { "validator" },
            dir = self.dir.display(),
            run = quoted(&self.dir.join("run.json")),
            chain = quoted(chain_file),
            read_key = quoted(&read_key),
            faults = quoted(plan.faults.unwrap_or(Path::new(""))),
            attack = toml::Value::from(plan.attack.map(Plot::to_string).unwrap_or_default()),
            data = quoted(&data),
            genesis = quoted(&genesis),
            threads = plan.threads,
        ))
    }

    /// The place that a file of the network's folder names, or else `given`, as an absolute path.
    fn place_of(&self, name: &str, given: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
        let named = std::fs::read_to_string(self.dir.join(name)).unwrap_or_default();
        match (named.trim(), given) {
            ("", given) => given.map(absolute).transpose(),
            (named, _) => Ok(Some(PathBuf::from(named))),
        }
    }
}
