//! The time that records are stamped with.
//!
//! Ingest thread; the one place of this stage that reads clocks, everything else is given a [`Now`].
//! Read once a batch: records of one batch share it. Invariant: monotonic time never falls from one batch to the next.

use crate::clock::{monotonic_ns, wall_us};

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
        Self { wall_us: wall_us(), monotonic_ns: monotonic_ns() }
    }

    /// Nanoseconds since it was read.
    pub(super) fn age_ns(self) -> u64 {
        monotonic_ns().saturating_sub(self.monotonic_ns)
    }
}
