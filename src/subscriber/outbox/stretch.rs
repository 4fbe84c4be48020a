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

impl Stretch {
    /// A run that begins with one record.
    #[must_use]
    pub fn new(slot: Slot, base: u64, stop: Stop) -> Self {
        Self { slot, base, stops: VecDeque::from([stop]) }
    }

    /// Sequence of the run's last record.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.stops.back().map_or(self.base, |stop| stop.sequence)
    }

    /// How many records wait; a run has no holes.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.last() - self.base
    }

    /// The next record has come. The last stop moves with it, as far as stops may be apart.
    pub(super) fn extend(&mut self, stop: Stop) {
        let anchor = self.stops.len().checked_sub(2).map_or(self.base, |place| self.stops[place].sequence);
        if stop.sequence - anchor <= STOP_EVERY {
            self.stops.pop_back();
        }
        self.stops.push_back(stop);
    }

    /// Records up to this one were sent; how many that were.
    pub(super) fn advance(&mut self, sequence: u64) -> u64 {
        let records = sequence - self.base;
        self.base = sequence;
        while self.stops.front().is_some_and(|stop| stop.sequence <= sequence) {
            self.stops.pop_front();
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However a run grows and shrinks, the walk from its first stop to its base is bounded, and its ends are right.
        #[test]
        fn a_run_is_found_again_by_bounded_walks(steps in prop::collection::vec((1_u64..700, 0_u64..600), 1..20)) {
            let mut run = Stretch::new(0, 0, Stop { position: 1, sequence: 1 });
            let mut last = 1;
            for (more, sent) in steps {
                for sequence in last + 1..=last + more {
                    run.extend(Stop { position: sequence, sequence });
                }
                last += more;
                let sent = sent.min(run.records() - 1);
                prop_assert_eq!(run.advance(run.base + sent), sent);
                prop_assert_eq!(run.last(), last);
                let stops: Vec<_> = std::iter::once(run.base).chain(run.stops.iter().map(|stop| stop.sequence)).collect();
                prop_assert!(stops.windows(2).all(|pair| pair[0] < pair[1] && pair[1] - pair[0] <= STOP_EVERY), "{:?}", stops);
                prop_assert!(stops.len() as u64 <= 2 + 2 * (1 + run.records() / STOP_EVERY), "{:?}", stops);
            }
        }
    }
}
