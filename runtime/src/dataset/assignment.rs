//! Which samples `(uid, window)` trains on, in order: `numpy.random.default_rng(seed).choice(of,
//! size, replace=False)` bit for bit, so that every node, and the published run, agree.
//!
//! Two algorithms share the work as in numpy: Floyd's for a few samples out of many, and a shuffle
//! of the tail of all indices for many out of a few.

use std::collections::{HashMap, HashSet};

use super::{DatasetError, Pcg64};

/// The ordered sample indices of one peer in one window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    samples: Vec<u64>,
}

impl Assignment {
    /// Assigns `size` different samples out of `of` to `(uid, window)`. Window 0 and uid 0 count
    /// like any other; pseudo-uids beyond the subnet's seats draw random data.
    ///
    /// # Errors
    /// `size` is larger than `of`.
    pub fn new(uid: u64, window: u64, of: u64, size: u64) -> Result<Self, DatasetError> {
        if size > of {
            return Err(DatasetError::TooFewSamples { size, of });
        }
        Ok(Self { samples: choice(&mut Pcg64::new(seed(uid, window)), of, size) })
    }

    /// All assigned samples, in the order they are trained on.
    pub fn samples(&self) -> &[u64] {
        &self.samples
    }

    /// Samples of inner step `step` with `batch` samples per step; `None` past the last whole step.
    pub fn step(&self, step: usize, batch: usize) -> Option<&[u64]> {
        let start = step.checked_mul(batch)?;
        self.samples.get(start..start.checked_add(batch)?)
    }
}

/// `((uid * 1,000,003) xor window) mod 2^32`. Changing this breaks every assignment.
fn seed(uid: u64, window: u64) -> u64 {
    (uid.wrapping_mul(1_000_003) ^ window) & 0xFFFF_FFFF
}

fn choice(rng: &mut Pcg64, of: u64, size: u64) -> Vec<u64> {
    if of > 10_000 && size > of / 50 {
        tail_of_shuffle(rng, of, size)
    } else {
        let mut chosen = floyd(rng, of, size);
        for i in (1..chosen.len()).rev() {
            chosen.swap(i, rng.bounded(i as u64) as usize);
        }
        chosen
    }
}

/// The last `size` of `0..of` shuffled from the end. Only displaced values are held, so that memory
/// goes with `size`, however many samples there are.
fn tail_of_shuffle(rng: &mut Pcg64, of: u64, size: u64) -> Vec<u64> {
    let mut displaced: HashMap<u64, u64> = HashMap::with_capacity(size as usize);
    let mut tail: Vec<u64> = (of - size..of)
        .rev()
        .map(|last| {
            let drawn = rng.bounded(last);
            let at_last = displaced.remove(&last).unwrap_or(last);
            if drawn == last { at_last } else { displaced.insert(drawn, at_last).unwrap_or(drawn) }
        })
        .collect();
    tail.reverse();
    tail
}

/// Robert Floyd's sampling without replacement; the caller shuffles.
fn floyd(rng: &mut Pcg64, of: u64, size: u64) -> Vec<u64> {
    let mut seen = HashSet::with_capacity(size as usize);
    let mut draw = |last| {
        let drawn = rng.bounded(last);
        if seen.insert(drawn) {
            drawn
        } else {
            seen.insert(last);
            last
        }
    };
    (of - size..of).map(&mut draw).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assigned(uid: u64, window: u64, of: u64, size: u64) -> Vec<u64> {
        Assignment::new(uid, window, of, size).unwrap().samples
    }

    #[test]
    fn the_published_assignments_come_out() {
        let samples = assigned(7, 62834, 52_428_800, 30_720);
        assert_eq!(seed(7, 62834), 6961831);
        assert_eq!(samples[..5], [36578429, 38559937, 16119449, 13076850, 2785703]);
        assert_eq!(samples[30_719], 33480005);
        assert_eq!(samples.iter().sum::<u64>(), 806059594268);

        let samples = assigned(0, 0, 52_428_800, 30_720);
        assert_eq!(samples[..5], [13750694, 51896223, 2128312, 1565641, 31328516]);
        assert_eq!(samples.iter().sum::<u64>(), 804000341278);

        let samples = assigned(255, 62834, 52_428_800, 30_720);
        assert_eq!(seed(255, 62834), 255063503);
        assert_eq!(samples[0], 23379701);
        assert_eq!(samples.iter().sum::<u64>(), 802228622631);
    }

    #[test]
    fn the_published_tail_shuffle_comes_out() {
        let samples = assigned(1, 10, 20_000, 15_000);
        assert_eq!(seed(1, 10), 1000009);
        assert_eq!(samples[..3], [881, 4835, 15370]);
        assert_eq!(samples.iter().sum::<u64>(), 149826190);
    }

    /// By `runtime/tests/golden/assignment.py`: uid, window, of, size, first three, hash of all.
    const FROM_NUMPY: [(u64, u64, u64, u64, [u64; 3], u64); 15] = [
        (0, 0, 10, 10, [0, 9, 1], 8280699767171099391),
        (1, 2, 10, 3, [3, 8, 6], 3000026000057),
        (3, 5, 100, 99, [11, 5, 38], 12119243492703538783),
        (7, 1, 5000, 5000, [4319, 2069, 3930], 1442385356372207956),
        (9, 9, 9999, 9999, [9693, 3509, 3759], 15066555618558019741),
        (2, 77, 10000, 9000, [4564, 4991, 1030], 8965654965728732876),
        (11, 4, 10001, 200, [1364, 4712, 1924], 5347484771304999273),
        (11, 4, 10001, 201, [5268, 4811, 3221], 16926227766042259112),
        (65535, 123456789, 10001, 10001, [6635, 1214, 7213], 4976438150627488210),
        (250, 4294967313, 1048576, 20971, [801250, 608980, 435893], 18324755138213777211),
        (250, 4294967313, 1048576, 20972, [883302, 760673, 824859], 16849351902549206141),
        (4, 8, 4294967295, 50, [86815549, 918408468, 20906899], 17371284536317843887),
        (4, 8, 4294967296, 50, [86815549, 918408468, 20906899], 12746599549478044147),
        (5, 8, 4294967297, 50, [1987069843, 3872294687, 2484758718], 1888010377988772795),
        (6, 8, 1099511627776, 50, [720409932878, 625985571808, 941989928515], 9743527739467763879),
    ];

    #[test]
    fn numpy_assigns_the_same_on_every_branch() {
        for (uid, window, of, size, first, hash) in FROM_NUMPY {
            let samples = assigned(uid, window, of, size);
            let hashed = samples
                .iter()
                .fold(0u64, |hash, &sample| hash.wrapping_mul(1_000_003).wrapping_add(sample));
            assert_eq!((&samples[..3], hashed), (&first[..], hash), "{size} of {of}");
        }
    }

    #[test]
    fn steps_walk_the_samples_in_order_and_end() {
        let assignment = Assignment::new(3, 4, 100, 10).unwrap();
        assert_eq!(assignment.step(1, 4).unwrap(), &assignment.samples()[4..8]);
        assert_eq!(assignment.step(2, 4), None);
        assert_eq!(assignment.step(usize::MAX, 4), None);
    }

    #[test]
    fn more_samples_than_there_are_is_an_error_naming_both() {
        let error = Assignment::new(0, 0, 10, 11).unwrap_err().to_string();
        assert!(error.contains("11 different samples out of 10"), "{error}");
    }
}
