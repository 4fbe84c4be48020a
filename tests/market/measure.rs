//! The yardstick: what a stream of messages is like in time, by itself and beside the recording that a simulated market follows.
//!
//! Pure. Knows times and sources only, so that a recording, a market and plain chance are measured by the same code.

use std::fmt;

const MS: u64 = 1_000_000;

/// Messages at most so far apart are back to back, and a run.
const BACK_TO_BACK: u64 = MS;

/// A stream: when each message came, in nanoseconds, and which source it is of.
#[derive(Default)]
pub(crate) struct Stream {
    pub(crate) times: Vec<u64>,
    pub(crate) sources: Vec<usize>,
}

/// One quantity: what the recording says, and between which values a stream of the same kind lies.
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    recorded: f64,
    least: f64,
    most: f64,
}

/// The quantities of `shared/data/README.md`, at its mean of 960 messages a second over 346 seconds.
///
/// The recording is one draw of a process whose few great bursts decide these figures. Of the simulated spans with seeds 1 to 9, as long as it, the
/// dispersion in 100 ms lay between 100 and 193, that in 1 s between 295 and 601, and the peaks between 4.6 and 7.6, 17 and 41, 48 and 82: the
/// bounds hold all of them and the recording, with some room, and refuse what is of another kind. Independent arrivals have 1 for a dispersion,
/// 0 for a memory, and peaks of 1.1, 1.5 and 2.6.
const BOUNDS: [Bound; 19] = [
    bound("dispersion in 1 ms", 9.2, 6.0, 14.0),
    bound("dispersion in 10 ms", 37.3, 22.0, 55.0),
    bound("dispersion in 100 ms", 158.3, 90.0, 250.0),
    bound("dispersion in 1 s", 462.0, 230.0, 750.0),
    bound("memory after 100 ms", 0.45, 0.35, 0.55),
    bound("memory after 200 ms", 0.21, 0.10, 0.33),
    bound("memory after 500 ms", 0.08, 0.0, 0.22),
    bound("memory after 5 s", -0.01, -0.1, 0.1),
    bound("peak in 1 s", 6.1, 3.5, 11.0),
    bound("peak in 100 ms", 23.9, 14.0, 50.0),
    bound("peak in 10 ms", 71.9, 40.0, 130.0),
    bound("run, mean", 3.64, 2.9, 4.9),
    bound("run, p50", 2.0, 2.0, 2.0),
    bound("run, p90", 6.0, 5.0, 10.0),
    bound("run, p99", 43.0, 30.0, 55.0),
    bound("run, longest", 553.0, 200.0, 5000.0),
    bound("in runs of ten and more", 0.47, 0.40, 0.56),
    bound("correlation of sources, least", 0.40, 0.3, 0.7),
    bound("correlation of sources, most", 0.68, 0.45, 0.8),
];

const fn bound(name: &'static str, recorded: f64, least: f64, most: f64) -> Bound {
    Bound { name, recorded, least, most }
}

/// What was measured, in the order of [`BOUNDS`].
pub(crate) struct Measured(Vec<f64>);

impl Stream {
    pub(crate) fn mean_per_second(&self) -> f64 {
        self.times.len() as f64 * 1e9 / self.span() as f64
    }

    pub(crate) fn measure(&self) -> Measured {
        let windows = [MS, 10 * MS, 100 * MS, 1000 * MS];
        let mut values: Vec<f64> = windows.iter().map(|window| dispersion(&self.counts(*window))).collect();
        let counts = self.counts(100 * MS);
        values.extend([1, 2, 5, 50].map(|lag| correlation(&counts[lag..], &counts[..counts.len() - lag])));
        values.extend([1000 * MS, 100 * MS, 10 * MS].map(|window| self.peak(window)));
        values.extend(self.runs());
        let pairs = self.correlations();
        values
            .extend([pairs.iter().copied().fold(1.0, f64::min), pairs.iter().copied().fold(-1.0, f64::max)]);
        Measured(values)
    }

    fn span(&self) -> u64 {
        self.times.last().unwrap() - self.times[0]
    }

    fn counts(&self, window: u64) -> Vec<f64> {
        self.counts_of(window, |_| true)
    }

    fn counts_of(&self, window: u64, wanted: impl Fn(usize) -> bool) -> Vec<f64> {
        let mut counts = vec![0.0; (self.span() / window) as usize + 1];
        for (time, source) in self.times.iter().zip(&self.sources) {
            if wanted(*source) {
                counts[((time - self.times[0]) / window) as usize] += 1.0;
            }
        }
        // The last window is cut short.
        counts.pop();
        counts
    }

    /// The most in any window of this length, wherever it begins, beside the mean.
    fn peak(&self, window: u64) -> f64 {
        let (mut from, mut most) = (0, 0);
        for (to, time) in self.times.iter().enumerate() {
            while time - self.times[from] >= window {
                from += 1;
            }
            most = most.max(to + 1 - from);
        }
        most as f64 * 1e9 / (window as f64 * self.mean_per_second())
    }

    fn runs(&self) -> [f64; 6] {
        let mut runs = vec![1_usize];
        for pair in self.times.windows(2) {
            if pair[1] - pair[0] < BACK_TO_BACK { *runs.last_mut().unwrap() += 1 } else { runs.push(1) }
        }
        runs.sort_unstable();
        let at = |share: f64| runs[((runs.len() - 1) as f64 * share).round() as usize] as f64;
        let long: usize = runs.iter().filter(|run| **run >= 10).sum();
        let total = self.times.len() as f64;
        [total / runs.len() as f64, at(0.5), at(0.9), at(0.99), at(1.0), long as f64 / total]
    }

    fn correlations(&self) -> Vec<f64> {
        let sources = self.sources.iter().max().unwrap() + 1;
        let counts: Vec<_> =
            (0..sources).map(|one| self.counts_of(100 * MS, |source| source == one)).collect();
        let pairs = (0..sources).flat_map(|one| (0..one).map(move |other| (one, other)));
        pairs.map(|(one, other)| correlation(&counts[one], &counts[other])).collect()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn covariance(one: &[f64], other: &[f64]) -> f64 {
    let (mean_one, mean_other) = (mean(one), mean(other));
    let products = one.iter().zip(other).map(|(one, other)| (one - mean_one) * (other - mean_other));
    products.sum::<f64>() / one.len() as f64
}

fn dispersion(counts: &[f64]) -> f64 {
    covariance(counts, counts) / mean(counts)
}

fn correlation(one: &[f64], other: &[f64]) -> f64 {
    covariance(one, other) / (covariance(one, one) * covariance(other, other)).sqrt()
}

impl Measured {
    /// The names of quantities that are out of bounds.
    pub(crate) fn out_of_bounds(&self) -> Vec<&'static str> {
        let out = |(bound, value): &(&Bound, &f64)| !(bound.least..=bound.most).contains(*value);
        BOUNDS.iter().zip(&self.0).filter(out).map(|(bound, _)| bound.name).collect()
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (Bound { name, recorded, least, most }, value) in BOUNDS.iter().zip(&self.0) {
            writeln!(f, "{name:>30}: {value:8.2}, recorded {recorded}, bounds {least} to {most}")?;
        }
        Ok(())
    }
}
