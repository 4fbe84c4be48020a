//! Latencies in an HDR histogram, and the few figures that are told of it.
//!
//! Pure. Must not read a clock. Invariant: a summary's figures rise from `p50` to `max`.

use hdrhistogram::Histogram;
use std::fmt;

/// Longest latency told apart, ns: a minute. Longer ones count as a minute.
const LONGEST_NS: u64 = 60_000_000_000;

/// Latencies in ns, three significant digits.
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    /// An empty histogram.
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("bounds are constants that it takes"))
    }

    /// Takes one latency; a clock that seems to run backwards counts as 1 ns.
    pub(crate) fn record(&mut self, latency_ns: u64) {
        self.record_many(latency_ns, 1);
    }

    /// Takes the same latency so many times.
    pub(crate) fn record_many(&mut self, latency_ns: u64, count: u64) {
        self.0.saturating_record_n(latency_ns.max(1), count);
    }

    /// The figures told of them, in ns; all zero where there are none.
    pub(crate) fn summary(&self) -> Summary {
        Summary {
            count: self.0.len(),
            p50: self.0.value_at_quantile(0.5),
            p99: self.0.value_at_quantile(0.99),
            p999: self.0.value_at_quantile(0.999),
            max: self.0.max(),
        }
    }
}

/// Quantiles in ns.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) p50: u64,
    pub(crate) p99: u64,
    pub(crate) p999: u64,
    pub(crate) max: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999, max] = [self.p50, self.p99, self.p999, self.max].map(Duration);
        write!(out, "p50 {p50} p99 {p99} p99.9 {p999} max {max}")
    }
}

/// Nanoseconds in the unit a reader wants.
pub(crate) struct Duration(pub(crate) u64);

impl fmt::Display for Duration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0..1_000_000 => write!(out, "{:.1}us", self.0 as f64 / 1e3),
            1_000_000..1_000_000_000 => write!(out, "{:.2}ms", self.0 as f64 / 1e6),
            _ => write!(out, "{:.2}s", self.0 as f64 / 1e9),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: u64, expected: u64) -> bool {
        value.abs_diff(expected) <= expected / 500
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut latencies = Latencies::new();
        for microseconds in 1..=1_000 {
            latencies.record(microseconds * 1_000);
        }
        let summary = latencies.summary();
        assert_eq!(summary.count, 1_000);
        assert!(near(summary.p50, 500_000) && near(summary.p99, 990_000), "{summary}");
        assert!(near(summary.p999, 999_000) && near(summary.max, 1_000_000), "{summary}");
    }

    #[test]
    fn nothing_out_of_range_is_lost() {
        let mut latencies = Latencies::new();
        latencies.record(0);
        latencies.record(u64::MAX);
        assert_eq!(latencies.summary().count, 2);
        assert!(near(latencies.summary().max, LONGEST_NS));
    }

    #[test]
    fn units_follow_the_size() {
        assert_eq!(Duration(30_400).to_string(), "30.4us");
        assert_eq!(Duration(4_100_000).to_string(), "4.10ms");
        assert_eq!(Duration(2_500_000_000).to_string(), "2.50s");
    }
}
