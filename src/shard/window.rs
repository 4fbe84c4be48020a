//! The option `shard.coalesce`: for a moment after a cycle that sent something, records gather in the ring and are then sent together.
//!
//! Runs on the shard's thread. It delays the drain alone: sockets, letters and timers go on. Invariant: a record
//! that comes to a shard at rest, behind a bound, or while the server ends, is drained at once; any other within the window and the
//! timer's slack (2 ms), or sooner: where somebody is served singly, the window is over.

use std::time::{Duration, Instant};

use super::worker::{Phase, Shard};

impl Shard {
    /// A cycle sent something and emptied the ring: what comes from now on gathers.
    pub(super) fn gather(&mut self) {
        self.gathers_until = self.now + self.coalesce_ms;
    }

    /// Whether the ring is left alone for now. Who is served singly, or resumes, may wait for the cursor: to turn in vain
    /// meanwhile would cost more than a drain.
    pub(super) fn is_gathering(&self) -> bool {
        let nobody_waits = self.joiners.is_empty() && self.backlog.is_empty();
        self.now < self.gathers_until && self.phase == Phase::Serving && nobody_waits
    }

    /// Sleeps until the window's end, a timer or the bell. Records ring no bell meanwhile, for the shard did not say that it would sleep:
    /// the window's end looks at the ring, so no wake is lost.
    pub(super) async fn rest(&self, started: Instant) {
        // Where the cycle outlasted the window, the sleep is over before the sockets were asked.
        tokio::task::yield_now().await;
        // From the shard's own milliseconds, not from now: a part of one would make each window a millisecond longer.
        let end = started + Duration::from_millis(self.now + self.sleeps_ms());
        // An elapsed time-out and a bell mean the same: look at everything again.
        let _ = tokio::time::timeout_at(end.into(), self.bell.notified()).await;
    }
}
