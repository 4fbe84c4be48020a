//! What waits for one subscriber off the fast path: the rest of a torn frame, control frames, notices, runs of missed records, gaps,
//! marks, a queue of positions; sent in this order.
//!
//! Pure: no socket, no ring, time is an argument; the shard reads records and sends. Owned by the shard's thread.
//! Invariant: no record's bytes wait here, except the rest of the one frame that was torn; a channel has at most one mark, one
//! pending gap and one notice of a kind; the queue keeps its bound.

mod after;
mod by_slot;
#[cfg(test)]
mod corners;
mod gaps;
mod marks;
mod notices;
mod queue;
mod stretch;
#[cfg(test)]
mod tests;

pub use gaps::Gap;
pub use marks::{Mark, Pace, Taken};
pub use queue::{GAP_BYTES, Queued, Waiting};
pub use stretch::{STOP_EVERY, Stop, Stretch};

use std::collections::VecDeque;

use after::After;
use gaps::Gaps;
use marks::Marks;
use notices::Notices;
use queue::Queue;

use crate::channel::ChannelId;
use crate::dialect::shape::{GapReason, Notice};
use crate::fault::{self, Planted};

/// A channel in the shard's numbering.
pub type Slot = u32;

/// What becomes of a subscriber that loses a record that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is told which.
    Tell,
    /// It goes on without a word.
    Skip,
    /// It is closed.
    Close,
}

/// A record that counts would be lost to a subscriber that is to be closed for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    /// Records that were dropped before that.
    pub dropped: u64,
}

/// The rest of a frame that the kernel took the beginning of.
#[derive(Debug, Default)]
struct Torn {
    rest: Vec<u8>,
    /// It is a record, which waits until the last byte is taken.
    is_record: bool,
    /// When it was torn, in the shard's milliseconds.
    since_ms: u64,
}

/// What waits for one subscriber.
#[derive(Debug, Default)]
pub struct Outbox {
    torn: Torn,
    /// Control frames and answers, ahead of data; the first one's beginning may have been taken.
    control: Vec<u8>,
    /// The kernel took less than offered; nothing is offered before the socket is writable again.
    pub blocked: bool,
    /// Some of what waits came by the walk after a lap, behind newer records of other channels.
    pub unordered: bool,
    notices: Notices,
    /// Missed records of channels that are being resumed, ahead of everything newer.
    resumes: VecDeque<Stretch>,
    gaps: Gaps,
    marks: Marks,
    queue: Queue,
    after: After,
}

/// Torn and control bytes, and what they stand for.
impl Outbox {
    /// Records that wait.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let torn = u64::from(self.torn.is_record && !self.torn.rest.is_empty());
        torn + self.marks.records() + self.queue.records() + self.resumed_records()
    }

    fn resumed_records(&self) -> u64 {
        self.resumes.iter().map(Stretch::records).sum()
    }

    /// Bytes that the queue stands for.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Keeps the rest of a frame that was cut: a record's, which then waits on, or one that counts as no record.
    pub fn tear(&mut self, rest: &[u8], is_record: bool, now_ms: u64) {
        if fault::is(Planted::TornFrameUnfinished) {
            return;
        }
        debug_assert!(self.torn.rest.is_empty(), "a second frame was begun before the first was finished");
        self.torn.rest.extend_from_slice(rest);
        (self.torn.is_record, self.torn.since_ms) = (is_record, now_ms);
    }

    /// The rest of the torn frame.
    #[must_use]
    pub fn torn(&self) -> &[u8] {
        &self.torn.rest
    }

    /// The kernel took this much of the torn frame's rest; true: all of it, and it was a record.
    pub fn torn_taken(&mut self, bytes: usize) -> bool {
        self.torn.rest.drain(..bytes);
        self.torn.rest.is_empty() && self.torn.is_record
    }

    /// Control frames and answers that wait.
    #[must_use]
    pub fn control(&self) -> &[u8] {
        &self.control
    }

    /// Appends a control frame or an answer. The caller stops reading the client while much of it waits.
    pub fn push_control(&mut self, frame: &[u8]) {
        self.control.extend_from_slice(frame);
    }

    /// The kernel took this much of the control frames. The rest is finished before anything else.
    pub fn control_taken(&mut self, bytes: usize) {
        self.control.drain(..bytes);
    }
}

/// What comes in.
impl Outbox {
    /// Something is to be told of a channel.
    pub fn tell(&mut self, slot: Slot, notice: Notice) {
        self.notices.add(slot, notice);
    }

    /// Records that are to be sent again to a subscriber that came back; what is newer of their channel waits behind them.
    pub fn resume(&mut self, missed: Stretch) {
        debug_assert!(missed.records() > 0, "a run that is empty is never through");
        self.resumes.push_back(missed);
    }

    /// The channel's newest record is to be sent as a snapshot, which stands for all that waits of it; how many records that was.
    pub fn snapshot(&mut self, slot: Slot, now_ms: u64) -> u64 {
        let replaced = self.withdraw_records(slot);
        self.marks.snapshot(slot, now_ms);
        replaced
    }

    /// A record of a `latest` channel arrived; `base` is the sequence before it.
    pub fn newest(&mut self, slot: Slot, base: u64, sequence: u64, pace: Pace) -> Taken {
        self.marks.newest(slot, base, sequence, pace)
    }

    /// A record of a merging channel arrived, the one above `base` and above all that wait.
    pub fn merge(&mut self, slot: Slot, base: u64, stop: Stop, pace: Pace) -> Taken {
        self.marks.merge(slot, base, stop, pace)
    }

    /// Records of a merging channel are missing behind those that wait, which are lost with them: one gap, up to `gap`'s end. How many
    /// waited; none where a snapshot stands for them all.
    ///
    /// # Errors
    /// When the subscriber is to be closed for those that waited.
    pub fn break_run(&mut self, slot: Slot, gap: Option<Gap>, loss: Loss) -> Result<u64, Overflow> {
        let (base, records) = match self.marks.of(slot) {
            Some(Mark::Snapshot(_)) => return Ok(0),
            Some(mark) if loss == Loss::Close => {
                let dropped = mark.records();
                // More may come before the subscriber is closed, and a run has no holes.
                self.marks.take(slot);
                return Err(Overflow { dropped });
            }
            Some(Mark::Merge(run)) => (Some(run.base), run.records()),
            Some(Mark::Newest { .. }) | None => (None, 0),
        };
        self.marks.take(slot);
        if let Some(gap) = gap {
            self.gaps.add(Gap { from: base.map_or(gap.from, |base| base + 1), ..gap });
        }
        Ok(records)
    }

    /// Something of an `every` channel arrived. Past the bound the oldest are dropped, as far as the loss of each may be told or passed
    /// over; how many records that were, with this one where the bound has no room for it alone.
    ///
    /// # Errors
    /// When a record would be lost whose subscriber is to be closed for it; what arrived is not queued.
    pub fn enqueue(
        &mut self,
        waiting: Waiting,
        bytes_max: usize,
        loss: impl Fn(Slot) -> Loss,
    ) -> Result<u64, Overflow> {
        let mut dropped = 0;
        while !self.queue.has_room(&waiting, bytes_max) {
            let oldest = self.queue.at(0).copied();
            let lost = oldest.unwrap_or(waiting);
            dropped +=
                self.drop_one(lost, loss(lost.slot())).map_err(|Overflow { .. }| Overflow { dropped })?;
            if oldest.is_none() {
                return Ok(dropped);
            }
            self.queue.pop();
        }
        self.queue.push(waiting);
        Ok(dropped)
    }

    /// One that is lost: how many records it is, and the gap that tells so.
    fn drop_one(&mut self, lost: Waiting, loss: Loss) -> Result<u64, Overflow> {
        let (gap, records) = match lost {
            Waiting::Record(Queued { slot, sequence, .. }) => {
                (Gap { slot, from: sequence, to: sequence, reason: GapReason::Slow }, 1)
            }
            Waiting::Gap(gap) => (gap, 0),
        };
        match loss {
            Loss::Tell => self.gaps.add(gap),
            Loss::Skip => {}
            Loss::Close => return Err(Overflow { dropped: 0 }),
        }
        Ok(records)
    }

    /// Whether a snapshot waits, which will stand for whatever comes until it is sent.
    #[must_use]
    pub fn awaits_snapshot(&self, slot: Slot) -> bool {
        !fault::is(Planted::SnapshotAfterLive) && matches!(self.marks.of(slot), Some(Mark::Snapshot(_)))
    }
}

/// What is to be sent, kind by kind, the `place`-th from now.
impl Outbox {
    /// What is to be told of channels, in order.
    pub fn notices(&self) -> impl Iterator<Item = (Slot, Notice)> {
        self.notices.iter()
    }

    /// The first notice was told.
    pub fn pop_notice(&mut self) {
        self.notices.pop();
    }

    /// A run of missed records.
    #[must_use]
    pub fn resumed(&self, place: usize) -> Option<&Stretch> {
        self.resumes.get(place)
    }

    /// Of the first run records up to this one were sent or lost; how many that were. A run that is through is gone.
    pub fn resumed_to(&mut self, sequence: u64) -> u64 {
        let Some(run) = self.resumes.front_mut() else { return 0 };
        let records = run.advance(sequence);
        if run.records() == 0 {
            self.resumes.pop_front();
        }
        records
    }

    /// A pending gap.
    #[must_use]
    pub fn gap(&self, place: usize) -> Option<&Gap> {
        self.gaps.at(place)
    }

    /// The first gap was told.
    pub fn pop_gap(&mut self) {
        self.gaps.pop();
    }

    /// A mark that is ready.
    #[must_use]
    pub fn mark(&self, place: usize) -> Option<&Mark> {
        self.marks.at(place)
    }

    /// The first mark was sent, or is not to be sent.
    pub fn pop_mark(&mut self) {
        self.marks.pop();
    }

    /// Of the first mark's run records up to this one were sent or lost; how many that were. A run that is through is gone.
    pub fn merged_to(&mut self, sequence: u64) -> u64 {
        let Some(run) = self.marks.first_run() else { return 0 };
        let records = run.advance(sequence);
        if run.records() == 0 {
            self.marks.pop();
        }
        records
    }

    /// One of the queue.
    #[must_use]
    pub fn queued(&self, place: usize) -> Option<&Waiting> {
        self.queue.at(place)
    }

    /// The queue's first was sent.
    pub fn pop_queued(&mut self) {
        self.queue.pop();
    }

    /// The record of the queue's first place has moved in the ring.
    pub fn first_moved(&mut self, to: u64) {
        if let Some(Waiting::Record(first)) = self.queue.first_mut() {
            first.position = to;
        }
    }

    /// The queue's first is lost; how many records it was.
    ///
    /// # Errors
    /// When the subscriber is to be closed for it.
    pub fn lose_first(&mut self, loss: Loss) -> Result<u64, Overflow> {
        let Some(first) = self.queue.at(0).copied() else { return Ok(0) };
        let records = self.drop_one(first, loss)?;
        self.queue.pop();
        Ok(records)
    }
}

/// Time, and what changes beside records.
impl Outbox {
    /// A channel was sent: its next window begins.
    pub fn was_sent(&mut self, slot: Slot, pace: Pace) {
        self.marks.was_sent(slot, pace);
    }

    /// Since when the oldest of the records that wait for the socket does. `came_at`: when the record at a position did.
    #[must_use]
    pub fn waiting_since(&self, came_at: impl Fn(u64) -> u64) -> Option<u64> {
        let torn = (!self.torn.rest.is_empty()).then_some(self.torn.since_ms);
        let queued = (0..).map_while(|place| self.queue.at(place)).find_map(|waiting| match waiting {
            Waiting::Record(record) => Some(came_at(record.position)),
            Waiting::Gap(_) => None,
        });
        [torn, self.marks.waiting_since(), queued].into_iter().flatten().min()
    }

    /// When something that is parked is due.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.marks.next_due()
    }

    /// What is parked and due is ready; whether there was any.
    pub fn unpark(&mut self, now: u64) -> bool {
        self.marks.unpark(now)
    }

    /// Whether something waits for its time.
    #[must_use]
    pub fn has_parked(&self) -> bool {
        self.marks.has_parked()
    }

    /// Takes away what waits of channels, which are sorted; how many records that was. One pass for however many: a pattern that is
    /// left may have joined thousands.
    pub fn withdraw(&mut self, slots: &[Slot]) -> u64 {
        if !fault::is(Planted::WithdrawLeaves) {
            self.notices.withdraw(slots);
        }
        self.marks.withdraw(slots) + self.withdraw_unmarked(slots)
    }

    /// Takes away the records that wait of a channel, for another stands for them; how many that was. What is to be told of it stays.
    pub fn withdraw_records(&mut self, slot: Slot) -> u64 {
        let marked = self.marks.take(slot).map_or(0, |mark| mark.records());
        marked + self.withdraw_unmarked(&[slot])
    }

    fn withdraw_unmarked(&mut self, slots: &[Slot]) -> u64 {
        let before = self.resumed_records();
        self.resumes.retain(|run| slots.binary_search(&run.slot).is_err());
        self.gaps.withdraw(slots);
        before - self.resumed_records() + self.queue.withdraw(slots)
    }

    /// Takes away everything but torn and control bytes; how many records that was.
    pub fn withdraw_all(&mut self) -> u64 {
        let gone = self.marks.records() + self.queue.records() + self.resumed_records();
        self.notices.clear();
        self.resumes.clear();
        self.gaps.clear();
        self.marks.clear();
        self.queue.clear();
        self.after.clear();
        gone
    }

    /// What waits of a channel waits under another slot of it, at that slot's rate.
    pub fn move_slot(&mut self, old: Slot, new: Slot, pace: Pace) {
        self.notices.move_slot(old, new);
        self.resumes.iter_mut().filter(|run| run.slot == old).for_each(|run| run.slot = new);
        if let Some(gap) = self.gaps.remove(old) {
            self.gaps.add(Gap { slot: new, ..gap });
        }
        self.marks.move_slot(old, new, pace);
        self.queue.move_slot(old, new);
    }

    /// The subscriber was or will be sent a record ahead of the shard's cursor: those up to it come no more. `alias` tells
    /// subscriptions to one channel apart.
    pub fn set_after(&mut self, channel: ChannelId, alias: u32, stop: Stop) {
        self.after.set(channel, alias, stop);
    }

    /// The last sequence of the channel that was read past the cursor; 0: none was.
    #[must_use]
    pub fn after(&self, channel: ChannelId, alias: u32) -> u64 {
        if fault::is(Planted::TwiceOnJoining) { 0 } else { self.after.get(channel, alias) }
    }

    /// Forgets what the cursor has passed: everything below it was given out.
    pub fn settle(&mut self, cursor: u64) {
        let cursor = if fault::is(Planted::AfterForgotten) { u64::MAX } else { cursor };
        self.after.settle(cursor);
    }

    /// Whether some channel still waits for the cursor.
    #[must_use]
    pub fn is_joining(&self) -> bool {
        !self.after.is_empty()
    }
}
