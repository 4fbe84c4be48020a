//! How old records are when the shard drains them, and how long it then takes to send them.
//!
//! The shard's thread; the clock is read twice in a cycle that sends, once in one that does not. Counted in plain memory and
//! published at the turn's end. Invariant: each record drained, and each delivery of the fast path, stands in its histogram once.

use super::stats::Stats;
use crate::histogram::Bins;

/// The shard's own histograms, not yet published.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// When this cycle began, on the clock of the ring's entries.
    at_ns: u64,
    drain: Bins,
    send: Bins,
    changed: bool,
}

impl Latency {
    /// A cycle begins.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.at_ns = now_ns;
    }

    /// A record was drained that was stamped then; one stamped within the cycle counts as new.
    pub(super) fn drained(&mut self, stamped_ns: u64) {
        self.drain.add(self.at_ns.saturating_sub(stamped_ns), 1);
        self.changed = true;
    }

    /// The cycle's flush is over, and so many deliveries were made.
    pub(super) fn sent(&mut self, now_ns: u64, deliveries: u64) {
        self.send.add(now_ns.saturating_sub(self.at_ns), deliveries);
        self.changed = true;
    }

    /// Publishes what is new.
    pub(super) fn publish(&mut self, stats: &Stats) {
        if std::mem::take(&mut self.changed) {
            stats.drain.publish(&self.drain);
            stats.send.publish(&self.send);
        }
    }
}
