//! What an evaluation found, in the shape of the harness's results, and as a table beside what was
//! published of the model that this system trained before.

use model::eval::{Answered, Perplexity, Solved, Task};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::stdout;

/// Accuracy in percent that was published for Covenant-72B after 1.1 T tokens, no examples; per
/// character where the harness reports that.
const PUBLISHED: [(&str, f64); 7] = [
    ("arc_challenge", 56.8),
    ("arc_easy", 80.9),
    ("hellaswag", 80.6),
    ("mmlu", 67.1),
    ("openbookqa", 44.0),
    ("piqa", 81.6),
    ("winogrande", 75.9),
];

/// Right answers of a task.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scores {
    pub(super) rows: u64,
    /// By each of the task's two ways to look at an answer.
    right: [u64; 2],
}

impl Scores {
    pub(super) fn add(&mut self, answered: Answered) {
        self.count([answered.acc, answered.acc_norm]);
    }

    pub(super) fn add_solved(&mut self, solved: &Solved) {
        self.count([solved.strict.0, solved.flexible.0]);
    }

    fn count(&mut self, right: [bool; 2]) {
        self.rows += 1;
        self.right.iter_mut().zip(right).for_each(|(sum, right)| *sum += u64::from(right));
    }
}

/// Results of all tasks.
#[derive(Debug)]
pub(super) struct Report {
    model: String,
    found: Vec<Found>,
    lines: Vec<String>,
}

/// What a task came to.
#[derive(Debug)]
struct Found {
    name: String,
    version: f64,
    shots: usize,
    rows: u64,
    result: Value,
}

impl Report {
    pub(super) fn new(model: String) -> Self {
        Self { model, found: Vec::new(), lines: Vec::new() }
    }

    pub(super) fn add_task(&mut self, task: &Task, shots: usize, scores: &Scores) {
        let mut result = json!({ "alias": task.name });
        // Metrics and their filters in the results, and what the table calls them.
        let metrics: &[_] = match (task.is_written(), task.has_norm) {
            (true, _) => &[
                ("exact_match", "strict-match", "strict-match"),
                ("exact_match", "flexible-extract", "flexible-extract"),
            ],
            (false, true) => &[("acc", "none", "acc"), ("acc_norm", "none", "acc_norm")],
            (false, false) => &[("acc", "none", "acc")],
        };
        for (at, ((name, filter, metric), right)) in metrics.iter().zip(scores.right).enumerate() {
            let mean = right as f64 / scores.rows as f64;
            let error = deviation_of_mean(mean, scores.rows);
            result[format!("{name},{filter}")] = mean.into();
            result[format!("{name}_stderr,{filter}")] = error.map_or("N/A".into(), Value::from);
            let published = PUBLISHED.iter().find(|(name, _)| *name == task.name);
            let published = published.filter(|_| at + 1 == metrics.len() && shots == 0);
            let published = published.map_or(String::new(), |(_, percent)| format!("{percent:.1}"));
            let spread = error.map_or(String::new(), |error| format!("{:.1}", 100.0 * error));
            self.lines.push(format!(
                "{:<14} {metric:<16} {:>8.1} {spread:>7} {:>7} {published:>13}",
                task.name,
                100.0 * mean,
                scores.rows
            ));
        }
        let (name, version, rows) = (task.name.to_string(), task.version, scores.rows);
        self.found.push(Found { name, version, shots, rows, result });
    }

    pub(super) fn add_perplexity(&mut self, name: &str, (of, documents): (Perplexity, u64)) {
        let mut result = json!({ "alias": name });
        let metrics = [
            ("word_perplexity", of.per_word()),
            ("byte_perplexity", of.per_byte()),
            ("bits_per_byte", of.bits_per_byte()),
        ];
        for (metric, value) in metrics {
            result[format!("{metric},none")] = value.into();
            let line = format!("{name:<14} {metric:<16} {value:>8.3} {:>7} {documents:>7}", "");
            self.lines.push(line);
        }
        let name = name.to_string();
        self.found.push(Found { name, version: 2.0, shots: 0, rows: documents, result });
    }

    /// Something of each task, by its name.
    fn by_name(&self, of: impl Fn(&Found) -> Value) -> Value {
        self.found.iter().map(|found| (found.name.clone(), of(found))).collect()
    }

    /// Prints what was found in `seconds`.
    pub(super) fn print(self, seconds: f64, is_json: bool) -> Result<(), Failure> {
        if is_json {
            return stdout::print_json(&json!({
                "results": self.by_name(|found| found.result.clone()),
                "versions": self.by_name(|found| found.version.into()),
                "n-shot": self.by_name(|found| found.shots.into()),
                "n-samples": self.by_name(|found| json!({ "effective": found.rows })),
                "config": { "model": "cov72", "model_args": self.model },
                "cov72_version": env!("CARGO_PKG_VERSION"),
                "total_evaluation_time_seconds": seconds,
            }));
        }
        eprintln!("asked {} for {seconds:.1} s", self.model);
        stdout::print(|out| {
            writeln!(
                out,
                "{:<14} {:<16} {:>8} {:>7} {:>7} {:>13}",
                "task", "metric", "value", "+-", "rows", "Covenant-72B"
            )?;
            self.lines.iter().try_for_each(|line| writeln!(out, "{line}"))
        })
    }
}

/// Of the mean of so many zeros and ones, from their own spread; none of a single one.
fn deviation_of_mean(mean: f64, rows: u64) -> Option<f64> {
    (rows > 1).then(|| (mean * (1.0 - mean) / (rows - 1) as f64).sqrt())
}
