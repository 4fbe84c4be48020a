//! A shard in the hands of the model or of a bench: a turn at a time, at times that they say; and its index by itself.
//!
//! Built with the feature `drive` alone. It decides nothing: what stands here is what the loop of `worker` does between two turns, and
//! what `life` and `subscribe` do to the index. Invariant: who drives sees of a shard what other threads see, and the bounds that they
//! cannot.

use super::cycle::Drain;
use super::index::{Index, SlotKey};
use super::stats::Ledger;
use super::worker::Shard;
use crate::channel::{ChannelId, ChannelInfo};
use crate::dialect::Shape;

/// A shard that runs when it is told to.
pub struct Driven {
    shard: Shard,
}

impl Driven {
    /// Takes a shard that does not run.
    #[must_use]
    pub fn new(shard: Shard) -> Self {
        Self { shard }
    }

    /// A turn at this time, in milliseconds since the start; whether there is more to do at once.
    pub fn turn(&mut self, now_ms: u64) -> bool {
        self.shard.turn_at(now_ms) == Drain::More || self.shard.has_work()
    }

    /// Whether records may gather in the ring meanwhile.
    #[must_use]
    pub fn is_gathering(&self) -> bool {
        self.shard.is_gathering()
    }

    /// Milliseconds that it would sleep now, if nothing woke it.
    #[must_use]
    pub fn sleeps_ms(&self) -> u64 {
        self.shard.sleeps_ms()
    }

    /// Its ledger as of now.
    #[must_use]
    pub fn ledger(&self) -> Ledger {
        self.shard.ledger
    }

    /// Records that wait in all outboxes, counted there.
    #[must_use]
    pub fn waiting_records(&self) -> u64 {
        let outboxes = self.shard.members.iter().filter_map(|(_, member)| member.outbox.as_ref());
        outboxes.map(|outbox| outbox.pending()).sum()
    }

    /// Most bytes that are queued for one subscriber, and bytes of all torn frames.
    #[must_use]
    pub fn waiting_bytes(&self) -> (usize, usize) {
        let outboxes = self.shard.members.iter().filter_map(|(_, member)| member.outbox.as_ref());
        let (queued, torn): (Vec<_>, Vec<_>) =
            outboxes.map(|outbox| (outbox.queued_bytes(), outbox.torn().len())).unzip();
        (queued.into_iter().max().unwrap_or(0), torn.into_iter().sum())
    }
}

/// An index without a shard. Subscribers and cohorts go by their numbers; all subscribers want the same shape.
#[derive(Default)]
pub struct LoneIndex {
    index: Index,
}

impl LoneIndex {
    /// A subscriber comes, subscribes to these channels, and is still; the cohort where it is now.
    pub fn subscribe(&mut self, subscriber: u32, channels: &[ChannelInfo]) -> u32 {
        let own = self.index.admit(subscriber, Shape::Payload);
        for info in channels {
            let slot = self.index.intern(SlotKey::of(&info.name, 0), info.rule, Some(info));
            self.index.add(own, slot, true);
        }
        self.index.merge(own)
    }

    /// A subscriber leaves its cohort, and the index.
    pub fn unsubscribe(&mut self, subscriber: u32, cohort: u32) {
        let own = self.index.split(cohort, subscriber);
        self.index.dissolve(own);
    }

    /// A record is on a channel: hands out who subscribes to it.
    pub fn find(&mut self, channel: ChannelId, mut hand: impl FnMut(u32)) {
        let mut next = self.index.meet(channel, || None).and_then(|seen| seen.slot);
        while let Some(slot) = next {
            let slot = self.index.slot(slot);
            next = slot.next;
            for &cohort in &slot.cohorts {
                self.index.cohort(cohort).members.iter().copied().for_each(&mut hand);
            }
        }
    }
}
