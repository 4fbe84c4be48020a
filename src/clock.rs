//! The machine's clocks: the monotonic one, in nanoseconds, that the ring's entries are stamped with, and the one on the wall.
//!
//! Any driver's thread; what is no driver is told the time. Invariant: all stages that compare times with an entry's, or tell a client
//! the time, read them here, so that a difference is an age.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since some moment before the process began.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    // Neither is ever negative.
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Microseconds since 1970 by the wall clock, which may step; one set before 1970 reads as 1970.
#[must_use]
pub fn wall_us() -> u64 {
    let now = clock_gettime(ClockId::Realtime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    seconds * 1_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000
}
