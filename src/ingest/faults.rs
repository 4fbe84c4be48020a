//! Log lines about one feed's faults: one a fault, but no more than one a second however fast faults come.
//!
//! Ingest thread; every refusal of the stage is counted here. What a feed sent is shown escaped and cut, never as it
//! came. Invariant: a fault that got no line of its own is told as a number in the next one.

use std::cell::Cell;
use std::sync::Arc;

use super::Stats;
use super::clock::Now;
use super::refusal::Refusal;
use super::sequencer::add;

/// Bytes of a feed's own text in a log line.
const EXCERPT_BYTES_MAX: usize = 64;
const QUIET_NS: u64 = 1_000_000_000;

/// Counts and logs one connection's refused records.
#[derive(Debug)]
pub(super) struct Faults {
    feed: Arc<str>,
    stats: Arc<Stats>,
    quiet_until_ns: Cell<u64>,
    unlogged: Cell<u64>,
}

impl Faults {
    pub(super) fn new(feed: Arc<str>, stats: Arc<Stats>) -> Self {
        Self { feed, stats, quiet_until_ns: Cell::new(0), unlogged: Cell::new(0) }
    }

    /// A record was refused; `text` is what the feed sent.
    pub(super) fn refused(&self, refusal: &Refusal, text: &[u8], now: Now) {
        add(&self.stats.refused[refusal.code as usize], 1);
        if now.monotonic_ns < self.quiet_until_ns.get() {
            self.unlogged.set(self.unlogged.get() + 1);
            return;
        }
        self.quiet_until_ns.set(now.monotonic_ns + QUIET_NS);
        let (code, unlogged) = (refusal.code.as_str(), self.unlogged.take());
        let (feed, excerpt) = (&*self.feed, excerpt(text));
        tracing::warn!(feed, code, why = ?refusal.message, text = ?excerpt, unlogged, "record refused");
    }

    /// The connection ended inside a line or message.
    pub(super) fn cut_off(&self) {
        add(&self.stats.cut_off, 1);
        tracing::warn!(feed = &*self.feed, "feed ended inside a line or message; that part is dropped");
    }

    /// The feed showed a wrong token, or none.
    pub(super) fn unauthorized(&self) {
        add(&self.stats.unauthorized, 1);
        tracing::warn!(feed = &*self.feed, "feed refused: wrong or missing token");
    }

    /// The feed broke its protocol so that it cannot go on.
    pub(super) fn broken(&self, why: &str) {
        tracing::warn!(feed = &*self.feed, why = ?why, "feed closed");
    }
}

// Written with `{:?}`, which escapes what a terminal would act on.
fn excerpt(text: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&text[..text.len().min(EXCERPT_BYTES_MAX)])
}
