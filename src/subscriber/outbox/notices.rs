//! What waits to be told of a channel beside its records: its state, and what its feed skipped.
//!
//! Pure. Invariant: a channel has one state and one range at most, however often they changed while they waited.

use super::Slot;
use super::by_slot::BySlot;
use crate::dialect::shape::{GapReason, Notice};
use crate::fault::{self, Planted};

/// What waits to be told of one channel.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// The feed skipped these; the range covers all such.
    feed_gap: Option<(u64, u64)>,
    /// The last state.
    state: Option<Notice>,
}

impl Told {
    /// The gap first: it was there before the state that is the last one.
    fn parts(&self) -> impl Iterator<Item = Notice> {
        let gap = self.feed_gap.map(|(from, to)| Notice::Gap { from, to, reason: GapReason::Feed });
        gap.into_iter().chain(self.state)
    }
}

/// What waits to be told to a subscriber.
#[derive(Debug, Default)]
pub(super) struct Notices(BySlot<Told>);

impl Notices {
    /// Of states the last one counts; ranges are joined.
    pub(super) fn add(&mut self, slot: Slot, notice: Notice) {
        let told = self.0.entry(slot, Told::default);
        match notice {
            Notice::Gap { from, to, .. } => {
                told.feed_gap = Some(told.feed_gap.map_or((from, to), |range| cover(range, (from, to))));
            }
            Notice::Stale | Notice::Live if fault::is(Planted::StatusLost) => {}
            Notice::Stale | Notice::Live => told.state = Some(notice),
        }
    }

    /// All of them, in the order in which they are told.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Slot, Notice)> {
        (0..)
            .map_while(|place| self.0.at(place))
            .flat_map(|(slot, told)| told.parts().map(move |part| (slot, part)))
    }

    /// The first one was told.
    pub(super) fn pop(&mut self) {
        let Some(first) = self.0.first_mut() else { return };
        if first.feed_gap.take().is_none() || first.state.is_none() {
            self.0.pop();
        }
    }

    pub(super) fn withdraw(&mut self, slots: &[Slot]) {
        self.0.withdraw(slots);
    }

    /// What waits is told under another slot.
    pub(super) fn move_slot(&mut self, old: Slot, new: Slot) {
        if let Some(told) = self.0.remove(old) {
            told.parts().for_each(|part| self.add(new, part));
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The smallest range that holds both.
pub(super) fn cover(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0.min(other.0), one.1.max(other.1))
}
