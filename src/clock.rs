//! The machine's monotonic clock, in nanoseconds: what the ring's entries are stamped with.
//!
//! Any driver's thread; what is no driver is told the time. Invariant: all stages that compare times with an entry's read them here,
//! so that a difference is an age.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since some moment before the process began.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is ever negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}
