//! A run of one channel's records that wait where they are, in the ring, however many they are.
//!
//! Pure. The run is found again by walking the channel's chain back from stops along it. Invariant: stops rise, and no two are
//! further apart than [`STOP_EVERY`] records, so that finding the next records costs a bounded walk.

use std::collections::VecDeque;

use super::Slot;

/// Records from one stop to the next.
pub const STOP_EVERY: u64 = 256;

/// Where a record of the run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Its position in the ring.
    pub position: u64,
    /// Its sequence.
    pub sequence: u64,
}

/// A run of records: those above `base`, up to the last stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// The channel.
    pub slot: Slot,
    /// Last sequence that the subscriber was sent.
    pub base: u64,
    /// In the order of the ring; the last one is the run's last record.
    pub stops: VecDeque<Stop>,
}
