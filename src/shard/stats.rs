//! What a shard tells of itself: one tuple, published at a cycle's end, so that a scrape adds up.
//!
//! The shard's thread writes, any thread reads. Histograms of times stand beside it, each count by itself. Invariant: a snapshot of the
//! tuple is of one moment, between two cycles.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crate::histogram::Histogram;
use crate::subscriber::close::CloseReason;

macro_rules! ledger {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The terms of a shard's ledger and its other counts.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Ledger {
            $($(#[$doc])* pub $name: u64,)*
            /// Subscribers ended, by [`CloseReason::index`].
            pub closed: [u64; CloseReason::ALL.len()],
        }

        impl Ledger {
            const NAMED: usize = [$(stringify!($name),)*].len();
            const WORDS: usize = Self::NAMED + CloseReason::ALL.len();

            fn to_words(self) -> [u64; Self::WORDS] {
                let mut words = [0; Self::WORDS];
                words[..Self::NAMED].copy_from_slice(&[$(self.$name,)*]);
                words[Self::NAMED..].copy_from_slice(&self.closed);
                words
            }

            fn from_words(words: &[u64; Self::WORDS]) -> Self {
                let mut ledger = Self::default();
                let mut named = words.iter();
                $(ledger.$name = named.next().copied().unwrap_or(0);)*
                ledger.closed.copy_from_slice(&words[Self::NAMED..]);
                ledger
            }
        }
    };
}

ledger! {
    /// Ordinal of the newest record that the shard has seen or knows it missed: `seen + missed`.
    ordinal,
    /// Records drained.
    seen,
    /// Records overwritten before they were drained.
    missed,
    /// Times the publisher overtook the shard.
    lapped,
    /// Records due to a subscriber: `delivered + conflated + merged + dropped + withdrawn + abandoned + pending`.
    matched,
    /// Of those, whose last byte the kernel took.
    delivered,
    /// Replaced by a newer value before they were sent.
    conflated,
    /// Sent as part of a merged record.
    merged,
    /// Dropped past a bound, and told.
    dropped,
    /// Unsubscribed while they waited.
    withdrawn,
    /// Waiting when their subscriber ended.
    abandoned,
    /// Waiting now.
    pending,
    /// Subscribers now.
    subscribers,
    /// Of those, off the fast path now.
    slow,
    /// Of those, with a chosen rate.
    rated,
    /// Subscriptions now (channels summed over subscribers).
    subscriptions,
    /// Cohorts now.
    cohorts,
    /// Cycles that drained something.
    cycles,
    /// `send` calls.
    sends,
    /// Bytes the kernel took.
    sent_bytes,
    /// Frames encoded on the fast path: at most once a shape a record.
    encoded,
    /// Frames encoded for one subscriber alone (snapshots, slow readers).
    encoded_singly,
    /// Gaps told to subscribers.
    gaps,
    /// Channels resumed with all that was missed.
    recovered,
    /// Channels that were to be resumed and began anew with a snapshot.
    unrecovered,
    /// Requests of clients that were carried out.
    requests,
    /// Requests of clients that were refused.
    requests_refused,
    /// Bytes of torn frames' rests that wait now.
    torn_bytes,
    /// Bytes for which records queued on `every` channels stand now.
    queued_bytes,
}

impl Ledger {
    /// Whether each record that was due to a subscriber has met its fate or waits.
    pub(super) fn adds_up(&self) -> bool {
        let sent = self.delivered + self.conflated + self.merged;
        self.matched == sent + self.dropped + self.withdrawn + self.abandoned + self.pending
    }
}

/// The published ledger of one shard: a sequence lock over atomic words, so a torn read is seen and read again.
#[derive(Debug)]
pub struct Stats {
    version: AtomicU64,
    words: [AtomicU64; Ledger::WORDS],
    /// Age of records when they are drained.
    pub drain: Histogram,
    /// Time from the beginning of a cycle to the end of its sends, once for each delivery.
    pub send: Histogram,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            version: AtomicU64::new(0),
            words: [const { AtomicU64::new(0) }; Ledger::WORDS],
            drain: Histogram::default(),
            send: Histogram::default(),
        }
    }
}

impl Stats {
    /// Publishes the tuple. One thread only.
    pub(super) fn publish(&self, ledger: &Ledger) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        // ORDERING: the odd version is visible before any new word; pairs with the Acquire fence in `read`.
        fence(Ordering::Release);
        for (word, value) in self.words.iter().zip(ledger.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
        // ORDERING: the words are visible before the even version; pairs with the Acquire load in `read`.
        self.version.store(version + 2, Ordering::Release);
    }

    /// The tuple as of the end of some recent cycle.
    #[must_use]
    pub fn read(&self) -> Ledger {
        loop {
            // ORDERING: pairs with the Release store in `publish`.
            let before = self.version.load(Ordering::Acquire);
            let mut words = [0; Ledger::WORDS];
            for (value, word) in words.iter_mut().zip(&self.words) {
                *value = word.load(Ordering::Relaxed);
            }
            // ORDERING: pairs with the Release fence in `publish`.
            fence(Ordering::Acquire);
            if before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before {
                return Ledger::from_words(&words);
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_never_sees_half_a_tuple() {
        let stats = Stats::default();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..100_000 {
                    stats.publish(&Ledger {
                        seen: n,
                        torn_bytes: n,
                        closed: [n; CloseReason::ALL.len()],
                        ..Ledger::default()
                    });
                }
            });
            for _ in 0..10_000 {
                let ledger = stats.read();
                assert_eq!(ledger.seen, ledger.torn_bytes);
                assert_eq!(ledger.closed, [ledger.seen; CloseReason::ALL.len()]);
            }
        });
    }
}
