//! What went leaves the outbox: item by item, as far as the kernel took the bytes.
//!
//! Runs on the shard's thread. Invariant: an item leaves the outbox only when the kernel took its last byte or its beginning (then
//! its rest is the torn one), and each record that leaves it is counted once.

use super::batch::{Batch, Placed, What};
use super::index::SubscriberId;
use super::singles::Flow;
use super::tally::Fate;
use super::worker::Shard;
use crate::subscriber::outbox::{Mark, Outbox, Waiting};

impl Shard {
    /// Takes the items out that went: all whose last byte was taken, and the one that was cut.
    pub(super) fn commit(
        &mut self,
        id: SubscriberId,
        outbox: &mut Outbox,
        batch: &Batch,
        taken: usize,
    ) -> Result<(), Flow> {
        let mut start = 0;
        for &Placed { end, what } in &batch.placed {
            if end > taken {
                if start < taken {
                    self.was_cut(id, outbox, what, taken - start, &batch.bytes[taken..end]);
                }
                return Err(Flow::Full);
            }
            self.went(id, outbox, what, end - start);
            start = end;
        }
        Ok(())
    }

    /// An item whose last byte was taken.
    fn went(&mut self, id: SubscriberId, outbox: &mut Outbox, what: What, bytes: usize) {
        match what {
            What::Torn => {
                self.ledger.torn_bytes -= bytes as u64;
                let is_record = outbox.torn_taken(bytes);
                self.was_delivered(id, is_record);
            }
            What::Control => {
                outbox.control_taken(bytes);
                let member = &mut self.members[id as usize];
                if std::mem::take(&mut member.deaf) {
                    member.ear.speak();
                }
            }
            _ => {
                let is_record = self.take_out(id, outbox, what);
                self.was_delivered(id, is_record);
            }
        }
    }

    fn was_delivered(&mut self, id: SubscriberId, is_record: bool) {
        self.ledger.pending -= u64::from(is_record);
        self.note(id, Fate::Delivered, u64::from(is_record));
    }

    /// An item of which the beginning was taken: a record waits on as the rest of its frame.
    fn was_cut(&mut self, id: SubscriberId, outbox: &mut Outbox, what: What, taken: usize, rest: &[u8]) {
        match what {
            What::Torn => {
                self.ledger.torn_bytes -= taken as u64;
                outbox.torn_taken(taken);
            }
            What::Control => outbox.control_taken(taken),
            _ => {
                let is_record = self.take_out(id, outbox, what);
                outbox.tear(rest, is_record, self.now);
                self.is_torn_now(id, rest.len());
            }
        }
    }

    /// Takes an item out of the outbox and counts what it stands for; whether its frame holds a record, which is not counted yet.
    fn take_out(&mut self, id: SubscriberId, outbox: &mut Outbox, what: What) -> bool {
        match what {
            What::Torn | What::Control => false,
            What::Notice { is_gap } => {
                outbox.pop_notice();
                self.told(is_gap)
            }
            What::Gap => {
                outbox.pop_gap();
                self.told(true)
            }
            What::MissedGone { to, is_told } => {
                let lost = outbox.resumed_to(to);
                self.was_lost(id, lost, is_told)
            }
            What::Missed => {
                let next = outbox.resumed(0).map_or(0, |run| run.base + 1);
                outbox.resumed_to(next);
                true
            }
            What::RunGone { to, is_told } => {
                let lost = self.run_went(outbox, to);
                self.was_lost(id, lost, is_told)
            }
            What::Run { to, is_union } => {
                let left_out = self.run_went(outbox, to) - 1;
                self.ledger.pending -= left_out;
                self.note(id, if is_union { Fate::Merged } else { Fate::Conflated }, left_out);
                true
            }
            What::Newest { channel, stop } => {
                if let Some(mark) = outbox.mark(0).map(Mark::slot) {
                    outbox.set_after(channel, self.index.slot(mark).alias(), stop);
                    outbox.was_sent(mark, self.pace(mark));
                }
                outbox.pop_mark();
                true
            }
            What::Expired { is_told } => {
                outbox.pop_mark();
                self.was_lost(id, 1, is_told)
            }
            What::Queued | What::QueuedGap => self.queued_went(outbox),
        }
    }

    fn told(&mut self, is_gap: bool) -> bool {
        self.ledger.gaps += u64::from(is_gap);
        false
    }

    fn was_lost(&mut self, id: SubscriberId, records: u64, is_told: bool) -> bool {
        self.ledger.pending -= records;
        self.note(id, Fate::Dropped, records);
        self.told(is_told)
    }

    /// Of the first mark's run so much went; how many records. Its window begins when it is through.
    fn run_went(&self, outbox: &mut Outbox, to: u64) -> u64 {
        let slot = outbox.mark(0).map(Mark::slot);
        let records = outbox.merged_to(to);
        let is_through = outbox.mark(0).map(Mark::slot) != slot;
        if let Some(slot) = slot.filter(|_| is_through) {
            outbox.was_sent(slot, self.pace(slot));
        }
        records
    }

    fn queued_went(&mut self, outbox: &mut Outbox) -> bool {
        let is_record = matches!(outbox.queued(0), Some(Waiting::Record(_)));
        let before = outbox.queued_bytes();
        outbox.pop_queued();
        self.ledger.queued_bytes -= (before - outbox.queued_bytes()) as u64;
        if is_record { true } else { self.told(true) }
    }
}
