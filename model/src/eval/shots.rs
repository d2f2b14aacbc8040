//! Examples before a question: which rows, in which order. Rows are drawn by the Mersenne Twister
//! as Python's `random.Random(1234).sample` draws, so that they are those of the harness.

use std::collections::HashSet;

use rand_mt::Mt;
use serde_json::{Map, Value};

use super::{Asked, Order, Task};

/// Seed of the harness's draws, if nobody says another.
pub const SHOTS_SEED: u32 = 1234;

/// Examples for one question after another.
pub struct Shots {
    task: Task,
    rows: Vec<Map<String, Value>>,
    count: usize,
    draws: Mt,
}

impl Shots {
    /// `count` examples of `task` before each question, out of `rows`.
    pub fn new(task: Task, rows: Vec<Map<String, Value>>, count: usize) -> Self {
        Self { task, rows, count, draws: seeded() }
    }

    /// What is asked about a row, after the examples. The draws go on with each call.
    ///
    /// # Errors
    /// The row or an example is not in the layout of its dataset, or there are too few rows.
    pub fn question(&mut self, row: &Map<String, Value>) -> Result<Asked, String> {
        let question = self.task.question(row)?;
        let mut examples = String::new();
        for at in self.chosen(row)? {
            let example = self.task.question(&self.rows[at]);
            let example = example.map_err(|why| format!("example {}: {why}", at + 1))?;
            examples += &example.example();
        }
        Ok(question.after(&examples))
    }

    fn chosen(&mut self, row: &Map<String, Value>) -> Result<Vec<usize>, String> {
        let Self { task, rows, count, draws } = self;
        let count = *count;
        if count == 0 {
            return Ok(Vec::new());
        }
        let too_few = |there: usize| {
            let split = task.examples;
            format!("{count} examples need more rows than the {there} of {split}; ask for fewer")
        };
        let draw = |draws: &mut Mt, of: usize, count: usize| match count <= of {
            true => Ok(drawn(draws, of, count)),
            false => Err(too_few(of)),
        };
        match task.order {
            Order::First => {
                let alike = |at: &usize| rows[*at].get("subject") == row.get("subject");
                let found: Vec<usize> = (0..rows.len()).filter(alike).take(count).collect();
                if found.len() < count { Err(too_few(found.len())) } else { Ok(found) }
            }
            Order::Drawn => draw(draws, rows.len(), count),
            Order::DrawnFromOthers => {
                let mut found = draw(draws, rows.len(), count + 1)?;
                found.retain(|at| rows[*at] != *row);
                if found.len() < count {
                    let others: Vec<usize> =
                        (0..rows.len()).filter(|at| rows[*at] != *row).collect();
                    found = draw(draws, others.len(), count)?;
                    found.iter_mut().for_each(|at| *at = others[*at]);
                }
                found.truncate(count);
                Ok(found)
            }
        }
    }
}

fn seeded() -> Mt {
    Mt::new_with_key([SHOTS_SEED])
}

/// `count` different numbers below `of`.
fn drawn(draws: &mut Mt, of: usize, count: usize) -> Vec<usize> {
    let mut pool_max = 21;
    if count > 5 {
        pool_max += 4f64.powf(((3 * count) as f64).log(4.0).ceil()) as usize;
    }
    if of <= pool_max {
        let mut pool: Vec<usize> = (0..of).collect();
        return (0..count)
            .map(|_| {
                let at = below(draws, pool.len());
                pool.swap_remove(at)
            })
            .collect();
    }
    let mut seen = HashSet::new();
    let mut fresh = || loop {
        let at = below(draws, of);
        if seen.insert(at) {
            return at;
        }
    };
    (0..count).map(|_| fresh()).collect()
}

/// A number below `of`, which is at least 1 and fits 32 bits.
fn below(draws: &mut Mt, of: usize) -> usize {
    let unused = (of as u32).leading_zeros();
    loop {
        let number = (draws.next_u32() >> unused) as usize;
        if number < of {
            return number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_the_harness() {
        let text = include_str!("../../tests/hugging_face/eval/reference.json");
        let reference: Value = serde_json::from_str(text).unwrap();
        let mut draws = seeded();
        let all = reference["draws"].as_array().unwrap();
        assert_eq!(all.len(), 9);
        for draw in all {
            let (of, count) = (draw[0].as_u64().unwrap(), draw[1].as_u64().unwrap());
            let found = drawn(&mut draws, of as usize, count as usize);
            assert_eq!(serde_json::json!(found), draw[2], "{count} of {of}");
        }
    }
}
