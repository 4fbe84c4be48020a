//! The time that records are stamped with.
//!
//! Ingest thread; the one place of this stage that reads clocks, everything else is given a [`Now`].
//! Read once a batch: records of one batch share it. Invariant: monotonic time never falls from one batch to the next.

use rustix::time::{ClockId, clock_gettime};

use crate::clock::monotonic_ns;

/// Both clocks, read together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Now {
    /// Wall clock, microseconds since 1970.
    pub(super) wall_us: u64,
    /// Monotonic clock of the machine, nanoseconds.
    pub(super) monotonic_ns: u64,
}

impl Now {
    pub(super) fn read() -> Self {
        let wall = clock_gettime(ClockId::Realtime);
        // A clock set before 1970 reads as 1970.
        let seconds = u64::try_from(wall.tv_sec).unwrap_or(0);
        let micros = u64::try_from(wall.tv_nsec).unwrap_or(0) / 1_000;
        Self { wall_us: seconds * 1_000_000 + micros, monotonic_ns: monotonic_ns() }
    }

    /// Nanoseconds since it was read.
    pub(super) fn age_ns(self) -> u64 {
        monotonic_ns().saturating_sub(self.monotonic_ns)
    }
}
