//! Records of which each counts, waiting in the order of the ring, within a bound of bytes.
//!
//! Pure. Invariant: what waits never stands for more bytes than the bound it was put in under.

use std::collections::VecDeque;

use super::{Gap, Slot};

/// What a queued gap counts towards the bound: its message, and room for a long name.
pub const GAP_BYTES: u32 = 256;

/// A record that waits where it is, in the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its position in the ring.
    pub position: u64,
    /// Its sequence.
    pub sequence: u64,
    /// The channel.
    pub slot: Slot,
    /// Bytes of its frame.
    pub bytes: u32,
}

/// What waits in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// A record.
    Record(Queued),
    /// What is missing in front of the next record of the channel.
    Gap(Gap),
}

impl Waiting {
    /// The channel.
    #[must_use]
    pub fn slot(&self) -> Slot {
        match self {
            Self::Record(queued) => queued.slot,
            Self::Gap(gap) => gap.slot,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Record(queued) => queued.bytes as usize,
            Self::Gap(_) => GAP_BYTES as usize,
        }
    }
}

/// The queue of a subscriber.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    records: u64,
    bytes: usize,
}

impl Queue {
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes();
        self.records += u64::from(matches!(waiting, Waiting::Record(_)));
        self.waiting.push_back(waiting);
    }

    /// Whether one more fits into the bound.
    pub(super) fn has_room(&self, waiting: &Waiting, bytes_max: usize) -> bool {
        self.bytes + waiting.bytes() <= bytes_max
    }

    pub(super) fn pop(&mut self) -> Option<Waiting> {
        let first = self.waiting.pop_front()?;
        self.bytes -= first.bytes();
        self.records -= u64::from(matches!(first, Waiting::Record(_)));
        Some(first)
    }

    pub(super) fn at(&self, place: usize) -> Option<&Waiting> {
        self.waiting.get(place)
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut Waiting> {
        self.waiting.front_mut()
    }

    /// Takes away what waits of these channels, which are sorted; how many records that was.
    pub(super) fn withdraw(&mut self, slots: &[Slot]) -> u64 {
        let (before, waiting) = (self.records, self.waiting.len());
        self.waiting.retain(|waiting| slots.binary_search(&waiting.slot()).is_err());
        if self.waiting.len() == waiting {
            return 0;
        }
        self.bytes = self.waiting.iter().map(Waiting::bytes).sum();
        self.records =
            self.waiting.iter().filter(|waiting| matches!(waiting, Waiting::Record(_))).count() as u64;
        before - self.records
    }

    /// What waits of a channel waits under another slot.
    pub(super) fn move_slot(&mut self, old: Slot, new: Slot) {
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.slot() == old) {
            match waiting {
                Waiting::Record(queued) => queued.slot = new,
                Waiting::Gap(gap) => gap.slot = new,
            }
        }
    }

    pub(super) fn records(&self) -> u64 {
        self.records
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
