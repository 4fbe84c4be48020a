//! When messages come: one intensity for all symbols, and inside it runs of messages back to back.
//!
//! Pure: seed and rate in, times out. The intensity is a floor and the exponential of two wandering levels, a fast and a slow one (each an
//! Ornstein-Uhlenbeck process); runs come the longer the higher it stands, as an exchange gathers what it sends while it is busy.
//! The constants are fitted to the recording that `tests/market` measures. Must not know what a message says.
//! Invariant: over a long time there are `rate` messages a second, whatever the sizes of runs.

use super::chance::Chance;

/// Time between two steps of the intensity.
const STEP_US: f64 = 1000.0;

/// The wandering levels: how long each remembers, and its variance.
const FAST: (f64, f64) = (80_000.0, 1.10);
const SLOW: (f64, f64) = (700_000.0, 0.50);

/// The intensity below which a market never falls, as a part of its mean.
const FLOOR: f64 = 0.20;
/// It never rises above so many times its mean, about what the busiest tenth of a second of the recording had: an exchange has its limit too.
const CEILING: f64 = 25.0;

/// The mean length of a run is one and `RUN_GROWTH` times the intensity to the power of `RUN_POWER`.
const RUN_GROWTH: f64 = 1.8;
const RUN_POWER: f64 = 1.2;
/// Some runs are long ones: how many, and how much longer.
const LONG_SHARE: f64 = 0.15;
const LONG_FACTOR: f64 = 3.0;
/// What one run may hold: bounds the work that lies ahead.
const RUN_MAX: u64 = 600;

/// Time between two messages of a run: its median, how far the logarithm spreads, and its bound, below which messages count as back to back.
const GAP_US: f64 = 12.0;
const GAP_SPREAD: f64 = 1.8;
const GAP_US_MAX: f64 = 950.0;

/// So many messages, one behind the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    /// Since the beginning.
    pub(super) due_us: u64,
    pub(super) messages: u64,
}

/// The source of runs.
#[derive(Clone, Debug)]
pub(super) struct Arrivals {
    chance: Chance,
    messages_per_us: f64,
    fast: Level,
    slow: Level,
    at_us: f64,
    intensity: f64,
}

/// A level that wanders around zero and forgets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    value: f64,
    remembers_us: f64,
    variance: f64,
}

impl Level {
    pub(super) fn new(remembers_us: f64, variance: f64, chance: &mut Chance) -> Self {
        Self { value: variance.sqrt() * chance.normal(), remembers_us, variance }
    }

    /// Its value after so long: exact, however long that is.
    pub(super) fn after(&mut self, time_us: f64, chance: &mut Chance) -> f64 {
        let kept = (-time_us / self.remembers_us).exp();
        self.value = kept * self.value + ((1.0 - kept * kept) * self.variance).sqrt() * chance.normal();
        self.value
    }
}

impl Arrivals {
    pub(super) fn new(rate: f64, mut chance: Chance) -> Self {
        let fast = Level::new(FAST.0, FAST.1, &mut chance);
        let slow = Level::new(SLOW.0, SLOW.1, &mut chance);
        Self { chance, messages_per_us: rate / 1e6, fast, slow, at_us: 0.0, intensity: 1.0 }
    }

    /// The next run. Where the one before turned out longer than it was to be, `overdrawn` messages are waited for as well.
    pub(super) fn next(&mut self, overdrawn: u64) -> Run {
        let mut ahead = self.chance.even_wait(1.0) + overdrawn as f64 / self.run_mean();
        loop {
            let (per_us, left_us) = (self.runs_per_us(), STEP_US - self.at_us % STEP_US);
            if ahead <= per_us * left_us {
                self.at_us += ahead / per_us;
                return Run { due_us: self.at_us as u64, messages: self.messages() };
            }
            ahead -= per_us * left_us;
            self.at_us += left_us;
            self.step();
        }
    }

    /// Time between two messages of one run.
    pub(super) fn gap_us(&mut self) -> f64 {
        (GAP_US * (GAP_SPREAD * self.chance.normal()).exp()).min(GAP_US_MAX)
    }

    fn step(&mut self) {
        let level = self.fast.after(STEP_US, &mut self.chance) + self.slow.after(STEP_US, &mut self.chance);
        let wandering = (level - f64::midpoint(FAST.1, SLOW.1)).exp();
        self.intensity = (FLOOR + (1.0 - FLOOR) * wandering).min(CEILING);
    }

    fn runs_per_us(&self) -> f64 {
        self.messages_per_us * self.intensity / self.run_mean()
    }

    fn run_mean(&self) -> f64 {
        1.0 + RUN_GROWTH * self.intensity.powf(RUN_POWER)
    }

    fn messages(&mut self) -> u64 {
        let short = (1.0 - LONG_SHARE * LONG_FACTOR) / (1.0 - LONG_SHARE);
        let factor = if self.chance.is(LONG_SHARE) { LONG_FACTOR } else { short };
        self.chance.count(1.0 + factor * (self.run_mean() - 1.0)).min(RUN_MAX)
    }
}
