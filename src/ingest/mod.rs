//! Ingest: feed sockets in, records into the ring. The only stage that writes the ring.
//!
//! One thread, one current-thread runtime: connections are tasks on it and share what `Intake` holds, without a
//! lock. Nothing here waits for a reader of the ring. Invariant: what a feed sent is published byte for byte,
//! dropped and counted, or refused, counted and answered.
//!
//! ```text
//! listener ─ tcp ─┬─ line_feed ── line ──────────────────────┐
//!          ─ unix ┘                                          ├─ session, table ─ sequencer ─ ring
//!          ─ http ┬─ POST /publish ┬─ intake ── envelope ────┘
//!                 └─ websocket ────┘            └─ decode
//! ```
//!
//! `presence` knows which feeds are here, `aging` what is due to channels that nobody speaks of any more.
//!
//! Times: both clocks are read once for what one read of a socket gave (one message of a WebSocket, 256 KiB of an
//! HTTP body), so records of one batch share them; monotonic time never falls from one record to the next.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::watch;

use crate::channel::Catalogue;
use crate::histogram::Histogram;
use crate::ring::Publisher;
use decode::Decoder;
use presence::Feeds;
use sequencer::Sequencer;
use session::Sessions;

pub mod decode;
pub mod envelope;
pub mod line;

mod aging;
mod clock;
mod faults;
mod frames;
mod http;
mod intake;
mod line_feed;
mod listener;
mod presence;
mod refusal;
mod sequencer;
mod session;
mod table;
mod websocket;

pub use refusal::{Refusal, RefusalCode};

/// Bytes that one feed is read, or one message worked off, before the others have their turn.
const TURN_BYTES: usize = 256 * 1024;

/// Where a token is asked for, a feed's first bytes must have come by then, and its first line within as much again.
const AUTH_TIMEOUT: Duration = Duration::from_secs(10);

/// What ingest must know.
#[derive(Clone, Debug)]
pub struct Options {
    /// TCP and HTTP listener; `None`: not listening on TCP.
    pub listen: Option<SocketAddr>,
    /// Path of a Unix socket for lines.
    pub unix: Option<PathBuf>,
    /// What a feed must present; `None`: anybody may publish.
    pub token: Option<String>,
    /// Bytes of one payload. A WebSocket message or an HTTP body may have four times as many.
    pub payload_bytes_max: usize,
    /// Feed connections at a time; 0: no limit.
    pub connections_max: usize,
    /// Places of the channel table: channels that may exist.
    pub channels_max: u32,
    /// A channel silent for this long expires; zero: never.
    pub expire_after: Duration,
    /// A channel whose feeds have been gone for this long is stale; zero: never.
    pub stale_after: Duration,
    /// A channel that a connected feed has not spoken of for this long is stale; zero: never.
    pub silence_after: Duration,
}

/// What ingest counts. Written by its thread (Relaxed), read by metrics.
#[derive(Debug, Default)]
pub struct Stats {
    /// Records published.
    pub accepted: AtomicU64,
    /// Bytes of their payloads.
    pub accepted_bytes: AtomicU64,
    /// Records refused, by [`RefusalCode`].
    pub refused: [AtomicU64; RefusalCode::COUNT],
    /// Records whose feed sequence was already taken in their session.
    pub duplicates: AtomicU64,
    /// Late records that would have filled a feed's gap.
    pub late: AtomicU64,
    /// Records that feeds skipped, by their own sequences.
    pub feed_gaps: AtomicU64,
    /// Duplicates whose payload differed from the one taken first.
    pub disagreed: AtomicU64,
    /// Feed connections now.
    pub connections: AtomicU64,
    /// Connections and requests refused for a wrong or missing token.
    pub unauthorized: AtomicU64,
    /// Connections refused because `connections_max` was reached.
    pub connections_refused: AtomicU64,
    /// Connections that ended inside a line or message.
    pub cut_off: AtomicU64,
    /// Connections closed because they broke HTTP or the WebSocket's protocol.
    pub broken: AtomicU64,
    /// HTTP requests refused whole: an unknown path, a wrong method, no sound handshake.
    pub bad_requests: AtomicU64,
    /// Channels that expired.
    pub expired: AtomicU64,
    /// Channels now that were told stale, and not live since.
    pub stale_channels: AtomicU64,
    /// Times that a channel was told stale.
    pub told_stale: AtomicU64,
    /// Times that one was told live again.
    pub told_live: AtomicU64,
    /// Newest ordinal.
    pub ordinal: AtomicU64,
    /// Time from the clock reading of a record's batch to its publication.
    pub publish: Histogram,
}

/// Bound listeners, nothing read yet.
#[derive(Debug)]
pub struct Ingest {
    options: Options,
    stats: Arc<Stats>,
    listeners: listener::Listeners,
}

impl Ingest {
    /// Binds the listeners. A Unix socket's path that nobody listens on any more is taken over.
    ///
    /// # Errors
    /// The address or path that could not be bound, and why.
    pub fn bind(options: Options, stats: Arc<Stats>) -> std::io::Result<Self> {
        let listeners = listener::Listeners::bind(options.listen, options.unix.as_deref())?;
        Ok(Self { options, stats, listeners })
    }

    /// Where the TCP listener really listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.listeners.address()
    }

    /// Reads feeds until `shutdown` says true, then publishes `End`. On a current-thread runtime of its own.
    /// `wake` is called with the number of each reader that sleeps, once a batch.
    pub async fn run(
        self,
        publisher: Publisher,
        catalogue: Arc<Catalogue>,
        wake: impl Fn(usize) + 'static,
        shutdown: watch::Receiver<bool>,
    ) {
        let Self { options, stats, listeners } = self;
        let feeds = Rc::new(Feeds::new(options.stale_after));
        let (counts, known) = (Arc::clone(&stats), Rc::clone(&feeds));
        let sequencer = Sequencer::new(publisher, catalogue, counts, Box::new(wake), &options, known);
        let intake = Rc::new(Intake {
            options,
            stats,
            feeds,
            sequencer: RefCell::new(sequencer),
            sessions: RefCell::default(),
            decoder: RefCell::default(),
        });
        listeners.run(&intake, shutdown).await;
        intake.sequencer.borrow_mut().end(clock::Now::read());
    }
}

/// What every connection shares. A borrow never lives across an `await`.
struct Intake {
    options: Options,
    stats: Arc<Stats>,
    feeds: Rc<Feeds>,
    sequencer: RefCell<Sequencer>,
    sessions: RefCell<Sessions>,
    decoder: RefCell<Decoder>,
}

impl Intake {
    /// Whether a feed that presents this token may publish.
    fn admits(&self, presented: Option<&[u8]>) -> bool {
        match (&self.options.token, presented) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(token), Some(presented)) => is_same_secret(token.as_bytes(), presented),
        }
    }

    /// Bytes of one line without its end.
    fn line_bytes_max(&self) -> usize {
        self.options.payload_bytes_max + line::LINE_OVERHEAD_BYTES
    }

    /// Bytes of one message of a WebSocket, or of one HTTP body.
    fn message_bytes_max(&self) -> usize {
        4 * self.options.payload_bytes_max + line::LINE_OVERHEAD_BYTES
    }
}

// Looks at every byte whatever it finds, so that the time taken does not say how much of a guess was right.
fn is_same_secret(secret: &[u8], presented: &[u8]) -> bool {
    let differing = secret.iter().zip(presented).fold(0, |differing, (a, b)| differing | (a ^ b));
    std::hint::black_box(differing) == 0 && secret.len() == presented.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_secret_is_the_secret() {
        assert!(is_same_secret(b"secret", b"secret"));
        for wrong in [&b""[..], b"secre", b"secrets", b"Secret", b"secreT"] {
            assert!(!is_same_secret(b"secret", wrong), "{wrong:?}");
        }
    }
}
