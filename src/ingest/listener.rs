//! The listeners: binds them, accepts feeds within the limit, and tells HTTP from lines by the first bytes.
//!
//! Ingest thread. It reads no more of a feed than it needs to tell what it speaks; those bytes are handed on.
//! Invariant: every accepted connection holds a [`Seat`] until its last task ends, whatever it was upgraded to.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::clock::Now;
use super::faults::Faults;
use super::presence::Presence;
use super::sequencer::add;
use super::{AUTH_TIMEOUT, Intake, Stats, aging, http, line_feed};

/// Out of descriptors, an accept fails at once and again: this long it is left alone.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A feed that says nothing for so long is asked by the kernel whether it is still there,
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// and again this often, before it is given up.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
/// No line begins with one of these: a channel holds no space and needs an `@`.
const HTTP_METHODS: [&[u8]; 9] =
    [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT "];

/// Bound sockets.
#[derive(Debug)]
pub(super) struct Listeners {
    tcp: Option<std::net::TcpListener>,
    unix: Option<UnixSocket>,
    address: Option<SocketAddr>,
}

impl Listeners {
    pub(super) fn bind(tcp: Option<SocketAddr>, unix: Option<&Path>) -> io::Result<Self> {
        let listen = |address| bind_tcp(address).map_err(|why| named("ingest.listen", address, &why));
        let tcp = tcp.map(listen).transpose()?;
        let listen = |path: &Path| bind_unix(path).map_err(|why| named("ingest.unix", path.display(), &why));
        let unix = unix.map(listen).transpose()?;
        let address = tcp.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
        Ok(Self { tcp, unix, address })
    }

    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Serves feeds until `shutdown` says true; what then is still connected is dropped.
    pub(super) async fn run(self, intake: &Rc<Intake>, mut shutdown: watch::Receiver<bool>) {
        let feeds = LocalSet::new();
        let accepting = feeds.run_until(async {
            tokio::join!(accept_tcp(self.tcp, intake), accept_unix(&self.unix, intake), sweep(intake));
        });
        tokio::select! {
            biased;
            // A sender that is gone cannot say true any more: that too is the end.
            _ = shutdown.wait_for(|over| *over) => {}
            () = accepting => {}
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn bind_unix(path: &Path) -> io::Result<UnixSocket> {
    remove_stale(path)?;
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    listener.set_nonblocking(true)?;
    Ok(UnixSocket { listener, path: path.to_owned() })
}

// A socket file outlives the process that was killed; only one that refuses connections is nobody's.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        _ => Ok(()),
    }
}

fn named(key: &str, place: impl std::fmt::Display, why: &io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{key} {place}: {why}"))
}

/// A Unix listener; its file goes when it does.
#[derive(Debug)]
struct UnixSocket {
    listener: std::os::unix::net::UnixListener,
    path: PathBuf,
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if let Err(why) = std::fs::remove_file(&self.path) {
            tracing::warn!(path = ?self.path, %why, "the ingest socket's file could not be removed");
        }
    }
}

async fn accept_tcp(listener: Option<std::net::TcpListener>, intake: &Rc<Intake>) {
    let Some(Ok(listener)) = listener.map(TcpListener::from_std).map(logged) else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some(seat) = Seat::take(intake, peer.to_string().into()) else { continue };
                tokio::task::spawn_local(serve_tcp(stream, seat));
            }
            Err(why) => pause(&why).await,
        }
    }
}

async fn accept_unix(socket: &Option<UnixSocket>, intake: &Rc<Intake>) {
    let listener = socket.as_ref().map(|socket| socket.listener.try_clone().and_then(UnixListener::from_std));
    let Some(Ok(listener)) = listener.map(logged) else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let Some(seat) = Seat::take(intake, "unix".into()) else { continue };
                tokio::task::spawn_local(line_feed::serve(stream, Vec::new(), seat));
            }
            Err(why) => pause(&why).await,
        }
    }
}

fn logged<T>(listener: io::Result<T>) -> io::Result<T> {
    listener.inspect_err(|why| tracing::error!(%why, "a bound listener cannot be waited for"))
}

async fn pause(why: &io::Error) {
    tracing::warn!(%why, "a feed could not be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

async fn sweep(intake: &Rc<Intake>) {
    let Some(every) = aging::every(&intake.options) else { return };
    let mut rounds = tokio::time::interval(every);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        while !intake.sequencer.borrow_mut().sweep(Now::read()) {
            tokio::task::yield_now().await;
        }
    }
}

/// A connection's place among `connections_max`, given back when it is dropped.
pub(super) struct Seat {
    pub(super) intake: Rc<Intake>,
    /// For counting and logging what goes wrong on it.
    pub(super) faults: Faults,
    /// What it is called in the log.
    name: Arc<str>,
}

impl Seat {
    fn take(intake: &Rc<Intake>, feed: Arc<str>) -> Option<Rc<Self>> {
        let Stats { connections, connections_refused, .. } = &*intake.stats;
        let limit = intake.options.connections_max as u64;
        if limit > 0 && connections.load(Ordering::Relaxed) >= limit {
            add(connections_refused, 1);
            tracing::warn!(feed = &*feed, limit, "feed refused: too many connections");
            return None;
        }
        add(connections, 1);
        let faults = Faults::new(Arc::clone(&feed), Arc::clone(&intake.stats));
        Some(Rc::new(Self { intake: Rc::clone(intake), faults, name: feed }))
    }

    /// A feed speaks on this connection from now on.
    pub(super) fn arrive(&self) -> Presence {
        self.intake.feeds.arrive(&self.name)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.intake.stats.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn serve_tcp(mut stream: TcpStream, seat: Rc<Seat>) {
    set_options(&stream);
    let sniffed = match seat.intake.admits(None) {
        true => sniff(&mut stream).await,
        false => match timeout(AUTH_TIMEOUT, sniff(&mut stream)).await {
            Ok(sniffed) => sniffed,
            Err(_) => return seat.faults.unauthorized(Now::read()),
        },
    };
    let Ok((first_bytes, speaks)) = sniffed else { return };
    match speaks {
        Speaks::Lines => line_feed::serve(stream, first_bytes, seat).await,
        Speaks::Http => {
            let (reader, writer) = stream.into_split();
            http::serve(tokio::io::join(io::Cursor::new(first_bytes).chain(reader), writer), seat).await;
        }
    }
}

// Answers are small and waited for, and a feed that vanished must not keep its seat. A socket that refuses the
// options is slower, not wrong.
fn set_options(stream: &TcpStream) {
    let probes = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
}

/// What a feed speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    Lines,
    Http,
}

async fn sniff(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(Vec<u8>, Speaks)> {
    let mut first_bytes = Vec::with_capacity(16);
    loop {
        let came = stream.read_buf(&mut first_bytes).await?;
        match speaks(&first_bytes) {
            Some(speaks) => return Ok((first_bytes, speaks)),
            // It ended before it could be told: the line protocol has a word for that.
            None if came == 0 => return Ok((first_bytes, Speaks::Lines)),
            None => {}
        }
    }
}

/// `None` as long as the bytes could become either.
fn speaks(first_bytes: &[u8]) -> Option<Speaks> {
    if HTTP_METHODS.iter().any(|method| first_bytes.starts_with(method)) {
        return Some(Speaks::Http);
    }
    let undecided = HTTP_METHODS.iter().any(|method| method.starts_with(first_bytes));
    (!undecided).then_some(Speaks::Lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_http_from_lines_as_soon_as_they_can() {
        for undecided in ["", "P", "PO", "POST", "GET", "PATC"] {
            assert_eq!(speaks(undecided.as_bytes()), None, "{undecided:?}");
        }
        for http in ["GET ", "POST /publish", "DELETE /"] {
            assert_eq!(speaks(http.as_bytes()), Some(Speaks::Http), "{http:?}");
        }
        for lines in ["PI", "PING\n", "a", "AUTH x", "\n", "POST\n", "POSTUSDT@trade {}", "\u{16}\u{3}\u{1}"]
        {
            assert_eq!(speaks(lines.as_bytes()), Some(Speaks::Lines), "{lines:?}");
        }
    }
}
