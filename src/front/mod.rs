//! The front: accept, limits, HTTP, WebSocket handshake, hand-over to a shard.
//!
//! Thread: front, a current-thread runtime. It must never block, and never write a byte behind a handshake's answer.
//! Invariant: whatever is taken for a connection (a permit, a place in a mailbox) is owned by the one task that
//! serves it, and goes with the socket or with the task.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use crate::shard::mailbox::Mailbox;

mod acceptor;
mod agent;
mod answer;
mod fallback;
mod handover;
mod limits;
mod market;
mod occupation;
mod page;
mod refusal;
mod routes;

use acceptor::Acceptor;
pub use acceptor::Streams;
use fallback::Room;
pub use market::Market;

/// Connections that may wait to be accepted: room for a reconnect storm. The kernel caps it at its `somaxconn`.
const BACKLOG: i32 = 4096;

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
    /// Time for a request's head. A connection that is not handed over is told to end after twice this, and has a
    /// second for the answer it is at and one to read it.
    pub head_timeout: Duration,
    /// Channels that a handshake may subscribe to, or a fallback ask for by name.
    pub channels_max: usize,
    /// Patterns that a fallback may ask for.
    pub patterns_max: usize,
    /// Channels that the patterns of one fallback may match.
    pub pattern_channels_max: usize,
    /// Records of a channel that a poll gets again; who missed more gets a snapshot.
    pub resume_records_max: usize,
    /// `TCP_NOTSENT_LOWAT` of accepted sockets, in bytes.
    pub notsent_lowat_bytes: u32,
}

/// What the front counts. Written by its thread (Relaxed), read by metrics.
#[derive(Debug, Default)]
pub struct Stats {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Connections now, those handed over included. Falls on the thread that drops the permit.
    pub connections: AtomicU64,
    /// Connections handed to a shard, event streams included.
    pub upgraded: AtomicU64,
    /// Event streams now. Falls on the thread that drops the subscriber.
    pub streams: AtomicU64,
    /// Polls that wait now.
    pub polls: AtomicU64,
    /// Refused: `connections_max` reached.
    pub refused_total: AtomicU64,
    /// Refused: `connections_per_address_max` reached.
    pub refused_address: AtomicU64,
    /// Refused: the process has hardly a file descriptor left.
    pub refused_descriptors: AtomicU64,
    /// Refused: every mailbox full, or `handshakes_max` reached.
    pub refused_busy: AtomicU64,
    /// Handshakes that broke RFC 6455 or asked for something impossible.
    pub bad_handshakes: AtomicU64,
    /// Requests for a path that does not exist.
    pub not_found: AtomicU64,
    /// Connections that ended in the middle of a request, timed out before there was one, or were not HTTP.
    /// One that came and went without a word (a port check) is not counted.
    pub bad_requests: AtomicU64,
    /// `accept` calls that failed (out of file descriptors, say).
    pub accept_errors: AtomicU64,
}

/// Which counter a refusal goes to.
type Counter = fn(&Stats) -> &AtomicU64;

/// Counts one.
fn count(counter: &AtomicU64) {
    // ORDERING: Relaxed: a counter guards no other memory.
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What every connection's task may look at.
struct Shared {
    options: Options,
    stats: Arc<Stats>,
    market: Market,
    room: Room,
    shards: Vec<Mailbox>,
}

/// A bound listener, nothing accepted yet.
#[derive(Debug)]
pub struct Front {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
    stats: Arc<Stats>,
}

impl Front {
    /// Binds the listener.
    ///
    /// # Errors
    /// The address that could not be bound, and why.
    pub fn bind(options: Options, stats: Arc<Stats>) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("subscribers.listen {}: {error}", options.listen))
        };
        let listener = listen(options.listen).map_err(named)?;
        let address = listener.local_addr().map_err(named)?;
        Ok(Self { listener, address, options, stats })
    }

    /// Where it really listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts until `shutdown` says true or its sender is gone, then gives the handshakes in progress one second.
    /// On a current-thread runtime. Connections handed over are the shards'; what it answers for them goes on in the streams that it
    /// returns.
    pub async fn run(self, market: Market, shards: Vec<Mailbox>, shutdown: watch::Receiver<bool>) -> Streams {
        let address = self.address;
        let (options, stats, room) = (self.options, self.stats, Room::default());
        let shared = Shared { options, stats, market, room, shards };
        match tokio::net::TcpListener::from_std(self.listener) {
            Ok(listener) => Acceptor::new(listener, shared, shutdown).run().await,
            Err(error) => {
                tracing::error!(%address, %error, "the front cannot use its listener");
                Streams::default()
            }
        }
    }
}

/// Not `std`'s `bind`: its backlog of 128 turns a reconnect storm into time-outs.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server takes its port back while old connections are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
