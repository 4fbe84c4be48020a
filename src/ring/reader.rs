//! One reader with its cursor: drains the ring in order, or learns that it was overtaken.
//!
//! Owned by one thread (a shard). It never makes the publisher wait, and sleeps only as `wake` says.
//! Invariant: the cursor stands at an entry's beginning or at the tail.

use super::entry::{Entry, Position};
use super::shared::{Lapped, Ring};
use std::sync::Arc;

/// What a reader finds at its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// An entry; the cursor stands behind it now.
    Entry(Entry),
    /// Nothing new.
    Empty,
    /// The cursor was overtaken; go on with [`Reader::skip_to_tail`].
    Lapped,
}

/// One reader with its cursor.
#[derive(Debug)]
pub struct Reader {
    ring: Arc<Ring>,
    number: usize,
    cursor: Position,
    /// The tail as last seen: the publisher's cache line is asked for again only when all below it is read.
    tail: Position,
}

impl Reader {
    pub(super) fn new(ring: Arc<Ring>, number: usize) -> Self {
        let tail = ring.tail();
        Self { ring, number, cursor: tail, tail }
    }

    /// The next entry, if there is one.
    #[expect(clippy::should_implement_trait, reason = "an iterator's None would have two meanings")]
    pub fn next(&mut self) -> Next {
        if self.cursor == self.tail {
            self.tail = self.ring.tail();
            if self.cursor == self.tail {
                return Next::Empty;
            }
        }
        match self.ring.entry(self.cursor) {
            Ok(entry) => {
                self.cursor = entry.end();
                Next::Entry(entry)
            }
            Err(Lapped) => Next::Lapped,
        }
    }

    /// The ring it reads.
    #[must_use]
    pub fn ring(&self) -> &Arc<Ring> {
        &self.ring
    }

    /// Goes on at the tail after having been lapped.
    pub fn skip_to_tail(&mut self) {
        self.tail = self.ring.tail();
        self.cursor = self.tail;
    }

    /// Says that it will sleep unless something came; true: it may. Pairs with `wake_sleepers`.
    #[must_use]
    pub fn doze(&self) -> bool {
        let may_sleep = self.ring.sleepers.doze(self.number, || self.ring.tail() == self.cursor);
        if !may_sleep {
            self.rouse();
        }
        may_sleep
    }

    /// It is awake again; the publisher need not wake it.
    pub fn rouse(&self) {
        self.ring.sleepers.rouse(self.number);
    }
}
