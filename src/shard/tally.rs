//! One subscriber's ledger: what was due to it, and what became of that. Kept in step with the shard's.
//!
//! Runs on the shard's thread. Every place that changes a term of both ledgers does it here. Invariant: for each subscriber that is
//! still in the index, `matched = delivered + conflated + merged + dropped + withdrawn + pending`, where pending is its outbox's.

use super::index::SubscriberId;
use super::worker::Shard;

/// What became of records that were due to one subscriber. What waits is counted in its outbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Records that were due to it.
    pub matched: u64,
    /// Of those, whose last byte the kernel took.
    pub delivered: u64,
    /// Replaced by a newer value before they were sent.
    pub conflated: u64,
    /// Sent as part of a merged record.
    pub merged: u64,
    /// Dropped past a bound, and told.
    pub dropped: u64,
    /// Unsubscribed while they waited.
    pub withdrawn: u64,
}

impl Tally {
    /// Records that had their fate.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.delivered + self.conflated + self.merged + self.dropped + self.withdrawn
    }
}

/// The same, as it is kept: for most subscribers whatever matched was delivered.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) matched: u64,
    delivered: u64,
    others: Option<Box<Others>>,
}

/// Fates that only those off the fast path know.
#[derive(Clone, Copy, Debug, Default)]
struct Others {
    conflated: u64,
    merged: u64,
    dropped: u64,
    withdrawn: u64,
}

impl Account {
    /// So many records went out on the fast path.
    pub(super) fn streamed(&mut self, records: u64) {
        self.matched += records;
        self.delivered += records;
    }

    pub(super) fn tally(&self) -> Tally {
        let Others { conflated, merged, dropped, withdrawn } =
            self.others.as_deref().copied().unwrap_or_default();
        Tally { matched: self.matched, delivered: self.delivered, conflated, merged, dropped, withdrawn }
    }

    pub(super) fn note(&mut self, fate: Fate, records: u64) {
        if fate == Fate::Delivered {
            self.delivered += records;
        } else if records > 0 {
            let others = self.others.get_or_insert_default();
            *match fate {
                Fate::Conflated => &mut others.conflated,
                Fate::Merged => &mut others.merged,
                Fate::Dropped => &mut others.dropped,
                Fate::Withdrawn => &mut others.withdrawn,
                Fate::Delivered => return,
            } += records;
        }
    }
}

/// What becomes of a record that is due to a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The kernel took its last byte.
    Delivered,
    /// A newer value took its place.
    Conflated,
    /// It goes out as part of a merged record.
    Merged,
    /// It was dropped past a bound, and that is told.
    Dropped,
    /// Its channel was unsubscribed.
    Withdrawn,
}

impl Shard {
    /// So many records are due to a subscriber.
    pub(super) fn is_due(&mut self, id: SubscriberId, records: u64) {
        self.ledger.matched += records;
        self.members[id as usize].tally.matched += records;
    }

    /// A record that was counted as due turns out not to be: the subscriber has it already.
    pub(super) fn was_not_due(&mut self, id: SubscriberId) {
        self.ledger.matched -= 1;
        self.members[id as usize].tally.matched -= 1;
    }

    /// So many records that were due to a subscriber had this fate.
    pub(super) fn note(&mut self, id: SubscriberId, fate: Fate, records: u64) {
        let all = &mut self.ledger;
        *match fate {
            Fate::Delivered => &mut all.delivered,
            Fate::Conflated => &mut all.conflated,
            Fate::Merged => &mut all.merged,
            Fate::Dropped => &mut all.dropped,
            Fate::Withdrawn => &mut all.withdrawn,
        } += records;
        self.members[id as usize].tally.note(fate, records);
    }
}
