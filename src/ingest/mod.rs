//! Ingest: feed sockets in, records into the ring. The only stage that writes the ring.
//! SKELETON: the public face below is the contract.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::channel::Catalogue;
use crate::ring::Publisher;

/// What ingest must know.
#[derive(Clone, Debug)]
pub struct Options {
    /// TCP and HTTP listener; `None`: not listening on TCP.
    pub listen: Option<SocketAddr>,
    /// Path of a Unix socket for lines.
    pub unix: Option<PathBuf>,
    /// What a feed must present; `None`: anybody may publish.
    pub token: Option<String>,
    /// Bytes of one payload.
    pub payload_bytes_max: usize,
    /// Feed connections at a time.
    pub connections_max: usize,
    /// Places of the channel table: channels that may exist.
    pub channels_max: u32,
    /// A channel silent for this long expires.
    pub expire_after: Duration,
}

/// Why a feed's record was refused; a label in metrics and the code in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RefusalCode {
    /// Neither a line of the protocol nor an envelope.
    Malformed,
    /// Not valid UTF-8.
    InvalidUtf8,
    /// The payload is not one JSON value.
    InvalidJson,
    /// The channel breaks the rules.
    InvalidChannel,
    /// A raw event whose channel cannot be derived.
    UnknownEvent,
    /// The payload is over the limit.
    TooLarge,
    /// A line without end.
    LineTooLong,
    /// The table of channels is full.
    TooManyChannels,
    /// The latest records of all channels would take more than a quarter of the ring.
    RingFull,
    /// A sequence that is not a whole number.
    InvalidSequence,
}

/// What ingest counts. Written by its thread (Relaxed), read by metrics.
#[derive(Debug, Default)]
pub struct Stats {
    /// Records published.
    pub accepted: AtomicU64,
    /// Bytes of their payloads.
    pub accepted_bytes: AtomicU64,
    /// Records refused, by [`RefusalCode`].
    pub refused: [AtomicU64; 10],
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
    /// Connections refused for a wrong or missing token.
    pub unauthorized: AtomicU64,
    /// Connections refused because `connections_max` was reached.
    pub connections_refused: AtomicU64,
    /// Connections that ended inside a line or message.
    pub cut_off: AtomicU64,
    /// Channels that expired.
    pub expired: AtomicU64,
    /// Newest ordinal.
    pub ordinal: AtomicU64,
}

/// Bound listeners, nothing read yet.
#[derive(Debug)]
pub struct Ingest {}

impl Ingest {
    /// Binds the listeners.
    ///
    /// # Errors
    /// The address or path that could not be bound, and why.
    pub fn bind(_options: Options, _stats: Arc<Stats>) -> std::io::Result<Self> {
        todo!()
    }

    /// Where the TCP listener really listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        todo!()
    }

    /// Reads feeds until `shutdown` says true, then publishes `End`. On a current-thread runtime of its own.
    pub async fn run(
        self,
        _publisher: Publisher,
        _catalogue: Arc<Catalogue>,
        _wake: impl Fn(usize) + 'static,
        _shutdown: tokio::sync::watch::Receiver<bool>,
    ) {
        todo!()
    }
}
