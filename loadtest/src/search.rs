//! The search for the highest rate that a server holds.
//!
//! Pure. Must not run anything: it says which rate to try and is told how it went.
//! Invariant: `held < failed`, and the next rate lies between them once both are known.

/// Doubles until a rate fails, then narrows by the geometric mean.
pub(crate) struct Search {
    next: f64,
    held: Option<f64>,
    failed: Option<f64>,
    steps_left: u32,
}

/// The search ends when the two rates are this close.
const CLOSE_ENOUGH: f64 = 1.06;

impl Search {
    /// Starts at `start` and tries `steps_max` rates at most.
    pub(crate) fn new(start: f64, steps_max: u32) -> Self {
        Self { next: start, held: None, failed: None, steps_left: steps_max }
    }

    /// The rate to try now; `None` at the end.
    pub(crate) fn next(&self) -> Option<f64> {
        let close =
            matches!((self.held, self.failed), (Some(held), Some(failed)) if failed / held < CLOSE_ENOUGH);
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
            (Some(held), None) => held * 2.0,
            (None, _) => self.next / 2.0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(limit: f64, start: f64, steps: u32) -> (Option<f64>, u32) {
        let mut search = Search::new(start, steps);
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
            let (held, tried) = found(limit, 1_000.0, 30);
            let held = held.expect("some rate held");
            assert!(held <= limit && held * CLOSE_ENOUGH > limit, "{held} for {limit}");
            assert!(tried <= 13, "{tried} steps for {limit}");
        }
    }

    #[test]
    fn a_server_that_holds_nothing_ends_it_too() {
        assert_eq!(found(0.0, 1_000.0, 7), (None, 7));
    }
}
