//! Where chance comes from: one seeded source, and the few laws that the market draws from.
//!
//! Pure. Floats serve times, sizes and choices; a price is never made of one.
//! Invariant: the same seed gives the same draws.

use std::f64::consts::TAU;

/// `SplitMix64` (Steele, Lea, Flood 2014). Seeded, so that a market can be had again.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from 0 to `end - 1`; 0 where `end` is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.word() % end.max(1)
    }

    /// Above 0, at most 1.
    pub(super) fn unit(&mut self) -> f64 {
        ((self.word() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    pub(super) fn is(&mut self, probability: f64) -> bool {
        self.unit() <= probability
    }

    /// The normal law with mean 0 and variance 1 (Box, Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (TAU * self.unit()).cos()
    }

    /// A waiting time of this mean, more even than an exponential one: the sum of three.
    pub(super) fn even_wait(&mut self, mean: f64) -> f64 {
        -(self.unit() * self.unit() * self.unit()).ln() / 3.0 * mean
    }

    /// A count from 1 on with this mean, each further one as likely as the one before it.
    pub(super) fn count(&mut self, mean: f64) -> u64 {
        if mean <= 1.0 {
            return 1;
        }
        1 + (self.unit().ln() / (1.0 - 1.0 / mean).ln()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_law_has_its_mean() {
        let (mut chance, draws) = (Chance::new(7), 200_000);
        let mut mean = |mut draw: Box<dyn FnMut(&mut Chance) -> f64>| {
            (0..draws).map(|_| draw(&mut chance)).sum::<f64>() / f64::from(draws)
        };
        // Bounds are five standard errors or more.
        assert!(mean(Box::new(Chance::normal)).abs() < 0.012);
        assert!((mean(Box::new(|chance| chance.normal().powi(2))) - 1.0).abs() < 0.02);
        assert!((mean(Box::new(|chance| chance.even_wait(2.0))) - 2.0).abs() < 0.02);
        assert!((mean(Box::new(|chance| chance.count(3.5) as f64)) - 3.5).abs() < 0.04);
        assert!((mean(Box::new(|chance| chance.count(1.0) as f64)) - 1.0).abs() < f64::EPSILON);
        assert!((mean(Box::new(|chance| chance.below(11) as f64)) - 5.0).abs() < 0.04);
    }
}
