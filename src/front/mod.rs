//! The front: accept, HTTP, handshake, hand-over to a shard.
//! SKELETON: the public face below is the contract.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::shard::mailbox::Mailbox;

/// What the front must know.
#[derive(Clone, Debug)]
pub struct Options {
    /// Subscribers' listener.
    pub listen: SocketAddr,
    /// Connections in all; 0: no limit.
    pub connections_max: usize,
    /// Connections from one address; 0: no limit.
    pub connections_per_address_max: usize,
    /// Connections whose handshake is not done; each may hold `head_bytes_max`.
    pub handshakes_max: usize,
    /// Bytes of a request's head.
    pub head_bytes_max: usize,
    /// Time for a request's head.
    pub head_timeout: Duration,
    /// Channels that a handshake may subscribe to.
    pub channels_max: usize,
}

/// What the front counts. Written by its thread (Relaxed), read by metrics.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections now, those handed over included.
    pub connections: AtomicU64,
    /// Connections handed to a shard.
    pub upgraded: AtomicU64,
    /// Refused: `connections_max` reached.
    pub refused_total: AtomicU64,
    /// Refused: `connections_per_address_max` reached.
    pub refused_address: AtomicU64,
    /// Refused: every mailbox full, or `handshakes_max` reached.
    pub refused_busy: AtomicU64,
    /// Handshakes that broke RFC 6455 or asked for something impossible.
    pub bad_handshakes: AtomicU64,
    /// Requests for a path that does not exist.
    pub not_found: AtomicU64,
    /// Connections that ended or timed out before a whole request was read, or were not HTTP.
    pub bad_requests: AtomicU64,
    /// `accept` calls that failed (out of file descriptors, say).
    pub accept_errors: AtomicU64,
}

/// A bound listener, nothing accepted yet.
#[derive(Debug)]
pub struct Front {}

impl Front {
    /// Binds the listener.
    ///
    /// # Errors
    /// The address that could not be bound, and why.
    pub fn bind(_options: Options, _stats: Arc<Stats>) -> std::io::Result<Self> {
        todo!()
    }

    /// Where it really listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        todo!()
    }

    /// Accepts until `shutdown` says true. On a current-thread runtime.
    pub async fn run(self, _shards: Vec<Mailbox>, _shutdown: tokio::sync::watch::Receiver<bool>) {
        todo!()
    }
}
