//! What a subscriber is owed beside what the cursor brings: snapshots, missed records, and its channels' rates.
//!
//! Runs on the shard's thread, between cycles. Invariant: what is put into an outbox here is counted as matched, and what is
//! taken out of it has its place in the ledger.

use super::index::{SlotId, SubscriberId};
use super::tally::Fate;
use super::timers::Millis;
use super::worker::Shard;
use crate::ring::Entry;
use crate::subscriber::outbox::{Outbox, Pace, Stretch};

impl Shard {
    /// The newest record of a slot's channel, filled in when the socket has room. It stands for all that waits of the channel.
    pub(super) fn owe_snapshot(&mut self, id: SubscriberId, slot: SlotId) {
        self.leave_fast_path(id);
        let Some(outbox) = self.members[id as usize].outbox.as_mut() else { return };
        let before = outbox.queued_bytes();
        let replaced = outbox.snapshot(slot, self.now);
        self.ledger.queued_bytes -= (before - outbox.queued_bytes()) as u64;
        self.is_due(id, 1);
        self.ledger.pending += 1;
        self.ledger.pending -= replaced;
        self.note(id, Fate::Conflated, replaced);
        self.has_backlog(id);
    }

    /// Records that were missed by a subscriber that came back, each of them.
    pub(super) fn owe_missed(&mut self, id: SubscriberId, missed: Stretch) {
        self.leave_fast_path(id);
        let Some(outbox) = self.members[id as usize].outbox.as_mut() else { return };
        let records = missed.records();
        outbox.resume(missed);
        self.is_due(id, records);
        self.ledger.pending += records;
        self.has_backlog(id);
    }

    /// The newest record of a rated channel, for a subscriber that came back: what it missed before `newest` is skipped.
    pub(super) fn owe_newest(&mut self, id: SubscriberId, slot: SlotId, base: u64, newest: u64) {
        self.leave_fast_path(id);
        let pace = self.pace(slot);
        let Some(outbox) = self.members[id as usize].outbox.as_mut() else { return };
        // It takes the place of whatever came while what was missed was looked for.
        let replaced = outbox.withdraw_records(slot);
        let taken = outbox.newest(slot, base, newest, pace);
        self.note(id, Fate::Conflated, replaced);
        self.ledger.pending -= replaced;
        self.is_due(id, 1);
        self.was_put_aside(id, Ok((taken, 0)));
    }

    /// Channels are left, their slots sorted: what waits of them is taken back.
    pub(super) fn withdraw(&mut self, id: SubscriberId, slots: &[SlotId]) {
        let Some(outbox) = self.members[id as usize].outbox.as_mut() else { return };
        let before = outbox.queued_bytes();
        let gone = outbox.withdraw(slots);
        self.ledger.queued_bytes -= (before - outbox.queued_bytes()) as u64;
        self.ledger.pending -= gone;
        self.note(id, Fate::Withdrawn, gone);
    }

    /// A channel is taken at another rate: what waits of it waits on, for its new time.
    pub(super) fn change_rate(&mut self, id: SubscriberId, old: SlotId, new: SlotId) {
        let pace = self.pace(new);
        let Some(outbox) = self.members[id as usize].outbox.as_mut() else { return };
        outbox.move_slot(old, new, pace);
        self.has_backlog(id);
        self.set_timer(id);
    }

    /// A subscriber's slots have changed: whoever has a rated one is off the fast path for as long as that is so.
    pub(super) fn note_rates(&mut self, id: SubscriberId) {
        let Some(cohort) = self.members[id as usize].cohort else { return };
        let is_rated = self.index.is_rated(cohort);
        self.set_rated(id, is_rated);
        if is_rated {
            self.leave_fast_path(id);
        } else {
            // Where nothing waits, it goes back when it is served.
            self.has_backlog(id);
        }
    }

    /// Notes whether a subscriber has a rated slot.
    pub(super) fn set_rated(&mut self, id: SubscriberId, is_rated: bool) {
        let was_rated = self.members[id as usize].set_rated(is_rated);
        self.ledger.rated += u64::from(is_rated);
        self.ledger.rated -= u64::from(was_rated);
    }

    /// Nothing more will come: what waits for its time is sent now.
    pub(super) fn send_parked(&mut self) {
        let has_parked = |outbox: &Outbox| outbox.has_parked();
        let parked =
            self.members.iter().filter(|(_, member)| member.outbox.as_deref().is_some_and(has_parked));
        let parked: Vec<_> = parked.map(|(id, _)| id as SubscriberId).collect();
        for id in parked {
            if let Some(outbox) = self.members[id as usize].outbox.as_mut() {
                outbox.unpark(Millis::MAX);
            }
            self.has_backlog(id);
        }
    }

    /// How often a slot may be sent, now.
    pub(super) fn pace(&self, slot: SlotId) -> Pace {
        Pace { every_ms: self.index.slot(slot).every_ms, now: self.now }
    }

    /// The latest record of a slot's channel; `None` where the channel does not exist (any more).
    pub(super) fn latest(&self, slot: SlotId) -> Option<Entry> {
        let id = self.index.slot(slot).channel?;
        self.reader.ring().latest(id.index).filter(|entry| entry.generation == id.generation)
    }
}
