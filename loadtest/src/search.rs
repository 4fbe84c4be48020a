//! The search for the highest rate that a server holds.
//!
//! Pure. Must not run anything: it says which rate to try and is told how it went.
//! Invariant: `held < failed`, and the next rate lies between them once both are known.

/// How far a search steps, and how near it comes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// Factor between two rates as long as only one side of the limit is known.
    growth: f64,
    /// The search ends when the rate held and the rate failed are this close.
    close: f64,
}

impl Pace {
    /// Of a limit of which nothing is known.
    pub(crate) const FROM_AFAR: Self = Self { growth: 2.0, close: 1.06 };
    /// Of its neighbourhood only.
    pub(crate) const SCOUT: Self = Self { growth: 2.0, close: 1.5 };
    /// Of a limit whose neighbourhood is known: as near as from afar, in three or four rates.
    pub(crate) const NEARBY: Self = Self { growth: 1.25, close: 1.06 };
}

/// Grows until a rate fails, then narrows by the geometric mean.
pub(crate) struct Search {
    pace: Pace,
    next: f64,
    held: Option<f64>,
    failed: Option<f64>,
    steps_left: u32,
}

impl Search {
    /// Starts at `start` and tries `steps_max` rates at most.
    pub(crate) fn new(start: f64, steps_max: u32, pace: Pace) -> Self {
        Self { pace, next: start, held: None, failed: None, steps_left: steps_max }
    }

    /// The rate to try now; `None` at the end.
    pub(crate) fn next(&self) -> Option<f64> {
        let close =
            matches!((self.held, self.failed), (Some(held), Some(failed)) if failed / held < self.pace.close);
        (self.steps_left > 0 && !close).then_some(self.next)
    }

    /// Tells how the rate of [`Search::next`] went.
    pub(crate) fn tell(&mut self, held: bool) {
        self.steps_left = self.steps_left.saturating_sub(1);
        if held {
            self.held = Some(self.next);
        } else {
            self.failed = Some(self.next);
        }
        self.next = match (self.held, self.failed) {
            (Some(held), Some(failed)) => (held * failed).sqrt(),
            (Some(held), None) => held * self.pace.growth,
            (None, _) => self.next / self.pace.growth,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(limit: f64, start: f64, steps: u32, pace: Pace) -> (Option<f64>, u32) {
        let mut search = Search::new(start, steps, pace);
        let mut tried = 0;
        while let Some(rate) = search.next() {
            search.tell(rate <= limit);
            tried += 1;
        }
        (search.held, tried)
    }

    #[test]
    fn it_comes_within_six_percent_from_below() {
        for limit in [130.0, 1_000.0, 1_999.0, 77_777.0] {
            let (held, tried) = found(limit, 1_000.0, 30, Pace::FROM_AFAR);
            let held = held.expect("some rate held");
            assert!(held <= limit && held * Pace::FROM_AFAR.close > limit, "{held} for {limit}");
            assert!(tried <= 13, "{tried} steps for {limit}");
        }
    }

    #[test]
    fn a_known_neighbourhood_costs_five_rates_at_most_and_is_as_exact() {
        for limit in [810.0, 999.0, 1_000.0, 1_120.0, 1_249.0, 1_490.0] {
            let (scouted, _) = found(limit, 1_000.0, 30, Pace::SCOUT);
            let (held, tried) = found(limit, scouted.expect("some rate held"), 30, Pace::NEARBY);
            let held = held.expect("some rate held");
            assert!(held <= limit && held * Pace::NEARBY.close > limit, "{held} for {limit}");
            assert!(tried <= 5, "{tried} steps for {limit}");
        }
    }

    #[test]
    fn a_server_that_holds_nothing_ends_it_too() {
        assert_eq!(found(0.0, 1_000.0, 7, Pace::FROM_AFAR), (None, 7));
    }
}
