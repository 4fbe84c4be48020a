//! What time does to a channel that nobody speaks of: it goes stale, and expires.
//!
//! Values; the round over all places is the table's. Invariant: a round comes often enough that nothing is told later
//! than a quarter of its own limit, or a second, after it was due.

use std::time::Duration;

use super::Options;
use super::presence::ns_unless_zero;

/// A round over the channel table begins at least this often, and more often where a limit is short.
const EVERY_MAX: Duration = Duration::from_secs(1);
const EVERY_MIN: Duration = Duration::from_millis(1);

/// What is due to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Its feeds are gone or silent.
    Stale,
    /// It has been silent for so long that its place is taken from it.
    Expired,
}

/// Nanoseconds without a word after which a channel ages; `None`: never.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aging {
    pub(super) expire_ns: Option<u64>,
    pub(super) silence_ns: Option<u64>,
}

impl Aging {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            expire_ns: ns_unless_zero(options.expire_after),
            silence_ns: ns_unless_zero(options.silence_after),
        }
    }
}

/// How often a round begins. `None`: nothing ever ages.
pub(super) fn every(options: &Options) -> Option<Duration> {
    let limits = [options.expire_after, options.stale_after, options.silence_after];
    let shortest = limits.into_iter().filter(|limit| !limit.is_zero()).min()?;
    Some((shortest / 4).clamp(EVERY_MIN, EVERY_MAX))
}
