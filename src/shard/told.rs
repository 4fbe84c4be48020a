//! What is told beside records on the fast path: the state of a channel, what its feed skipped, what was lost.
//!
//! Runs on the shard's thread, while draining. Invariant: a notice stands among the records as it stood in the ring, and counts
//! as none of them.

use super::cycle::write_notice;
use super::fanout::{Drained, Frames, Range};
use super::index::{SlotId, SubscriberId};
use super::worker::Shard;
use crate::channel::{ChannelId, ChannelName};
use crate::dialect::Shape;
use crate::dialect::shape::{GapReason, Notice};

impl Shard {
    /// Tells something of a slot's channel to those of its subscribers whose shape has words for it.
    pub(super) fn tell(&mut self, slot: SlotId, notice: Notice) {
        let mut frames = Frames::default();
        if self.index.slot(slot).is_at_once() {
            for shape in Shape::ALL {
                if shape.can_tell() && self.index.slot(slot).wants(shape) {
                    frames[shape.index()] = self.encode_notice(slot, shape, &notice);
                }
            }
            self.fanout.push(self.drained_notice(slot), &frames);
            self.fanout.notices.push(notice);
        }
        let mut singles = self.hand_out(slot, &frames, true);
        for cohort in singles.drain(..) {
            self.tell_later(self.index.cohort(cohort).members[0], slot, notice);
        }
        self.buffers.singles = singles;
        if matches!(notice, Notice::Gap { .. }) {
            self.count_told(slot);
        }
    }

    /// It is told once its socket has room.
    pub(super) fn tell_later(&mut self, id: SubscriberId, slot: SlotId, notice: Notice) {
        if let Some(outbox) = self.members[id as usize].outbox.as_mut() {
            outbox.tell(slot, notice);
            self.has_backlog(id);
        }
    }

    /// Tells one subscriber, that has just joined a channel, that it is stale; where that has changed meanwhile, it was told with the
    /// others. By a notice, of which a channel has one at most: a pattern may join thousands.
    pub(super) fn say_stale(&mut self, id: SubscriberId, channel: &ChannelName) {
        let Some(cohort) = self.cohort_of(id) else { return };
        let slot = self.index.find(cohort, channel).filter(|&slot| self.index.slot(slot).stale);
        let Some(slot) = slot.filter(|_| self.index.cohort(cohort).shape.can_tell()) else { return };
        self.leave_fast_path(id);
        self.tell_later(id, slot, Notice::Stale);
    }

    fn drained_notice(&self, slot: SlotId) -> Drained {
        let channel = self.index.slot(slot).channel.unwrap_or(ChannelId { index: 0, generation: 0 });
        let notice = Some(self.fanout.notices.len() as u32);
        Drained { slot, channel, position: 0, sequence: 0, base: 0, reason: GapReason::Feed, notice }
    }

    fn encode_notice(&mut self, slot: SlotId, shape: Shape, notice: &Notice) -> Range {
        let arena = &mut self.fanout.arenas[shape.index()];
        let start = arena.len() as u32;
        write_notice(shape, self.index.slot(slot).name.as_str(), notice, &mut self.buffers.label, arena);
        Range { start, end: arena.len() as u32 }
    }

    /// Counts a gap for everybody on the fast path whom this cycle tells it. For the others it is counted when it is sent.
    pub(super) fn count_told(&mut self, slot: SlotId) {
        for &cohort in &self.index.slot(slot).cohorts {
            let of = self.index.cohort(cohort);
            if of.shape.can_tell() && !self.fanout.is_single(cohort) {
                self.ledger.gaps += of.members.len() as u64;
            }
        }
    }
}
