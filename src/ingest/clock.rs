//! The time that records are stamped with.
//!
//! Ingest thread; the one place of this stage that reads clocks, everything else is given a [`Now`].
//! Read once a batch: records of one batch share it. Invariant: monotonic time never falls from one batch to the next.

use rustix::time::{ClockId, clock_gettime};

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
        let monotonic = clock_gettime(ClockId::Monotonic);
        Self {
            wall_us: in_ns(wall.tv_sec, wall.tv_nsec) / 1_000,
            monotonic_ns: in_ns(monotonic.tv_sec, monotonic.tv_nsec),
        }
    }

    /// Nanoseconds since it was read.
    pub(super) fn age_ns(self) -> u64 {
        let monotonic = clock_gettime(ClockId::Monotonic);
        in_ns(monotonic.tv_sec, monotonic.tv_nsec).saturating_sub(self.monotonic_ns)
    }
}

// A clock set before 1970 reads as 1970; nothing else here can be negative.
fn in_ns(seconds: i64, nanoseconds: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(nanoseconds).unwrap_or(0)
}
