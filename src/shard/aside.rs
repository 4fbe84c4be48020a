//! From the fast path to the side: what of a cycle waits for a subscriber that did not take it.
//!
//! Runs on the shard's thread, within a cycle. Invariant: each record that matched such a subscriber waits in its outbox, was
//! replaced there by a newer one, or is counted as lost and told.

use super::OnGap;
use super::fanout::{Drained, Range};
use super::index::{CohortId, Index, SlotId, SubscriberId};
use super::tally::Fate;
use super::worker::Shard;
use crate::channel::{Delivery, OnSlow};
use crate::dialect::Shape;
use crate::dialect::shape::Notice;
use crate::fault::{self, Planted};
use crate::subscriber::close::CloseReason;
use crate::subscriber::outbox::{Gap, Loss, Outbox, Overflow, Pace, Queued, Stop, Taken, Waiting};

/// What becomes of a subscriber of this shape that loses a record of a slot because it is slow.
pub(super) fn loss(index: &Index, on_gap: OnGap, shape: Shape, slot: SlotId) -> Loss {
    match (shape.can_tell(), index.slot(slot).rule.on_slow, on_gap) {
        (true, OnSlow::Gap, _) => Loss::Tell,
        (false, _, OnGap::Skip) => Loss::Skip,
        (true, OnSlow::Close, _) | (false, _, OnGap::Close) => Loss::Close,
    }
}

/// A record for one subscriber: what of it is due, and what is missing before it.
struct Due {
    slot: SlotId,
    stop: Stop,
    /// Last sequence that the subscriber was sent or that waits for it.
    base: u64,
    /// What will not come, where that counts and can be told.
    gap: Option<Gap>,
    bytes: u32,
}

impl Shard {
    /// A record for a subscriber off the fast path: it waits as a mark or as a position.
    pub(super) fn put_aside(&mut self, id: SubscriberId, record: &Drained, frame: Range) {
        let slot = self.index.slot(record.slot);
        let (delivery, alias) = (slot.rule.delivery, slot.alias());
        let pace = Pace { every_ms: slot.every_ms, now: self.now };
        let member = &mut self.members[id as usize];
        let (Some(outbox), Some(cohort)) = (member.outbox.as_mut(), member.cohort) else { return };
        outbox.unordered |= self.walk.is_some();
        let after = outbox.after(record.channel, alias);
        if record.sequence <= after {
            // It was part of what was read ahead of the cursor, and so was never due.
            self.was_not_due(id);
            return;
        }
        let shape = self.index.cohort(cohort).shape;
        let due = due(record, record.base.max(after), shape, frame);
        let loss = |slot| loss(&self.index, self.options.on_gap, shape, slot);
        let before = outbox.queued_bytes();
        let taken = match delivery {
            Delivery::Latest => Ok((outbox.newest(due.slot, due.base, due.stop.sequence, pace), 0)),
            Delivery::Merge(_) => run_on(outbox, &due, pace, loss),
            Delivery::Every => queue_up(outbox, &due, self.options.outbox_bytes_max, loss),
        };
        self.ledger.queued_bytes += outbox.queued_bytes() as u64;
        self.ledger.queued_bytes -= before as u64;
        self.was_put_aside(id, taken);
    }

    /// Counts a record that was put aside, and those that were dropped for it.
    pub(super) fn was_put_aside(&mut self, id: SubscriberId, taken: Result<(Taken, u64), Overflow>) {
        let (taken, dropped) = match taken {
            Ok((taken, dropped)) => (Some(taken), dropped),
            Err(Overflow { dropped }) => (None, dropped),
        };
        match taken {
            Some(Taken::Waits | Taken::Parked | Taken::Joined) => self.ledger.pending += 1,
            Some(Taken::Conflated) => self.note(id, Fate::Conflated, 1),
            None => self.ledger.abandoned += 1,
        }
        self.ledger.pending -= dropped;
        if !fault::is(Planted::DropUncounted) {
            self.note(id, Fate::Dropped, dropped);
        }
        match taken {
            Some(Taken::Waits) => {
                let outbox = self.members[id as usize].outbox.as_ref();
                self.aside += usize::from(outbox.is_some_and(|outbox| !outbox.blocked));
                self.has_backlog(id);
            }
            Some(Taken::Parked) => self.set_timer(id),
            Some(Taken::Joined | Taken::Conflated) => {}
            None => self.condemned.push((id, CloseReason::Slow)),
        }
    }

    /// A subscriber took only the beginning: what was cut is finished first, the rest waits as marks and positions.
    pub(super) fn cut_off(&mut self, cohort: CohortId, id: SubscriberId, taken: usize) {
        let own = self.leave_fast_path(id);
        let shape = self.index.cohort(cohort).shape;
        let mut at = 0;
        for place in 0..self.fanout.records.len() {
            let record = self.fanout.records[place];
            let frame = self.fanout.frame(place, shape);
            if frame.is_empty() || !self.index.has_slot(own, record.slot) {
                continue;
            }
            let (start, end) = (at, at + frame.len());
            at = end;
            let notice = record.notice.map(|place| self.fanout.notices[place as usize]);
            if end <= taken {
                self.note(id, Fate::Delivered, u64::from(notice.is_none()));
            } else if start < taken {
                self.tear(id, shape, frame, taken - start, notice.is_none());
            } else {
                self.take_back(id, shape, &record, frame, notice);
            }
        }
        self.is_blocked(id);
    }

    /// Something that the cycle was to send and did not.
    fn take_back(
        &mut self,
        id: SubscriberId,
        shape: Shape,
        record: &Drained,
        frame: Range,
        notice: Option<Notice>,
    ) {
        let is_gap = match notice {
            Some(notice) => matches!(notice, Notice::Gap { .. }),
            None => self.is_behind_gap(record, shape),
        };
        // It is counted again when it is told.
        self.ledger.gaps -= u64::from(is_gap);
        match notice {
            Some(notice) => self.tell_later(id, record.slot, notice),
            None => self.put_aside(id, record, frame),
        }
    }

    /// Whether a gap stands before a record in its frame.
    fn is_behind_gap(&self, record: &Drained, shape: Shape) -> bool {
        let counts = self.index.slot(record.slot).rule.delivery != Delivery::Latest;
        counts && shape.can_tell() && record.sequence > record.base + 1
    }

    fn tear(&mut self, id: SubscriberId, shape: Shape, frame: Range, taken: usize, is_record: bool) {
        if let Some(outbox) = self.members[id as usize].outbox.as_mut() {
            let rest = &self.fanout.arenas[shape.index()][frame.start as usize + taken..frame.end as usize];
            outbox.tear(rest, is_record, self.now);
            self.ledger.pending += u64::from(is_record);
            self.is_torn_now(id, rest.len());
        }
    }
}

fn due(record: &Drained, base: u64, shape: Shape, frame: Range) -> Due {
    let Drained { slot, position, sequence, reason, .. } = *record;
    let is_hole = sequence > base + 1 && shape.can_tell();
    let gap = is_hole.then_some(Gap { slot, from: base + 1, to: sequence - 1, reason });
    Due { slot, stop: Stop { position, sequence }, base, gap, bytes: frame.len() as u32 }
}

/// A record of a merging channel: it lengthens the run that waits. A hole ends that run, and what waited is lost with it: after a
/// lap it has left the ring, and a channel that came again does not go on from the one before.
fn run_on(
    outbox: &mut Outbox,
    due: &Due,
    pace: Pace,
    loss: impl Fn(SlotId) -> Loss,
) -> Result<(Taken, u64), Overflow> {
    let &Due { slot, stop, base, gap, .. } = due;
    if stop.sequence == base + 1 {
        return Ok((outbox.merge(slot, base, stop, pace), 0));
    }
    let dropped = outbox.break_run(slot, gap, loss(slot))?;
    Ok((outbox.merge(slot, stop.sequence - 1, stop, pace), dropped))
}

/// A record of an `every` channel, behind the gap before it.
fn queue_up(
    outbox: &mut Outbox,
    due: &Due,
    bytes_max: usize,
    loss: impl Fn(SlotId) -> Loss,
) -> Result<(Taken, u64), Overflow> {
    let &Due { slot, stop: Stop { position, sequence }, gap, bytes, .. } = due;
    if outbox.awaits_snapshot(slot) {
        return Ok((Taken::Conflated, 0));
    }
    let mut dropped = 0;
    if let Some(gap) = gap {
        dropped += outbox.enqueue(Waiting::Gap(gap), bytes_max, &loss)?;
    }
    let record = Queued { position, sequence, slot, bytes };
    let queued = outbox.enqueue(Waiting::Record(record), bytes_max, &loss);
    dropped += queued.map_err(|overflow| Overflow { dropped: dropped + overflow.dropped })?;
    Ok((Taken::Waits, dropped))
}
