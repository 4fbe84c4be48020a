//! When each record is due: an open-loop schedule on absolute times.
//!
//! Pure. Must not read a clock or know how late the sender is: being late moves nothing, so a server
//! that stalls meets all the load it missed (no coordinated omission).
//! Invariant: record `i` is due at `start + i / rate`, whatever happened before.

/// A constant rate, sent record by record or, where records come faster than ticks, tick by tick.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    start_ns: u64,
    interval_ns: f64,
    tick_ns: u64,
}

impl Schedule {
    /// `rate` records a second from `start_ns` on, `tick_ns` at least between two wake-ups.
    pub(crate) fn new(start_ns: u64, rate: f64, tick_ns: u64) -> Self {
        Self { start_ns, interval_ns: 1e9 / rate, tick_ns: tick_ns.max(1) }
    }

    /// When record `index` is due, ns.
    pub(crate) fn due_ns(&self, index: u64) -> u64 {
        self.start_ns + (index as f64 * self.interval_ns) as u64
    }

    /// How many records are due at `now_ns`.
    pub(crate) fn due_count(&self, now_ns: u64) -> u64 {
        match now_ns.checked_sub(self.start_ns) {
            Some(elapsed_ns) => (elapsed_ns as f64 / self.interval_ns) as u64 + 1,
            None => 0,
        }
    }

    /// When to wake for record `index`: exactly when it is due, or at the tick that follows.
    pub(crate) fn wake_ns(&self, index: u64) -> u64 {
        let due_ns = self.due_ns(index);
        if self.interval_ns >= self.tick_ns as f64 {
            return due_ns;
        }
        self.start_ns + (due_ns - self.start_ns).next_multiple_of(self.tick_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_low_rate_is_exactly_on_time() {
        let schedule = Schedule::new(1_000, 1_000.0, 250_000);
        for index in 0..5 {
            assert_eq!(schedule.due_ns(index), 1_000 + index * 1_000_000);
            assert_eq!(schedule.wake_ns(index), schedule.due_ns(index));
            assert_eq!(schedule.due_count(schedule.wake_ns(index)), index + 1);
        }
    }

    #[test]
    fn a_high_rate_goes_by_ticks_and_keeps_its_mean() {
        let schedule = Schedule::new(0, 100_000.0, 250_000);
        assert_eq!(schedule.wake_ns(1), 250_000);
        assert_eq!(schedule.due_count(250_000), 26);
        assert_eq!(schedule.wake_ns(26), 500_000);
        assert_eq!(schedule.due_count(1_000_000_000), 100_001);
    }

    #[test]
    fn lateness_moves_no_later_record() {
        let schedule = Schedule::new(0, 1_000.0, 250_000);
        assert_eq!(schedule.due_count(700_000_000), 701);
        assert_eq!(schedule.due_ns(701), 701_000_000);
    }

    #[test]
    fn nothing_is_due_before_the_start() {
        assert_eq!(Schedule::new(10, 1_000.0, 1).due_count(9), 0);
    }
}
