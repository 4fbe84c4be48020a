//! Channels that wait to be sent once, however many of their records came: one mark each, parked where a chosen rate says so.
//!
//! Pure: time is an argument, in milliseconds. Invariant: a channel has at most one mark, and it is either ready or parked.

use std::collections::{BTreeSet, HashMap, VecDeque};

use foldhash::fast::RandomState;

use super::{Slot, Stop, Stretch};
use crate::fault::{self, Planted};

/// A channel that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The answer to a subscription: the newest record. Nothing was sent before it, and what comes meanwhile is part of it.
    Snapshot(Slot),
    /// The newest record. What lies between it and `base` is skipped.
    Newest {
        /// The channel.
        slot: Slot,
        /// Last sequence that the subscriber was sent.
        base: u64,
        /// Newest sequence that came.
        last: u64,
    },
    /// What came, as few records as it can be merged into.
    Merge(Stretch),
}

impl Mark {
    /// The channel.
    #[must_use]
    pub fn slot(&self) -> Slot {
        match self {
            Self::Snapshot(slot) | Self::Newest { slot, .. } => *slot,
            Self::Merge(run) => run.slot,
        }
    }

    /// Records that wait.
    #[must_use]
    pub fn records(&self) -> u64 {
        match self {
            Self::Snapshot(_) | Self::Newest { .. } => 1,
            Self::Merge(run) => run.records(),
        }
    }

    fn move_slot(&mut self, new: Slot) {
        match self {
            Self::Snapshot(slot) | Self::Newest { slot, .. } => *slot = new,
            Self::Merge(run) => run.slot = new,
        }
    }
}

/// How often a channel may be sent, and what time it is.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// At most once in so many milliseconds; 0: always.
    pub every_ms: u32,
    /// Now, in milliseconds.
    pub now: u64,
}

/// How a record that arrived was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It waits for the socket.
    Waits,
    /// It waits for its time.
    Parked,
    /// It waits with others of its channel.
    Joined,
    /// It took the place of an older one of its channel.
    Conflated,
}

/// The marks of a subscriber.
#[derive(Debug, Default)]
pub(super) struct Marks {
    marks: HashMap<Slot, Mark, RandomState>,
    /// In the order in which they were set or their time came, with when that was.
    ready: VecDeque<(Slot, u64)>,
    /// By their time.
    parked: BTreeSet<(u64, Slot)>,
    /// When a rated channel was last sent.
    sent: HashMap<Slot, u64, RandomState>,
}

impl Marks {
    /// A channel is to be sent as it is now, at once.
    pub(super) fn snapshot(&mut self, slot: Slot, now: u64) {
        self.marks.insert(slot, Mark::Snapshot(slot));
        self.ready.push_back((slot, now));
    }

    /// Since when the first of those that are ready waits. One that is parked waits because its subscriber chose so.
    pub(super) fn waiting_since(&self) -> Option<u64> {
        self.ready.front().map(|&(_, since)| since)
    }

    /// A record of a `latest` channel came.
    pub(super) fn newest(&mut self, slot: Slot, base: u64, sequence: u64, pace: Pace) -> Taken {
        match self.marks.get_mut(&slot) {
            Some(Mark::Newest { last, .. }) => {
                *last = sequence;
                Taken::Conflated
            }
            Some(_) => Taken::Conflated,
            None if fault::is(Planted::ForgottenMark) => Taken::Conflated,
            None => self.put(Mark::Newest { slot, base, last: sequence }, pace),
        }
    }

    /// A record of a merging channel came, the next one above those that wait.
    pub(super) fn merge(&mut self, slot: Slot, base: u64, stop: Stop, pace: Pace) -> Taken {
        match self.marks.get_mut(&slot) {
            Some(Mark::Merge(run)) => {
                debug_assert_eq!(run.last() + 1, stop.sequence, "a run has no holes");
                run.extend(stop);
                Taken::Joined
            }
            Some(_) => Taken::Conflated,
            None => self.put(Mark::Merge(Stretch::new(slot, base, stop)), pace),
        }
    }

    /// Sets a mark where there is none.
    pub(super) fn put(&mut self, mark: Mark, pace: Pace) -> Taken {
        let slot = mark.slot();
        self.marks.insert(slot, mark);
        let due = self.due(slot, pace);
        if due > pace.now && fault::is(Planted::RateLosesLast) {
            self.marks.remove(&slot);
            return Taken::Conflated;
        }
        if due > pace.now {
            self.parked.insert((due, slot));
            return Taken::Parked;
        }
        self.ready.push_back((slot, pace.now));
        Taken::Waits
    }

    /// When a channel may be sent again: one window after it was sent last.
    fn due(&self, slot: Slot, pace: Pace) -> u64 {
        if pace.every_ms == 0 {
            return pace.now;
        }
        self.sent.get(&slot).map_or(pace.now, |sent| sent + u64::from(pace.every_ms))
    }

    /// A channel was sent: its next window begins.
    pub(super) fn was_sent(&mut self, slot: Slot, pace: Pace) {
        if pace.every_ms > 0 && !fault::is(Planted::RateTooFast) {
            self.sent.insert(slot, pace.now);
        }
    }

    /// Those whose time has come are ready; whether there were any.
    pub(super) fn unpark(&mut self, now: u64) -> bool {
        let before = self.ready.len();
        while let Some(&(_, slot)) = self.parked.first().filter(|(due, _)| *due <= now) {
            self.parked.pop_first();
            self.ready.push_back((slot, now));
        }
        self.ready.len() > before
    }

    /// When the next parked one is due.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.parked.first().map(|(due, _)| *due)
    }

    pub(super) fn of(&self, slot: Slot) -> Option<&Mark> {
        self.marks.get(&slot)
    }

    /// The `place`-th of those that are ready.
    pub(super) fn at(&self, place: usize) -> Option<&Mark> {
        self.marks.get(&self.ready.get(place)?.0)
    }

    /// The first of those that are ready, where it is a run of records.
    pub(super) fn first_run(&mut self) -> Option<&mut Stretch> {
        match self.marks.get_mut(&self.ready.front()?.0)? {
            Mark::Merge(run) => Some(run),
            Mark::Snapshot(_) | Mark::Newest { .. } => None,
        }
    }

    /// The first of those that are ready was sent, or is not to be sent.
    pub(super) fn pop(&mut self) {
        if let Some((slot, _)) = self.ready.pop_front() {
            self.marks.remove(&slot);
        }
    }

    /// Takes a channel's mark away; the mark. When it was sent last is kept.
    pub(super) fn take(&mut self, slot: Slot) -> Option<Mark> {
        let mark = self.marks.remove(&slot)?;
        self.ready.retain(|&(other, _)| other != slot);
        self.parked.retain(|&(_, other)| other != slot);
        Some(mark)
    }

    /// Takes channels' marks away, and forgets when they were sent last; how many records that was.
    pub(super) fn withdraw(&mut self, slots: &[Slot]) -> u64 {
        for slot in slots {
            self.sent.remove(slot);
        }
        let gone: Vec<_> = slots.iter().filter_map(|slot| self.marks.remove(slot)).collect();
        if !gone.is_empty() {
            self.ready.retain(|(slot, _)| self.marks.contains_key(slot));
            self.parked.retain(|(_, slot)| self.marks.contains_key(slot));
        }
        gone.iter().map(Mark::records).sum()
    }

    /// What waits of a channel waits under another slot, at another rate.
    pub(super) fn move_slot(&mut self, old: Slot, new: Slot, pace: Pace) {
        if let Some(sent) = self.sent.remove(&old) {
            self.sent.insert(new, sent);
        }
        if let Some(mut mark) = self.take(old) {
            mark.move_slot(new);
            self.put(mark, pace);
        }
    }

    pub(super) fn records(&self) -> u64 {
        self.marks.values().map(Mark::records).sum()
    }

    pub(super) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
