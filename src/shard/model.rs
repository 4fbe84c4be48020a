//! A shard in the model's hands: a turn at a time, at times that the model says.
//!
//! Built with the feature `model` alone. It decides nothing: what stands here is what the loop of `worker` does between two turns.
//! Invariant: the model sees of a shard what other threads see, and the bounds that they cannot.

use super::cycle::Drain;
use super::stats::Ledger;
use super::worker::Shard;

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
