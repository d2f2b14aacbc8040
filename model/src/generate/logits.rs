//! What logits say of tokens: log-probabilities in f64, and the one that is most likely.

/// The logarithm of a softmax, ready to be asked for tokens.
#[derive(Clone, Copy, Debug)]
pub struct LogSoftmax {
    peak: f64,
    /// Logarithm of the sum of exponentials below the peak.
    log_sum: f64,
}

impl LogSoftmax {
    /// Of one row of logits.
    pub fn of(logits: &[f32]) -> Self {
        let peak = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let peak = f64::from(peak);
        let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - peak).exp()).sum();
        Self { peak, log_sum: sum.ln() }
    }

    /// Log-probability, in nats, of a token with this logit.
    pub fn nats(&self, logit: f32) -> f64 {
        f64::from(logit) - self.peak - self.log_sum
    }
}

/// The token with the largest logit; of several the first. Logits that are no number never win.
pub fn greedy(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (token, logit) in logits.iter().enumerate() {
        let is_first = logits[best].is_nan() && !logit.is_nan();
        if *logit > logits[best] || is_first {
            best = token;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_all_tokens_make_one_even_of_huge_logits() {
        let logits = [1e30, 1e30, -1e30, f32::NEG_INFINITY];
        let of = LogSoftmax::of(&logits);
        let sum: f64 = logits.iter().map(|logit| of.nats(*logit).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12, "{sum}");
        let of = LogSoftmax::of(&[0.0, 3f32.ln()]);
        assert!((of.nats(3f32.ln()) - 0.75f64.ln()).abs() < 1e-7);
    }

    #[test]
    fn the_first_of_equals_is_most_likely_and_no_number_never_is() {
        assert_eq!(greedy(&[0.0, 2.0, 2.0, 1.0]), 1);
        assert_eq!(greedy(&[f32::NAN, -3.0, f32::NAN, -2.0]), 3);
        assert_eq!(greedy(&[f32::NEG_INFINITY]), 0);
    }
}
