//! Sleeping and waking without a lost wake: a flag a reader, and one fence on either side.
//!
//! A reader's thread raises and lowers its flag, the publisher's lowers it when it wakes. How to wake is the caller's.
//! Invariant: of "the reader sees the new tail" and "the publisher sees the flag", at least one holds.

use super::sync::{AtomicBool, Ordering};
use super::weaken::{self, Weak};
use crossbeam_utils::CachePadded;

/// A flag for each reader that may sleep.
#[derive(Debug)]
pub(super) struct Sleepers {
    asleep: Box<[CachePadded<AtomicBool>]>,
}

impl Sleepers {
    pub(super) fn new(readers: usize) -> Self {
        Self { asleep: (0..readers).map(|_| CachePadded::new(AtomicBool::new(false))).collect() }
    }

    /// Raises a reader's flag, then asks whether the ring is empty. Flag relaxed, `fence(SeqCst)`, tail: the fence pairs
    /// with that of `wake`, so either `empty` sees what was published or `wake` sees the flag.
    pub(super) fn doze(&self, reader: usize, empty: impl FnOnce() -> bool) -> bool {
        self.asleep[reader].store(true, Ordering::Relaxed);
        weaken::fence_unless(Weak::DozeFence, Ordering::SeqCst);
        empty()
    }

    /// Lowers a reader's flag. Relaxed: a publisher that still sees it up wakes once too often.
    pub(super) fn rouse(&self, reader: usize) {
        self.asleep[reader].store(false, Ordering::Relaxed);
    }

    /// Wakes each reader whose flag is up and lowers it, so that one sleep is one wake. Called after the tail was stored;
    /// `fence(SeqCst)`, then flags relaxed: partner of `doze`. The flag goes down before the wake, never after, so
    /// a reader that raised it again meanwhile has a wake coming.
    pub(super) fn wake(&self, mut wake: impl FnMut(usize)) {
        weaken::fence_unless(Weak::WakeFence, Ordering::SeqCst);
        for (reader, asleep) in self.asleep.iter().enumerate() {
            if asleep.load(Ordering::Relaxed) {
                asleep.store(false, Ordering::Relaxed);
                wake(reader);
            }
        }
    }
}
