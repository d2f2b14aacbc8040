//! Random values to measure with: zeros and repeats run faster than what training sees.

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Noise(u64);

impl Noise {
    /// The sequence of `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Sum of four uniform draws: a bell of mean 0 and deviation `scale`, without logarithms.
    pub(crate) fn bell(&mut self, scale: f32) -> f32 {
        let bits = self.next();
        let sum: u64 = (0..4).map(|i| bits >> (16 * i) & 0xffff).sum();
        // Four uniforms of 2^16 steps have mean 2 * 65535 and deviation 65536 / sqrt(3).
        (sum as f32 - 131_070.0) * (scale * 1.732_050_8 / 65_536.0)
    }

    /// `len` values.
    pub(crate) fn vec(&mut self, len: usize, scale: f32) -> Vec<f32> {
        (0..len).map(|_| self.bell(scale)).collect()
    }

    /// `len` numbers below `bound`.
    pub(crate) fn indices(&mut self, len: usize, bound: u32) -> Vec<u32> {
        (0..len).map(|_| (self.next() % u64::from(bound)) as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bell_has_the_deviation_asked_for() {
        let values = Noise::new(1).vec(100_000, 0.5);
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / 1e5;
        let square = values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.01 && (square.sqrt() - 0.5).abs() < 0.01, "{mean} {square}");
    }
}
