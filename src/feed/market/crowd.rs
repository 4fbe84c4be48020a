//! Which symbol comes next: popular ones more often, and each with bursts of its own inside those of the market.
//!
//! Pure. Invariant: over a long time a symbol has the share that its weight says.

use super::arrivals::Level;
use super::chance::Chance;

/// How long a symbol's own busy moments last, and how much they differ.
const OWN_US: f64 = 150_000.0;
const OWN_VARIANCE: f64 = 0.5;

/// A symbol that is this many times as busy as it usually is gets all that it is picked for.
const BUSIEST: f64 = 4.0;
/// Picks that are refused at most, one after the other.
const REFUSED_MAX: u32 = 64;

#[derive(Clone, Debug)]
pub(super) struct Crowd {
    /// Where each symbol's part ends on a line from 0 to 1.
    ends: Vec<f64>,
    own: Vec<(u64, Level)>,
}

impl Crowd {
    pub(super) fn new(weights: impl Iterator<Item = f64> + Clone, chance: &mut Chance) -> Self {
        let (total, mut end) = (weights.clone().sum::<f64>(), 0.0);
        let ends: Vec<f64> = weights
            .map(|weight| {
                end += weight / total;
                end
            })
            .collect();
        let own = ends.iter().map(|_| (0, Level::new(OWN_US, OWN_VARIANCE, chance))).collect();
        Self { ends, own }
    }

    pub(super) fn share(&self, number: usize) -> f64 {
        self.ends[number] - if number == 0 { 0.0 } else { self.ends[number - 1] }
    }

    /// The symbol of what comes at `now_us`; these rise.
    pub(super) fn pick(&mut self, now_us: u64, chance: &mut Chance) -> usize {
        let mut picked = 0;
        for _ in 0..REFUSED_MAX {
            let place = chance.unit();
            picked = self.ends.partition_point(|end| *end < place).min(self.ends.len() - 1);
            let (seen_us, level) = &mut self.own[picked];
            let passed_us = now_us.saturating_sub(std::mem::replace(seen_us, now_us));
            let busy = (level.after(passed_us as f64, chance) - OWN_VARIANCE / 2.0).exp();
            if chance.is(busy / BUSIEST) {
                break;
            }
        }
        picked
    }
}
