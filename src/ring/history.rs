//! The ring as history and last-value store: the table of latest positions, and the chain back from there.
//!
//! The publisher's thread stores to the table; any thread reads, at any time, without a reader's cursor.
//! Nothing here answers "no record" because it was overtaken: a place in the table may move, and is then asked again.
//! Invariant: with `floor` loaded before a channel's place, that place is nowhere or at or above that floor.

use super::entry::{Entry, Kind, NOWHERE, Position};
use super::shared::Ring;
use super::sync::{AtomicU64, Ordering, spin_loop};
use super::weaken::{self, Weak};

/// Each channel's latest position.
#[derive(Debug)]
pub(super) struct Table {
    latest: Box<[AtomicU64]>,
}

impl Table {
    pub(super) fn new(channels_max: u32) -> Self {
        Self { latest: (0..channels_max).map(|_| AtomicU64::new(NOWHERE)).collect() }
    }

    /// Where a channel's latest record stands, for readers. Acquire; partner of `publish`: readers may come by the table
    /// alone, without having seen the tail.
    fn get(&self, channel: u32) -> Option<Position> {
        let position = self.latest.get(channel as usize)?.load(Ordering::Acquire);
        (position != NOWHERE).then_some(position)
    }

    /// The same for the publisher, which stored it itself: relaxed. [`NOWHERE`] for a channel that has none.
    pub(super) fn own(&self, channel: u32) -> Position {
        self.latest.get(channel as usize).map_or(NOWHERE, |place| place.load(Ordering::Relaxed))
    }

    /// Release: who loads this position sees the words stored there before.
    pub(super) fn publish(&self, channel: u32, position: Position) {
        self.latest[channel as usize].store(position, weaken::release(Weak::LatestRelease));
    }
}

impl Ring {
    /// Position of a channel's latest record. `None`: the channel has no value.
    #[must_use]
    pub fn latest_position(&self, channel: u32) -> Option<Position> {
        self.table.get(channel)
    }

    /// Header of a channel's latest record, wherever a refresh may have moved it. `None`: the channel has no value.
    ///
    /// Asked again when overtaken: the floor passes a latest record only after its refresh is in the table, so each
    /// further round means that the writer went on by an eighth of the ring meanwhile.
    #[must_use]
    pub fn latest(&self, channel: u32) -> Option<Entry> {
        loop {
            let position = self.table.get(channel)?;
            match self.entry(position) {
                Ok(entry) if entry.channel == channel => return Some(entry),
                _ => spin_loop(),
            }
        }
    }

    /// A channel's records from `newest` (itself included) back, as far as they have a sequence above `after` and the
    /// ring still holds them.
    ///
    /// Whether all were there: the last one has the sequence `after + 1`, or there was none and `newest` is `after`.
    #[must_use]
    pub fn walk_back(&self, newest: &Entry, after: u64) -> WalkBack<'_> {
        WalkBack { ring: self, next: Some(*newest), after }
    }

    /// Monotonic time of the oldest whole entry, ns: how far history reaches back. `None` in an empty ring.
    ///
    /// Refreshes are passed over: they repeat a time long gone.
    #[must_use]
    pub fn oldest_ns(&self) -> Option<u64> {
        let mut position = self.floor();
        while position < self.tail() {
            match self.entry(position) {
                Ok(entry) if entry.kind == Some(Kind::Refresh) => position = entry.end(),
                Ok(entry) => return Some(entry.monotonic_ns),
                Err(_) => position = self.floor(),
            }
        }
        None
    }
}

/// A channel's records, newest first; from [`Ring::walk_back`].
#[derive(Debug)]
pub struct WalkBack<'a> {
    ring: &'a Ring,
    next: Option<Entry>,
    after: u64,
}

impl Iterator for WalkBack<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let entry = self.next.take().filter(|entry| entry.sequence > self.after)?;
        self.next = entry.previous.and_then(|position| self.ring.entry(position).ok());
        Some(entry)
    }
}
