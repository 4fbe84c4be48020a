//! Turning a connection away before HTTP is spoken, and closing one so that its last answer arrives.
//!
//! Thread: front. It must not wait for the client: what cannot be said at once is not said.
//! Invariant: at most [`LINGERING_MAX`] refused connections are held, each for [`LINGER_TIME`] at most.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::limits::{DESCRIPTORS_RESERVED, is_near_the_last};

/// Seconds after which a client that was refused for lack of room may try again.
pub(super) const RETRY_AFTER_SECONDS: &str = "5";

/// Refused connections held until their client has read why.
const LINGERING_MAX: usize = 256;

/// How long a client may take to read its last answer and close.
const LINGER_TIME: Duration = Duration::from_secs(1);

/// Bytes of a request that is not wanted any more which are still read, so that the close is not a reset.
const LINGER_BYTES_MAX: u64 = 256 * 1024;

/// Turns connections away without a task of hyper's for each.
#[derive(Default)]
pub(super) struct Refuser {
    lingering: JoinSet<()>,
}

impl Refuser {
    /// Answers 503 as far as the socket takes it at once, and closes.
    pub(super) fn refuse(&mut self, socket: TcpStream, reason: &str) {
        let answer = format!(
            "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {RETRY_AFTER_SECONDS}\r\nConnection: close\r\n\
             Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{reason}\n",
            reason.len() + 1
        );
        // By the plain call: the runtime calls a socket writable only after a turn of the reactor.
        if SockRef::from(&socket).send(answer.as_bytes()).is_err() {
            return;
        }
        while self.lingering.try_join_next().is_some() {}
        // Of the descriptors left to feeds and the operator, half at most are held by those turned away.
        if self.lingering.len() < LINGERING_MAX && !is_near_the_last(&socket, DESCRIPTORS_RESERVED / 2) {
            self.lingering.spawn(linger(socket));
        }
    }
}

/// Says that nothing more will come, then reads what the client still sends until it closes too: a socket closed
/// over unread bytes is reset, and a reset takes the answer away from a client that has not read it yet.
pub(super) async fn linger(mut socket: TcpStream) {
    // It fails when the client is gone or the shutdown was sent already; then reading ends at once or is still right.
    let _ = socket.shutdown().await;
    let (mut rest, mut nowhere) = (socket.take(LINGER_BYTES_MAX), tokio::io::sink());
    let drained = tokio::io::copy(&mut rest, &mut nowhere);
    // Whichever way it ends, the socket closes here.
    let _ = tokio::time::timeout(LINGER_TIME, drained).await;
}
