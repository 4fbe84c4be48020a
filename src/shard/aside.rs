//! From the fast path to the side: what of a cycle waits for a subscriber that did not take it.
//!
//! Runs on the shard's thread, within a cycle. Invariant: each record that matched such a subscriber waits in its outbox, was
//! replaced there by a newer one, or is counted as lost and told.

use super::fanout::{Drained, Range};
use super::index::{CohortId, SlotId, SubscriberId};
use super::worker::Shard;
use crate::channel::Delivery;
use crate::dialect::Shape;
use crate::dialect::shape::Notice;
use crate::subscriber::close::CloseReason;
use crate::subscriber::outbox::{Queued, Taken};

impl Shard {
    /// A record for a subscriber off the fast path: it waits as a mark or as a position.
    pub(super) fn put_aside(&mut self, id: SubscriberId, record: &Drained, frame: Range) {
        let delivery = self.index.slot(record.slot).rule.delivery;
        let Some(outbox) = self.members[id as usize].outbox.as_mut() else { return };
        let after = outbox.after(record.slot, record.channel);
        if record.sequence <= after {
            // It was part of what was read ahead of the cursor, and so was never due.
            self.ledger.matched -= 1;
            return;
        }
        self.aside += usize::from(!outbox.blocked);
        let before = outbox.queued_bytes();
        let taken = match delivery {
            Delivery::Latest => Ok(outbox.mark(record.slot, record.base.max(after), false)),
            Delivery::Every | Delivery::Merge(_) => {
                let queued =
                    Queued { position: record.position, slot: record.slot, bytes: frame.len() as u32 };
                outbox.enqueue(queued, self.options.outbox_bytes_max).map(|()| Taken::Waits)
            }
        };
        self.ledger.queued_bytes += (outbox.queued_bytes() - before) as u64;
        match taken {
            Ok(Taken::Waits) => {
                self.ledger.pending += 1;
                self.has_backlog(id);
            }
            Ok(Taken::Conflated) => self.ledger.conflated += 1,
            Err(_) => {
                self.ledger.abandoned += 1;
                self.condemned.push((id, CloseReason::Slow));
            }
        }
    }

    /// Tells whoever subscribes to a channel something of it.
    pub(super) fn tell(&mut self, _slot: SlotId, _notice: Notice) {}

    /// A subscriber took only the beginning: what was cut is finished first, the rest waits as marks and positions.
    pub(super) fn cut_off(&mut self, cohort: CohortId, id: SubscriberId, taken: usize) {
        let own = self.leave_fast_path(id);
        let shape = self.index.cohort(cohort).shape;
        let mut at = 0;
        for place in 0..self.fanout.records.len() {
            let record = self.fanout.records[place];
            let frame = record.frames[shape.index()];
            if frame.is_empty() || !self.index.has_slot(own, record.slot) {
                continue;
            }
            let (start, end) = (at, at + frame.len());
            at = end;
            if end <= taken {
                self.ledger.delivered += 1;
            } else if start < taken {
                self.tear(id, shape, frame, taken - start);
            } else {
                self.put_aside(id, &record, frame);
            }
        }
        self.is_blocked(id);
    }

    fn tear(&mut self, id: SubscriberId, shape: Shape, frame: Range, taken: usize) {
        if let Some(outbox) = self.members[id as usize].outbox.as_mut() {
            let rest = &self.fanout.arenas[shape.index()][frame.start as usize + taken..frame.end as usize];
            outbox.tear(rest);
            self.ledger.pending += 1;
            self.is_torn_now(id, rest.len());
        }
    }
}
