//! One subscriber of all channels: upgrade and subscription, then bytes, counted or compared.
//!
//! The audience's thread. Must not copy what it only counts. Invariant: counting begins behind the answer to the
//! subscription, before anything was published, so the first byte counted is the first record's.

use super::cursor::{Cursor, Proof};
use super::script::Script;
use crate::frame;
use crate::subscription::{Answer, Dialect};
use rustix::net::{RecvFlags, recv};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Subscriber {
    pub(super) socket: TcpStream,
    pub(super) cursor: Cursor,
    /// Of the one that is compared byte by byte.
    proof: Option<Proof>,
    /// The record at which its stream was not what it had to be.
    pub(super) differs_at: Option<usize>,
    pub(super) is_closed: bool,
}

impl Subscriber {
    /// Connects, subscribes to all channels, and waits for the answer.
    pub(super) fn connect(to: SocketAddr, channels: &[String], is_compared: bool) -> io::Result<Self> {
        let mut socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWERED_WITHIN))?;
        socket.write_all(Dialect::Binance.request(&to.to_string(), None).as_bytes())?;
        let left = upgraded(&mut socket)?;
        socket.write_all(&Dialect::Binance.subscribe(channels))?;
        subscribed(&mut socket, left)?;
        socket.set_nonblocking(true)?;
        let proof = is_compared.then(Proof::default);
        Ok(Self { socket, cursor: Cursor::default(), proof, differs_at: None, is_closed: false })
    }

    /// Reads once: the records that are whole now. `None` where there was nothing to read.
    pub(super) fn read(&mut self, scratch: &mut [u8], script: &Script<'_>) -> Option<Range<usize>> {
        let is_read = self.proof.is_some();
        let flags = if is_read { RecvFlags::empty() } else { RecvFlags::TRUNC };
        match recv(&self.socket, &mut *scratch, flags).map_err(io::Error::from) {
            Ok((_, 0)) => self.is_closed = true,
            Ok((_, bytes)) => {
                if is_read {
                    self.compare(&scratch[..bytes], script);
                }
                return Some(self.cursor.advance(bytes, &script.ends));
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.is_closed = true,
        }
        None
    }

    fn compare(&mut self, came: &[u8], script: &Script<'_>) {
        if let (Some(proof), None) = (&mut self.proof, self.differs_at) {
            self.differs_at = proof.take(came, script).err();
        }
    }

    /// Whether it got all, and nothing else.
    pub(super) fn is_whole(&self, script: &Script<'_>) -> bool {
        self.cursor.bytes() == script.bytes() && self.differs_at.is_none()
    }

    /// Tells the server that somebody is here.
    pub(super) fn pong(&self) {
        let mut pong = Vec::new();
        frame::append_client(&mut pong, frame::PONG, &[]);
        // A socket too full for a pong is about to be closed by the server, which is what then counts.
        let _ = (&self.socket).write(&pong);
    }
}

/// Reads the answer to the upgrade; what came behind it.
fn upgraded(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut bytes = Vec::new();
    loop {
        read_more(socket, &mut bytes)?;
        if let Some(at) = memchr::memmem::find(&bytes, END) {
            if bytes.starts_with(b"HTTP/1.1 101") {
                return Ok(bytes.split_off(at + END.len()));
            }
            let status = String::from_utf8_lossy(&bytes[..at]);
            let status = status.lines().next().unwrap_or_default();
            return Err(io::Error::other(format!("the server refused the upgrade: {status}")));
        }
    }
}

/// Reads frames, of which `bytes` have come, until the subscription is answered.
fn subscribed(socket: &mut TcpStream, mut bytes: Vec<u8>) -> io::Result<()> {
    loop {
        let mut answer = Answer::Other;
        let walked = frame::walk(&bytes, |frame| {
            if frame.opcode == frame::TEXT && answer == Answer::Other {
                answer = Dialect::Binance.answer(frame.payload);
            }
        });
        let taken =
            walked.map_err(|error| io::Error::other(format!("the server sent a bad frame: {error:?}")))?;
        match answer {
            Answer::Subscribed if taken == bytes.len() => return Ok(()),
            Answer::Subscribed => return Err(io::Error::other("there is more behind the last answer")),
            Answer::Refused => return Err(io::Error::other("the server refused the subscription")),
            Answer::Other | Answer::Welcome => {}
        }
        bytes.drain(..taken);
        read_more(socket, &mut bytes)?;
    }
}

fn read_more(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 4096];
    match socket.read(&mut chunk)? {
        0 => Err(io::Error::other("the server closed a connection before it was subscribed")),
        count => {
            bytes.extend_from_slice(&chunk[..count]);
            Ok(())
        }
    }
}
