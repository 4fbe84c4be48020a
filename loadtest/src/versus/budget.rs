//! The time that a comparison may take, and how it is divided.
//!
//! Pure: the time is an argument. Must not cut a round short. Invariant: what one case leaves is the next one's.

/// Where the time goes.
pub(super) struct Budget {
    began_ns: u64,
    limit_ns: u64,
    weights: f64,
    /// Weight of the cases that have begun.
    begun: f64,
}

impl Budget {
    /// From `began_ns` on, `minutes` for cases of so much weight in all.
    pub(super) fn new(began_ns: u64, minutes: f64, weights: f64) -> Self {
        Self { began_ns, limit_ns: (minutes * 60e9) as u64, weights, begun: 0.0 }
    }

    /// A case of that weight begins.
    pub(super) fn begin(&mut self, weight: f64) {
        self.begun += weight;
    }

    /// Whether a round more, as long as the last one, still ends within the part of the cases that have begun.
    pub(super) fn has_time_for(&self, now_ns: u64, round_ns: u64) -> bool {
        let part_ns = (self.limit_ns as f64 * self.begun / self.weights) as u64;
        now_ns + round_ns <= self.began_ns + part_ns
    }

    /// Minutes and seconds since it began.
    pub(super) fn elapsed(&self, now_ns: u64) -> String {
        let seconds = (now_ns - self.began_ns) / 1_000_000_000;
        format!("{}:{:02}", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn a_case_has_its_part_and_what_was_left_before_it() {
        let mut budget = Budget::new(MINUTE, 10.0, 4.0);
        budget.begin(1.0);
        assert!(budget.has_time_for(2 * MINUTE, MINUTE));
        assert!(!budget.has_time_for(3 * MINUTE, MINUTE), "2.5 minutes are the first quarter");
        budget.begin(1.0);
        assert!(budget.has_time_for(3 * MINUTE, 3 * MINUTE), "5 minutes are the first half");
        assert_eq!(budget.elapsed(3 * MINUTE + MINUTE / 12), "2:05");
    }
}
