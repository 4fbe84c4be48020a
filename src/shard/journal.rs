//! Log lines about clients: one for each that ends by a fault and for each request refused, so many a second at most.
//!
//! The shard's thread; time is an argument. It counts nothing for metrics: the ledger does. Invariant: a line that was not written is told
//! as a number in the next one, so a storm costs the shard a bounded time and is not hidden.

use std::net::SocketAddr;

use super::timers::Millis;
use crate::dialect::Fault;
use crate::subscriber::close::CloseReason;

/// Lines a second: a storm of disconnects shows, and takes less than a millisecond of the shard's second.
const LINES_A_SECOND: u32 = 100;
/// Bytes of a text that a client may have had a part in.
const TEXT_BYTES_MAX: usize = 128;

/// The shard's log about its clients.
#[derive(Debug, Default)]
pub(super) struct Journal {
    second: Millis,
    lines: u32,
    unlogged: u64,
}

impl Journal {
    /// A subscriber ends. Who closes by itself, or is closed because the server ends, is no news.
    pub(super) fn ended(&mut self, peer: SocketAddr, reason: CloseReason, now: Millis) {
        let reason = match reason {
            CloseReason::ClientClosed | CloseReason::Shutdown => {
                return tracing::debug!(%peer, reason = reason.label(), "a subscriber ended");
            }
            other => other.label(),
        };
        if let Some(unlogged) = self.line(now) {
            tracing::info!(%peer, reason, unlogged, "a subscriber ended");
        }
    }

    /// A request was refused.
    pub(super) fn refused(&mut self, peer: SocketAddr, fault: &Fault, now: Millis) {
        if let Some(unlogged) = self.line(now) {
            let why = &fault.text[..fault.text.floor_char_boundary(TEXT_BYTES_MAX)];
            // By `?`: it escapes what a terminal would obey.
            tracing::info!(%peer, code = fault.code.label(), ?why, unlogged, "a request was refused");
        }
    }

    /// Whether a line may be written now; then, how many were not since the last one.
    fn line(&mut self, now: Millis) -> Option<u64> {
        if now >= self.second + 1000 {
            (self.second, self.lines) = (now, 0);
        }
        if self.lines == LINES_A_SECOND {
            self.unlogged += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_is_cut_short_and_told() {
        let mut journal = Journal::default();
        let storm: Vec<_> = (0..250).filter_map(|_| journal.line(10)).collect();
        assert_eq!(storm, [0; LINES_A_SECOND as usize]);
        assert_eq!(journal.line(999), None);
        assert_eq!((journal.line(1000), journal.line(1000)), (Some(151), Some(0)));
    }
}
