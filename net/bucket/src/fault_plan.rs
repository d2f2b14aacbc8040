//! Which faults a storage shows on purpose, when, and on what: a plan that reads as TOML.
//!
//! ```toml
//! [[rule]]
//! fault = { kind = "unavailable", retry_after_ms = 500 }
//! chance = 0.2
//! operations = ["get", "list"]
//! objects = ["contributions"]
//! windows = [3, 9]
//! ```
//!
//! Whether a rule fires is a function of the seed, the rule, and how often this operation was made
//! on this object, so a plan and a seed give the same faults every time.

use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::BucketError;
use crate::pace::unit_draw;

/// Rules, each looked at for every operation; several may fire at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultPlan {
    /// The rules.
    #[serde(default, rename = "rule")]
    pub rules: Vec<FaultRule>,
}

/// A fault and when it shows. Without `chance`, `nth` and `first` it always does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRule {
    /// What happens.
    pub fault: Fault,
    /// Probability per operation, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// Only the `nth` such operation on an object, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nth: Option<u64>,
    /// Only the first so many such operations on an object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<u64>,
    /// Only these operations; empty for all that the fault can befall.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operations: Vec<Operation>,
    /// Only objects below these folders of a run, such as `contributions`; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<String>,
    /// Only objects of windows from the first to the second, both included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<[u64; 2]>,
}

/// What can go wrong with a storage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// HTTP 429.
    TooManyRequests {
        /// What `Retry-After` says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// HTTP 500.
    InternalError {},
    /// HTTP 503.
    Unavailable {
        /// What `Retry-After` says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
    /// Nobody listens there.
    Unreachable {},
    /// No answer, ever.
    Hang {},
    /// A body that comes slowly.
    SlowDrip {
        /// Its rate.
        bytes_per_s: u64,
    },
    /// A body of which the second half does not come.
    TruncatedBody {},
    /// A body with one bit turned.
    WrongBytes {},
    /// The list as it was the last time it was not stale; empty if it never was.
    StaleList {},
    /// An object stays unseen for a while after this storage first had it. Drawn once per object.
    LateVisibility {
        /// For at least so long,
        #[serde(default)]
        delay_ms: u64,
        /// and for at least so many lookups.
        #[serde(default)]
        lookups: u64,
    },
    /// Times of objects are those of another clock.
    ClockSkew {
        /// How far that clock is ahead.
        shift_ms: i64,
    },
    /// No space for what is put.
    DiskFull {},
    /// A put is carried out, but its answer does not arrive.
    LostAnswer {},
}

/// What is done to a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Writing an object, or a part of one.
    Put,
    /// Reading an object, or a range of one.
    Get,
    /// Asking for an object's size and time.
    Head,
    /// Enumerating objects.
    List,
    /// Removing an object.
    Delete,
}

impl FaultPlan {
    /// Reads a plan.
    ///
    /// # Errors
    /// The text is no TOML, has a key or kind that does not exist, or a rule that could never fire.
    pub fn parse(text: &str) -> Result<Self, BucketError> {
        let plan: Self = toml::from_str(text)
            .map_err(|error| BucketError::FaultPlan { what: error.to_string() })?;
        for (at, rule) in plan.rules.iter().enumerate() {
            let refuse = |what: &str| {
                Err(BucketError::FaultPlan { what: format!("rule {} {what}", at + 1) })
            };
            if !rule.chance.is_none_or(|chance| (0.0..=1.0).contains(&chance)) {
                return refuse("needs a chance from 0 to 1");
            }
            if rule.nth == Some(0) || rule.first == Some(0) {
                return refuse("counts operations from 1");
            }
            if rule.windows.is_some_and(|[first, last]| first > last) {
                return refuse("ends before its first window");
            }
            if let Some(never) = rule.operations.iter().find(|at| !rule.fault.befalls(**at)) {
                return refuse(&format!("names {never:?}, which its fault cannot befall"));
            }
        }
        Ok(plan)
    }

    /// The faults of the `count`th `operation` on `path`, from 1.
    pub(crate) fn faults(
        &self,
        seed: u64,
        operation: Operation,
        path: &Path,
        count: u64,
    ) -> impl Iterator<Item = &Fault> {
        let fires = move |(at, rule): &(usize, &FaultRule)| {
            let is_once = matches!(rule.fault, Fault::LateVisibility { .. });
            let words = if is_once { (0, 0) } else { (operation as u64 + 1, count) };
            let drawn = || {
                let numbers = [seed, *at as u64, words.0, words.1].map(u64::to_le_bytes);
                unit_draw(&[numbers.as_flattened(), path.as_ref().as_bytes()])
            };
            rule.covers(operation, path)
                && rule.nth.is_none_or(|nth| nth == count)
                && rule.first.is_none_or(|first| count <= first)
                && rule.chance.is_none_or(|chance| drawn() < chance)
        };
        self.rules.iter().enumerate().filter(fires).map(|(_, rule)| &rule.fault)
    }
}

impl FaultRule {
    fn covers(&self, operation: Operation, path: &Path) -> bool {
        let is_listed = self.operations.is_empty() || self.operations.contains(&operation);
        // run / folder / window / ..
        let mut segments = path.as_ref().split('/').skip(1);
        let folder = segments.next().unwrap_or_default();
        let window = segments.next().and_then(|text| text.parse::<u64>().ok());
        let is_of_windows =
            |[first, last]: [u64; 2]| window.is_some_and(|window| (first..=last).contains(&window));
        is_listed
            && self.fault.befalls(operation)
            && (self.objects.is_empty() || self.objects.iter().any(|name| name == folder))
            && self.windows.is_none_or(is_of_windows)
    }
}

impl Fault {
    fn befalls(&self, operation: Operation) -> bool {
        use Operation::{Get, Head, List, Put};
        match self {
            Self::TooManyRequests { .. } | Self::InternalError {} | Self::Unavailable { .. } => {
                true
            }
            Self::Unreachable {} | Self::Hang {} => true,
            Self::SlowDrip { .. } | Self::TruncatedBody {} | Self::WrongBytes {} => {
                operation == Get
            }
            Self::StaleList {} => operation == List,
            Self::LateVisibility { .. } | Self::ClockSkew { .. } => {
                matches!(operation, Get | Head | List)
            }
            Self::DiskFull {} | Self::LostAnswer {} => operation == Put,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "
        [[rule]]
        fault = { kind = \"unavailable\", retry_after_ms = 500 }
        chance = 0.25
        operations = [\"get\"]
        objects = [\"contributions\"]
        windows = [3, 9]
        [[rule]]
        fault = { kind = \"hang\" }
        nth = 2
    ";

    fn count(plan: &FaultPlan, seed: u64, operation: Operation, path: &str) -> Vec<usize> {
        let faults = |n| plan.faults(seed, operation, &Path::from(path), n).count();
        (1..=200).map(faults).collect()
    }

    #[test]
    fn a_plan_reads_back_from_its_text() {
        let plan = FaultPlan::parse(TEXT).unwrap();
        assert_eq!(plan.rules.len(), 2);
        assert_eq!(FaultPlan::parse(&toml::to_string(&plan).unwrap()).unwrap(), plan);
        assert_eq!(FaultPlan::parse("").unwrap(), FaultPlan::default());
    }

    #[test]
    fn the_documented_plan_is_one() {
        let page = include_str!("../../../docs/storage.md");
        let (_, rest) = page.split_once("```toml").unwrap();
        let (text, _) = rest.split_once("```").unwrap();
        assert_eq!(FaultPlan::parse(text).unwrap().rules.len(), 3);
    }

    #[test]
    fn what_could_never_fire_is_refused() {
        for rule in [
            "fault = { kind = \"hang\" }\nchance = 1.5",
            "fault = { kind = \"hang\" }\nnth = 0",
            "fault = { kind = \"hang\" }\nwindows = [4, 3]",
            "fault = { kind = \"hang\" }\nwindow = 3",
            "fault = { kind = \"hang\", delay_ms = 3 }",
            "fault = { kind = \"fire\" }",
            "fault = { kind = \"disk-full\" }\noperations = [\"get\"]",
        ] {
            let plan = FaultPlan::parse(&format!("[[rule]]\n{rule}\n"));
            assert!(plan.is_err(), "{rule}: {plan:?}");
        }
    }

    #[test]
    fn faults_are_a_function_of_seed_object_and_count() {
        let plan = FaultPlan::parse(TEXT).unwrap();
        let path = "run/contributions/000000000005/peer";
        let fired = count(&plan, 7, Operation::Get, path);
        assert_eq!(fired, count(&plan, 7, Operation::Get, path));
        assert_ne!(fired, count(&plan, 8, Operation::Get, path));
        assert_ne!(fired, count(&plan, 7, Operation::Get, &format!("{path}2")));
        let total: usize = fired.iter().sum();
        assert!((30..75).contains(&total), "{total} of 200 at a chance of a quarter");
    }

    #[test]
    fn filters_narrow_a_rule_to_what_they_name() {
        let plan = FaultPlan::parse(TEXT).unwrap();
        let only_second: Vec<_> = (1..=200).map(|n| usize::from(n == 2)).collect();
        for path in [
            "run/contributions/000000000010/peer",
            "run/manifests/000000000005/peer",
            "run/run.json",
        ] {
            assert_eq!(count(&plan, 7, Operation::Get, path), only_second, "{path}");
        }
        let path = "run/contributions/000000000005/peer";
        assert_eq!(count(&plan, 7, Operation::Put, path), only_second);
    }
}
