//! What the subscribers of a group share: what is expected, the clock's last reading, the counts.
//!
//! A reader's thread. Must not know a subscriber. Invariant: times here are of the turn that is under way.

use super::books::Books;
use super::expected::Expected;
use super::record::Record;
use super::report::Report;
use crate::latency::Latencies;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What all subscribers of a group share.
pub(crate) struct Context {
    pub(crate) expected: Arc<Expected>,
    /// When each record was sent, by its place on the tape; only where latency is measured.
    pub(crate) sent_ns: Option<Arc<Vec<AtomicU64>>>,
    pub(crate) latencies: Latencies,
    pub(crate) report: Report,
    pub(crate) scratch: Vec<u8>,
    pub(crate) now_ns: u64,
    /// When the sockets were looked at before.
    pub(crate) before_ns: u64,
    /// Books of depth channels, where they are compared.
    pub(crate) books: Option<Books>,
}

impl Context {
    /// Counts a record that stands for these sequences, and compares what it holds with what was published.
    pub(crate) fn check_value(
        &mut self,
        channel: usize,
        record: &Record<'_>,
        sequences: RangeInclusive<u64>,
    ) -> Result<(), String> {
        self.report.skipped += record.skipped;
        if !record.is_merged {
            return self.expected.check(channel, record.sequence, record.payload);
        }
        self.report.merged += 1;
        self.expected.check_union(channel, sequences, record.payload)
    }

    /// Takes the latency of a record, where they are taken.
    pub(crate) fn measure(&mut self, channel: usize, sequence: u64) {
        let Some(sent_ns) = &self.sent_ns else { return };
        let Some(place) = self.expected.place(channel, sequence) else { return };
        let sent_ns = sent_ns[place].load(Relaxed);
        if sent_ns > 0 {
            self.latencies.record(self.now_ns.saturating_sub(sent_ns));
        }
    }
}
