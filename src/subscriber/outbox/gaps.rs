//! Records that will not come, and are told: a range of sequences of a channel, and why.
//!
//! Pure. Invariant: a channel has at most one pending gap, which lies below all that is queued or marked of it.

use super::by_slot::BySlot;
use super::{Slot, notices};
use crate::dialect::shape::{GapReason, Notice};
use crate::fault::{self, Planted};

/// Records of a channel that will not come, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The channel.
    pub slot: Slot,
    /// First.
    pub from: u64,
    /// Last.
    pub to: u64,
    /// Why.
    pub reason: GapReason,
}

impl Gap {
    /// As it is told.
    #[must_use]
    pub fn notice(&self) -> Notice {
        let from = self.from + u64::from(fault::is(Planted::GapOffByOne));
        Notice::Gap { from, to: self.to, reason: self.reason }
    }
}

/// The pending gaps of a subscriber.
#[derive(Debug, Default)]
pub(super) struct Gaps(BySlot<Gap>);

impl Gaps {
    /// Opens the channel's gap, or widens the one that waits, which keeps its reason.
    pub(super) fn add(&mut self, gap: Gap) {
        if fault::is(Planted::GapUntold) {
            return;
        }
        let waiting = self.0.entry(gap.slot, || gap);
        (waiting.from, waiting.to) = notices::cover((waiting.from, waiting.to), (gap.from, gap.to));
    }

    pub(super) fn at(&self, place: usize) -> Option<&Gap> {
        self.0.at(place).map(|(_, gap)| gap)
    }

    pub(super) fn pop(&mut self) {
        self.0.pop();
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Gap> {
        self.0.remove(slot)
    }

    pub(super) fn withdraw(&mut self, slots: &[Slot]) {
        self.0.withdraw(slots);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
