//! How far to read ahead: as many samples as are taken while a round of reads is under way, twice
//! over, so that one slow round stalls nobody.

use std::time::Duration;

/// Weight of the newest measurement.
const NEWEST: f64 = 0.2;
/// Room for what measurements do not show.
const MARGIN: f64 = 2.0;

/// Running means of what reading and taking cost.
#[derive(Debug, Default)]
pub(super) struct Pace {
    round_s: Option<f64>,
    interval_s: Option<f64>,
}

impl Pace {
    /// A round of reads took this long.
    pub(super) fn round(&mut self, took: Duration) {
        mean(&mut self.round_s, took.as_secs_f64());
    }

    /// This much passed between two samples that were let go.
    pub(super) fn interval(&mut self, passed: Duration) {
        mean(&mut self.interval_s, passed.as_secs_f64());
    }

    /// Samples to be ahead, at least `least` and at most `most`; the most while nothing is known.
    pub(super) fn ahead(&self, least: usize, most: usize) -> usize {
        let (Some(round_s), Some(interval_s)) = (self.round_s, self.interval_s) else {
            return most;
        };
        let taken_meanwhile = round_s / interval_s.max(1e-9);
        // A float too large for an integer saturates, which the bound then takes back.
        ((MARGIN * taken_meanwhile).ceil() as usize).clamp(least.min(most), most)
    }
}

fn mean(of: &mut Option<f64>, newest: f64) {
    *of = Some(of.map_or(newest, |before| before + NEWEST * (newest - before)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_reads_and_fast_takers_raise_the_distance_up_to_its_bound() {
        let mut pace = Pace::default();
        assert_eq!(pace.ahead(4, 100), 100);
        pace.round(Duration::from_millis(10));
        pace.interval(Duration::from_millis(1));
        assert_eq!(pace.ahead(4, 100), 20);
        (0..100).for_each(|_| pace.round(Duration::from_secs(1)));
        assert_eq!(pace.ahead(4, 100), 100);
        (0..100).for_each(|_| pace.interval(Duration::from_secs(10)));
        assert_eq!(pace.ahead(4, 100), 4);
        assert_eq!(pace.ahead(4, 2), 2);
    }
}
