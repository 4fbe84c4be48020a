//! Log lines about one feed's faults: one a fault, but no more than one a second of refused records or requests,
//! however fast they come; and about feeds that disagree, one a minute.
//!
//! Ingest thread; every refusal of the stage is counted here. What a feed sent is shown escaped and cut, never as it
//! came. Invariant: a fault that got no line of its own is told as a number in the next one.

use std::cell::Cell;
use std::sync::Arc;

use super::Stats;
use super::clock::Now;
use super::line::Record;
use super::refusal::Refusal;
use super::sequencer::add;

/// Bytes of a feed's own text in a log line.
const EXCERPT_BYTES_MAX: usize = 64;
const QUIET_NS: u64 = 1_000_000_000;
const DISAGREEMENT_QUIET_NS: u64 = 60_000_000_000;

/// Counts and logs one connection's faults.
#[derive(Debug)]
pub(super) struct Faults {
    feed: Arc<str>,
    stats: Arc<Stats>,
    pace: Pace,
}

/// Logs that two feeds of one session sent different payloads under one sequence.
#[derive(Debug)]
pub(super) struct Disagreements {
    pace: Pace,
}

#[derive(Debug)]
struct Pace {
    quiet_ns: u64,
    quiet_until_ns: Cell<u64>,
    unlogged: Cell<u64>,
}

impl Faults {
    pub(super) fn new(feed: Arc<str>, stats: Arc<Stats>) -> Self {
        Self { feed, stats, pace: Pace::new(QUIET_NS) }
    }

    /// A record was refused; `text` is what the feed sent.
    pub(super) fn refused(&self, refusal: &Refusal, text: &[u8], now: Now) {
        add(&self.stats.refused[refusal.code as usize], 1);
        let Some(unlogged) = self.pace.line(now) else { return };
        let (feed, code, excerpt) = (&*self.feed, refusal.code.as_str(), excerpt(without_token(text)));
        tracing::warn!(feed, code, why = ?refusal.message, text = ?excerpt, unlogged, "record refused");
    }

    /// An HTTP request was answered with an error of its own: an unknown path, a wrong method, no sound handshake.
    pub(super) fn bad_request(&self, why: &str, target: &str, now: Now) {
        add(&self.stats.bad_requests, 1);
        let Some(unlogged) = self.pace.line(now) else { return };
        let (feed, target) = (&*self.feed, excerpt(target.as_bytes()));
        tracing::warn!(feed, why, ?target, unlogged, "request refused");
    }

    /// The connection ended inside a line or message.
    pub(super) fn cut_off(&self) {
        add(&self.stats.cut_off, 1);
        tracing::warn!(feed = &*self.feed, "feed ended inside a line or message; that part is dropped");
    }

    /// The feed showed a wrong token, or none.
    pub(super) fn unauthorized(&self, now: Now) {
        add(&self.stats.unauthorized, 1);
        let Some(unlogged) = self.pace.line(now) else { return };
        tracing::warn!(feed = &*self.feed, unlogged, "feed refused: wrong or missing token");
    }

    /// The feed broke its protocol so that it cannot go on.
    pub(super) fn broken(&self, why: &str) {
        add(&self.stats.broken, 1);
        tracing::warn!(feed = &*self.feed, why = ?why, "feed closed");
    }
}

impl Default for Disagreements {
    fn default() -> Self {
        Self { pace: Pace::new(DISAGREEMENT_QUIET_NS) }
    }
}

impl Disagreements {
    /// A record's payload was not what was taken before; `feeds`: whose came first, and whose was this, if known.
    pub(super) fn log(&self, record: &Record<'_>, feeds: (Option<Arc<str>>, Option<Arc<str>>), now: Now) {
        let Some(unlogged) = self.pace.line(now) else { return };
        let (channel, sequence) = (record.channel, record.sequence);
        let (first, second) = (feeds.0.as_deref(), feeds.1.as_deref());
        tracing::warn!(
            ?channel,
            sequence,
            ?first,
            ?second,
            unlogged,
            "feeds disagree; the first one's is kept"
        );
    }
}

impl Pace {
    fn new(quiet_ns: u64) -> Self {
        Self { quiet_ns, quiet_until_ns: Cell::default(), unlogged: Cell::default() }
    }

    /// Whether a line may be written now; then, how many faults got none since the last one.
    fn line(&self, now: Now) -> Option<u64> {
        if now.monotonic_ns < self.quiet_until_ns.get() {
            self.unlogged.set(self.unlogged.get() + 1);
            return None;
        }
        self.quiet_until_ns.set(now.monotonic_ns + self.quiet_ns);
        Some(self.unlogged.take())
    }
}

/// A line as far as a log may hold it: no token, however `AUTH` was misspelt, with a space or a byte-order mark before it.
fn without_token(line: &[u8]) -> &[u8] {
    const AUTH: &[u8] = b"auth";
    let beginning = &line[..line.len().min(2 * AUTH.len())];
    let found = beginning.windows(AUTH.len()).position(|word| word.eq_ignore_ascii_case(AUTH));
    found.map_or(line, |at| &line[..at + AUTH.len()])
}

// Written with `{:?}`, which escapes what a terminal would act on.
fn excerpt(text: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(&text[..text.len().min(EXCERPT_BYTES_MAX)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_lines_there_is_quiet_and_what_fell_into_it_is_told() {
        let pace = Pace::new(60);
        let lines =
            [1, 1, 30, 60, 61, 62, 500].map(|monotonic_ns| pace.line(Now { wall_us: 0, monotonic_ns }));
        assert_eq!(lines, [Some(0), None, None, None, Some(3), None, Some(1)]);
        assert_eq!(Disagreements::default().pace.quiet_ns, 60 * QUIET_NS, "a minute");
    }

    #[test]
    fn a_token_goes_into_no_log() {
        for line in ["AUTH secret", " auth secret", "\u{feff}Auth\tsecret"] {
            let kept = without_token(line.as_bytes());
            assert!(!kept.windows(6).any(|word| word == b"secret"), "{line:?}");
        }
        assert_eq!(without_token(b"btcusdt@trade 1"), b"btcusdt@trade 1");
        assert_eq!(without_token(b"au"), b"au");
    }
}
