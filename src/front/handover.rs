//! A connection's life on the front: HTTP until it ends or is upgraded, then the raw socket goes to a shard.
//!
//! Thread: front, a task for each connection. It must not keep anything of a connection that was posted.
//! Invariant: the permit and the place in the mailbox are this task's until the newborn owns them.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use fastwebsockets::upgrade::UpgradeFut;
use hyper::server::conn::http1::{Builder, UpgradeableConnection};
use hyper::upgrade::Parts;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};

use crate::dialect::Opening;
use crate::shard::mailbox::{Newborn, Reservation};
use crate::subscriber::socket;

use super::acceptor::stopped;
use super::limits::Permit;
use super::occupation::{Occupation, Watcher};
use super::refusal::linger;
use super::routes::Routes;
use super::{Shared, count};

/// Time for a connection that was told to end to finish the answer it is at.
const FINISH_TIME: Duration = Duration::from_secs(1);

/// An accepted connection within the limits.
pub(super) struct Visitor {
    pub(super) socket: TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) permit: Permit,
}

/// A handshake that was answered with 101.
pub(super) struct Admission {
    pub(super) opening: Opening,
    /// What the client calls itself.
    pub(super) agent: Option<Box<str>>,
    pub(super) reservation: Reservation,
    pub(super) upgrade: UpgradeFut,
}

type Http = UpgradeableConnection<TokioIo<TcpStream>, Routes>;

/// Serves one connection to its end, or to the moment when a shard has it.
pub(super) async fn attend(
    visitor: Visitor,
    http: Builder,
    shared: Arc<Shared>,
    shutdown: watch::Receiver<bool>,
) {
    let Visitor { socket, peer, permit } = visitor;
    let lifetime = shared.options.head_timeout.saturating_mul(2);
    let (admit, admission) = oneshot::channel();
    let (occupation, watcher) = Occupation::new(Arc::clone(&shared.stats));
    let routes = Routes::new(Arc::clone(&shared), peer, admit, occupation, shutdown.clone());
    let mut connection = http.serve_connection(TokioIo::new(socket), routes).with_upgrades();
    let ended = drive(&mut connection, lifetime, watcher, shutdown).await;
    // hyper keeps its parts for every end but an upgrade.
    if let Some(parts) = connection.into_parts() {
        parts.service.ended(ended);
        return linger(parts.io.into_inner()).await;
    }
    if let Ok(admission) = admission.await {
        hand_over(admission, peer, permit, &shared).await;
    }
}

/// Runs the connection to its end. One that outlives its time or the server may finish the answer it is at, and a stream what its
/// subscriber gets; `None` is one that did not: a client that does not read, say.
async fn drive(
    connection: &mut Http,
    lifetime: Duration,
    mut watcher: Watcher,
    mut shutdown: watch::Receiver<bool>,
) -> Option<hyper::Result<()>> {
    tokio::select! {
        ended = &mut *connection => return Some(ended),
        () = stopped(&mut shutdown) => {}
        () = watcher.idle_for(lifetime) => {}
    }
    Pin::new(&mut *connection).graceful_shutdown();
    tokio::select! {
        ended = connection => Some(ended),
        () = watcher.idle_for(FINISH_TIME) => None,
    }
}

async fn hand_over(admission: Admission, peer: SocketAddr, permit: Permit, shared: &Shared) {
    let Admission { opening, agent, reservation, upgrade } = admission;
    match take_socket(upgrade).await {
        Ok((socket, read_ahead)) => {
            count(&shared.stats.upgraded);
            let socket = socket::Connection::Tcp(socket);
            let permit = Box::new(permit);
            reservation.post(Newborn { socket, peer, agent, read_ahead, opening, permit });
        }
        Err(error) => {
            count(&shared.stats.bad_handshakes);
            tracing::info!(%peer, %error, "a handshake was answered, but its socket is lost");
        }
    }
}

/// The raw socket and what was read behind the handshake's request. It leaves this runtime: left registered
/// here, it would die with the front.
async fn take_socket(upgrade: UpgradeFut) -> io::Result<(std::net::TcpStream, Vec<u8>)> {
    let websocket = pin!(upgrade).await.map_err(io::Error::other)?;
    let upgraded = websocket.into_inner().into_inner();
    let Parts { io, read_buf, .. } = upgraded
        .downcast::<TokioIo<TcpStream>>()
        .map_err(|_| io::Error::other("an upgraded connection is not the socket that was served"))?;
    // Copied: as it is, it would hold on to the buffer of the whole head.
    Ok((io.into_inner().into_std()?, read_buf.to_vec()))
}
