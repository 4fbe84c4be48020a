//! The law of chosen rates: how close two records of a channel may come.
//!
//! Pure; times are arguments. Must not blame the server for a reader that was late: a record that was read at one time may
//! have come at any time since the socket was last seen empty. Invariant: a server that keeps its rate is never accused.

/// What a server may fall short of `every_ms` by within one turn: it times from the turn's beginning.
const SHARE_AT_LEAST: f64 = 0.5;
/// What it may fall short of in the long run.
const SHARE_ON_AVERAGE: f64 = 0.9;

/// One channel of a subscriber that chose a rate.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    every_ns: u64,
    /// The earliest at which the first record, and the one before, may have come.
    first_ns: Option<u64>,
    before_ns: Option<u64>,
    count: u64,
}

impl Pace {
    /// At most one record in `every_ms`.
    pub(crate) fn new(every_ms: u64) -> Self {
        Self { every_ns: every_ms * 1_000_000, first_ns: None, before_ns: None, count: 0 }
    }

    /// Takes a record that came between these two times. What was wrong, where it came too soon.
    pub(crate) fn record(&mut self, earliest_ns: u64, latest_ns: u64) -> Result<(), String> {
        let every_ns = self.every_ns as f64;
        let first_ns = *self.first_ns.get_or_insert(earliest_ns);
        let before_ns = self.before_ns.replace(earliest_ns);
        let longest_ns = before_ns.map_or(f64::MAX, |before_ns| latest_ns.saturating_sub(before_ns) as f64);
        if longest_ns < every_ns * SHARE_AT_LEAST {
            return Err(format!(
                "came {:.1} ms after the one before at most, with every_ms {}",
                longest_ns / 1e6,
                every_ns / 1e6
            ));
        }
        let due = latest_ns.saturating_sub(first_ns) as f64 / (every_ns * SHARE_ON_AVERAGE) + 2.0;
        self.count += 1;
        if self.count as f64 > due {
            return Err(format!("{} records where the rate allows {due:.0}", self.count));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_kept_rate_is_in_order() {
        let mut pace = Pace::new(100);
        for at in (0..5_000).step_by(100) {
            pace.record(at * MS, at * MS + 10).expect("on time");
        }
        // The reader slept: two records wait, and the first may have come long ago.
        pace.record(5_000 * MS, 5_300 * MS).expect("late");
        pace.record(5_000 * MS, 5_300 * MS).expect("late");
    }

    #[test]
    fn a_broken_rate_is_told() {
        let mut pace = Pace::new(100);
        pace.record(0, MS).expect("the first");
        assert!(pace.record(39 * MS, 40 * MS).is_err());
        let mut steady = Pace::new(100);
        let too_fast = (0..100u64).map(|at| steady.record(at * 60 * MS, at * 60 * MS)).filter(Result::is_err);
        assert!(too_fast.count() > 50);
    }
}
