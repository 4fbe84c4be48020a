//! The accept loop: one connection at a time, past the limits, into a task of its own.
//!
//! Thread: front. It must not wait for any connection, nor spin when `accept` fails.
//! Invariant: at most `handshakes_max` connections are at a handshake or a short answer at once; the others are refused, handed over,
//! or answered for as long as they like.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::handover::{Visitor, attend};
use super::limits::{self, DESCRIPTORS_RESERVED, Exceeded, Limits, Permit};
use super::refusal::Refuser;
use super::{Counter, Options, Shared, count};

/// Pause after an `accept` that failed for want of something of ours. The connection waits in the backlog, so
/// `accept` would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Log lines about refusals are at least so far apart.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// Time for handshakes in progress when the server shuts down.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Header fields of a request. hyper's default, set because the answer to one more (431) is promised.
const HEADERS_MAX: usize = 100;

/// Bytes below which hyper refuses to make a buffer.
const HYPER_BUFFER_BYTES_MIN: usize = 8192;

/// The listener and all connections that are not handed over.
pub(super) struct Acceptor {
    listener: TcpListener,
    shared: Arc<Shared>,
    shutdown: watch::Receiver<bool>,
    http: http1::Builder,
    limits: Limits,
    serving: JoinSet<()>,
    refuser: Refuser,
    /// Whether the last `accept` failed: a lasting shortage is logged once, not ten times a second.
    starved: bool,
    /// Until when refusals are only counted: a line for each would make a storm of reconnects worse.
    quiet_until: Instant,
}

impl Acceptor {
    pub(super) fn new(listener: TcpListener, shared: Shared, shutdown: watch::Receiver<bool>) -> Self {
        let options = &shared.options;
        let stats = Arc::clone(&shared.stats);
        Self {
            http: http(options),
            limits: Limits::new(options.connections_max, options.connections_per_address_max, stats),
            listener,
            shared: Arc::new(shared),
            shutdown,
            serving: JoinSet::new(),
            refuser: Refuser::default(),
            starved: false,
            quiet_until: Instant::now(),
        }
    }

    /// Accepts until the shutdown, then lets what is being served end; what is left of it.
    pub(super) async fn run(mut self) -> Streams {
        let mut signal = self.shutdown.clone();
        let mut stop = pin!(stopped(&mut signal));
        loop {
            tokio::select! {
                biased;
                () = &mut stop => break,
                Some(ended) = self.serving.join_next() => note(ended),
                accepted = self.listener.accept() => {
                    let Some(pause) = self.take(accepted) else { continue };
                    tokio::select! {
                        () = &mut stop => break,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
        self.drain().await
    }

    /// Takes one result of `accept`; says how long not to accept.
    fn take(&mut self, accepted: io::Result<(TcpStream, SocketAddr)>) -> Option<Duration> {
        match accepted {
            Ok((socket, peer)) => {
                self.starved = false;
                count(&self.shared.stats.accepted);
                self.receive(socket, peer);
                None
            }
            Err(error) => self.failed(&error),
        }
    }

    fn failed(&mut self, error: &io::Error) -> Option<Duration> {
        count(&self.shared.stats.accept_errors);
        if is_the_clients(error) {
            return None;
        }
        if !self.starved {
            tracing::error!(%error, "cannot accept connections; trying again every 100 ms");
        }
        self.starved = true;
        Some(ACCEPT_PAUSE)
    }

    fn receive(&mut self, socket: TcpStream, peer: SocketAddr) {
        // It fails only for a client that is gone already.
        let lowat_bytes = self.shared.options.notsent_lowat_bytes;
        let is_set = socket.set_nodelay(true).and_then(|()| {
            // What an event stream's client does not take shall wait where it can still be conflated.
            SockRef::from(&socket).set_tcp_notsent_lowat(lowat_bytes)
        });
        if is_set.is_err() {
            return;
        }
        match self.admit(&socket, peer) {
            Ok(permit) => {
                let (http, shared) = (self.http.clone(), Arc::clone(&self.shared));
                self.serving.spawn(attend(
                    Visitor { socket, peer, permit },
                    http,
                    shared,
                    self.shutdown.clone(),
                ));
            }
            Err((counter, reason)) => {
                count(counter(&self.shared.stats));
                if Instant::now() >= self.quiet_until {
                    self.quiet_until = Instant::now() + QUIET_TIME;
                    tracing::warn!(%peer, reason, "refusing connections");
                }
                self.refuser.refuse(socket, reason);
            }
        }
    }

    fn admit(&mut self, socket: &TcpStream, peer: SocketAddr) -> Result<Permit, (Counter, &'static str)> {
        if limits::is_near_the_last(socket, DESCRIPTORS_RESERVED) {
            return Err((|stats| &stats.refused_descriptors, "too few file descriptors"));
        }
        let permit = self.limits.admit(peer.ip()).map_err(|exceeded| -> (Counter, _) {
            match exceeded {
                Exceeded::Total => (|stats| &stats.refused_total, "too many connections"),
                Exceeded::Address => {
                    (|stats| &stats.refused_address, "too many connections from this address")
                }
            }
        })?;
        if self.at_hand() >= self.shared.options.handshakes_max {
            return Err((|stats| &stats.refused_busy, "too many handshakes at once"));
        }
        Ok(permit)
    }

    /// Connections at a handshake or a short answer: neither at a stream nor at a poll that waits.
    fn at_hand(&self) -> usize {
        let stats = &self.shared.stats;
        // ORDERING: Relaxed: gauges; one that falls late makes the limit no looser than it was a moment ago.
        let gauge = |gauge: &AtomicU64| usize::try_from(gauge.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        self.serving.len().saturating_sub(gauge(&stats.streams)).saturating_sub(gauge(&stats.polls))
    }

    /// Closes the listener, so that clients go elsewhere at once, and waits for handshakes; streams end with their subscribers.
    async fn drain(self) -> Streams {
        drop(self.listener);
        let mut streams = Streams(self.serving);
        // Each connection bounds itself: what is left now is a stream, or a client that takes its time to read its last answer.
        let _ = tokio::time::timeout(DRAIN_TIME, streams.join()).await;
        streams
    }
}

/// Connections that outlive the accept loop: the front answers them for a shard.
#[derive(Debug, Default)]
pub struct Streams(JoinSet<()>);

impl Streams {
    /// Waits until the last one has ended. A shard ends the streams of its subscribers, so it must be told to end before.
    pub async fn end(mut self) {
        self.join().await;
    }

    async fn join(&mut self) {
        while let Some(ended) = self.0.join_next().await {
            note(ended);
        }
    }
}

/// Resolves when the server shuts down. A sender that is gone means the same.
pub(super) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|stop| *stop).await;
}

fn http(options: &Options) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // Who has nothing more to say still reads its answer.
        .half_close(true)
        .header_read_timeout(options.head_timeout)
        .max_headers(HEADERS_MAX)
        .max_header_size(options.head_bytes_max)
        .max_buf_size(options.head_bytes_max.max(HYPER_BUFFER_BYTES_MIN));
    http
}

/// Whether `accept` only tells of a connection that broke while it waited: the next one is fine.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// A task that panicked took its connection with it and nothing else; that it did is our bug.
fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
