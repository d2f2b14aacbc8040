//! Which shard an outer step reads. A run's description carries this as data: how long a shard
//! lasts, how many there are, where counting starts over, and which shard stands in for which.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};

use serde::{Deserialize, Serialize};

/// Shard by outer step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardSchedule {
    /// Outer steps spent on each shard.
    pub outer_steps_per_shard: NonZeroU64,
    /// Shards before the first one comes again.
    pub shards: NonZeroU32,
    /// Outer steps at which counting starts over at shard 0, besides step 0.
    #[serde(default)]
    pub restarts: Vec<u64>,
    /// Shards that are replaced by others.
    #[serde(default)]
    pub stand_ins: BTreeMap<u32, u32>,
}

impl ShardSchedule {
    /// Index of the shard that outer step `step` reads.
    pub fn shard(&self, step: u64) -> u32 {
        let start = self.restarts.iter().copied().filter(|&start| start <= step).max().unwrap_or(0);
        let turn = (step - start) / self.outer_steps_per_shard;
        let index = (turn % u64::from(self.shards.get())) as u32;
        self.stand_ins.get(&index).copied().unwrap_or(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_run_is_a_schedule() {
        let schedule = ShardSchedule {
            outer_steps_per_shard: NonZeroU64::new(455).unwrap(),
            shards: NonZeroU32::new(14).unwrap(),
            restarts: vec![4040],
            stand_ins: BTreeMap::from([(7, 13)]),
        };
        for (step, shard) in [
            (0, 0),
            (454, 0),
            (455, 1),
            (7 * 455, 13),
            (4039, 8),
            (4040, 0),
            (4040 + 455, 1),
            (4040 + 14 * 455, 0),
        ] {
            assert_eq!(schedule.shard(step), shard, "step {step}");
        }
    }
}
