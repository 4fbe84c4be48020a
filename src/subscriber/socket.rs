//! The socket seam: everything a shard does with a subscriber's connection.
//!
//! Owned by the shard's thread. It never blocks and keeps no bytes. Invariant: what `offer` says was taken is sent in order, once.

use std::io;
use std::net::Shutdown;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SendFlags;
use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

use crate::dialect::shape::Framing;

/// A connected, non-blocking socket on its way to a shard, on no runtime.
#[derive(Debug)]
pub enum Connection {
    /// Plain TCP.
    Tcp(std::net::TcpStream),
    /// One end of a pair; whoever has the other one speaks to the client.
    Pipe(std::os::unix::net::UnixStream),
    /// In memory, for who drives the shard.
    #[cfg(feature = "drive")]
    Sim(super::sim::SimPipe),
}

/// A subscriber's connection.
#[derive(Debug)]
pub enum Socket {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A pipe to the front, which answers the client by HTTP. Boxed, so that it makes no other larger: there are few.
    Pipe(Box<UnixStream>),
    /// In memory, for who drives the shard.
    #[cfg(feature = "drive")]
    Sim(super::sim::SimPipe),
}

impl Socket {
    /// Takes a connected, non-blocking socket onto this thread's runtime. `notsent_lowat_bytes` bounds what waits in the kernel unsent, so
    /// that what waits is ours to conflate.
    ///
    /// # Errors
    /// When the socket has gone, or the runtime cannot watch one more.
    pub fn adopt(connection: Connection, notsent_lowat_bytes: u32) -> io::Result<Self> {
        match connection {
            Connection::Tcp(socket) => {
                socket.set_nodelay(true)?;
                SockRef::from(&socket).set_tcp_notsent_lowat(notsent_lowat_bytes)?;
                TcpStream::from_std(socket).map(Self::Tcp)
            }
            Connection::Pipe(socket) => {
                // The nearest that a pipe has: what waits in it is what the front has not taken.
                SockRef::from(&socket).set_send_buffer_size(notsent_lowat_bytes as usize)?;
                UnixStream::from_std(socket).map(|stream| Self::Pipe(Box::new(stream)))
            }
            #[cfg(feature = "drive")]
            Connection::Sim(pipe) => Ok(Self::Sim(pipe)),
        }
    }

    /// What goes around the messages on it: what is behind a pipe speaks HTTP, and wants lines.
    #[must_use]
    pub fn framing(&self) -> Framing {
        match self {
            Self::Tcp(_) => Framing::WebSocket,
            Self::Pipe(_) => Framing::EventStream,
            #[cfg(feature = "drive")]
            Self::Sim(_) => Framing::WebSocket,
        }
    }

    /// Hands bytes to the kernel; how many it took, 0 when it is full.
    ///
    /// # Errors
    /// When the connection has failed.
    pub fn offer(&self, bytes: &[u8]) -> io::Result<usize> {
        let offered = match self {
            Self::Tcp(stream) => send_at_once(stream, bytes),
            Self::Pipe(stream) => stream.try_write(bytes),
            #[cfg(feature = "drive")]
            Self::Sim(pipe) => pipe.try_write(bytes),
        };
        none_if_would_block(offered).map(Option::unwrap_or_default)
    }

    /// Reads what is there; `None`: nothing now, `Some(0)`: the peer will send no more.
    ///
    /// # Errors
    /// When the connection has failed.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        none_if_would_block(match self {
            Self::Tcp(stream) => stream.try_read(buffer),
            Self::Pipe(stream) => stream.try_read(buffer),
            #[cfg(feature = "drive")]
            Self::Sim(pipe) => pipe.try_read(buffer),
        })
    }

    /// Whether there may be something to read; else the context's waker is called once there is.
    pub fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(context),
            Self::Pipe(stream) => stream.poll_read_ready(context),
            #[cfg(feature = "drive")]
            Self::Sim(pipe) => pipe.poll_read_ready(context),
        }
    }

    /// Whether something may be offered; else the context's waker is called once it may.
    pub fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_write_ready(context),
            Self::Pipe(stream) => stream.poll_write_ready(context),
            #[cfg(feature = "drive")]
            Self::Sim(pipe) => pipe.poll_write_ready(context),
        }
    }

    /// Ends our side of the connection, once all that was taken is sent; the peer's is still read.
    pub fn finish(&self) {
        // It fails where the peer is gone, which the next read tells.
        let _ = match self {
            Self::Tcp(stream) => SockRef::from(stream).shutdown(Shutdown::Write),
            Self::Pipe(stream) => SockRef::from(&**stream).shutdown(Shutdown::Write),
            // Its client stops reading at the close frame.
            #[cfg(feature = "drive")]
            Self::Sim(_) => Ok(()),
        };
    }

    /// Makes the drop that follows reset the connection, so that the kernel keeps nothing of it.
    pub fn reset(&self) {
        // A socket that is gone already needs no reset; and a pipe keeps nothing that its other end does not read.
        if let Self::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

/// Straight to the kernel: whether a socket may be written to stands in a cache line of tokio's, which is cold where there are thousands
/// of them. Only a kernel that is full is asked through tokio, so that it waits for the socket from then on.
fn send_at_once(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match rustix::net::send(stream, bytes, SendFlags::NOSIGNAL) {
        Err(Errno::AGAIN) => stream.try_write(bytes),
        sent => Ok(sent?),
    }
}

fn none_if_would_block(done: io::Result<usize>) -> io::Result<Option<usize>> {
    match done {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Read as _;
    use std::net::{TcpListener, TcpStream};
    use std::task::Waker;

    use super::*;

    /// A subscriber's socket, and its client's.
    fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        (Socket::adopt(Connection::Tcp(socket), 1 << 17).unwrap(), client)
    }

    /// What goes to the kernel past tokio must be known to tokio once it is refused: else a shard would ask a full socket again and
    /// again, or wait for one that nobody watches.
    #[test]
    fn who_was_refused_is_woken_when_there_is_room_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (socket, mut client) = pair();
            let writable = || poll_fn(|context| socket.poll_writable(context));
            writable().await.unwrap();
            for _ in 0..3 {
                let bytes = [7; 1 << 16];
                let mut offered = 0;
                while let taken @ 1.. = socket.offer(&bytes).unwrap() {
                    offered += taken;
                }
                let is_pending = socket.poll_writable(&mut Context::from_waker(Waker::noop())).is_pending();
                assert!(is_pending, "it counts as writable after {offered} bytes");
                client.read_exact(&mut vec![0; offered]).unwrap();
                tokio::time::timeout(Duration::from_secs(10), writable()).await.unwrap().unwrap();
            }
        });
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (socket, client) = pair();
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
            let told = poll_fn(|context| socket.poll_readable(context));
            tokio::time::timeout(Duration::from_secs(10), told).await.unwrap().unwrap();
            assert!(socket.offer(b"anything").is_err());
        });
    }
}
