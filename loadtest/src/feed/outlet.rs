//! A feed's connection: writes records, counts the time in which the server took none, reads what it answers.
//!
//! The feed's thread. Must not know what the records say. Invariant: while it waits, answers are read, so that a server
//! is never held up by a feed that does not listen.

use super::answers::Answers;
use super::protocol::Protocol;
use crate::clock;
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

/// How long the last acknowledgement is waited for.
const ACKNOWLEDGED_WITHIN_NS: u64 = 10_000_000_000;

/// A connection to a server's ingest.
pub(crate) struct Outlet {
    socket: TcpStream,
    protocol: Protocol,
    answers: Answers,
    blocked_ns: u64,
}

impl Outlet {
    /// Connects, and greets a server that wants it.
    pub(crate) fn connect(to: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        let mut socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.write_all(&protocol.greeting())?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, protocol, answers: Answers::new(protocol), blocked_ns: 0 })
    }

    /// Time in which the server's socket took nothing, ns.
    pub(crate) fn blocked_ns(&self) -> u64 {
        self.blocked_ns
    }

    /// Records that the server refused, as far as its answers were read.
    pub(crate) fn refused(&self) -> u64 {
        self.answers.refused
    }

    /// Writes all of `records`, whole ones, and returns how long the socket took nothing, ns.
    pub(crate) fn write(&mut self, records: &[u8]) -> io::Result<u64> {
        let reply = self.answers.reply();
        Ok(self.write_all(reply)? + self.write_all(records)?)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let (mut written, mut blocked_ns) = (0, 0);
        while written < bytes.len() {
            match self.socket.write(&bytes[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let since_ns = clock::now_ns();
                    self.poll(PollFlags::IN | PollFlags::OUT, u64::MAX)?;
                    blocked_ns += clock::now_ns() - since_ns;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.blocked_ns += blocked_ns;
        Ok(blocked_ns)
    }

    /// Waits for the time, reading answers meanwhile.
    pub(crate) fn wait_until(&mut self, deadline_ns: u64) -> io::Result<()> {
        while clock::now_ns() < deadline_ns {
            self.poll(PollFlags::IN, deadline_ns)?;
        }
        Ok(())
    }

    /// Asks how many of the `sent` records were accepted; the answer comes after all of them were. `None`: it
    /// never came.
    pub(crate) fn acknowledged(&mut self, sent: u64) -> io::Result<Option<u64>> {
        self.write(self.protocol.question())?;
        let deadline_ns = clock::now_ns() + ACKNOWLEDGED_WITHIN_NS;
        while self.answers.accepted(sent).is_none() && clock::now_ns() < deadline_ns {
            self.poll(PollFlags::IN, deadline_ns)?;
        }
        Ok(self.answers.accepted(sent))
    }

    /// Waits for `flags` or the deadline, and takes what the server answered meanwhile.
    fn poll(&mut self, flags: PollFlags, deadline_ns: u64) -> io::Result<()> {
        let left_ns = deadline_ns.saturating_sub(clock::now_ns()).min(ACKNOWLEDGED_WITHIN_NS);
        let mut watched = [PollFd::new(&self.socket, flags)];
        match poll(&mut watched, Some(&clock::timespec(left_ns))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if watched[0].revents().intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.answers.read(&mut self.socket)?;
        }
        Ok(())
    }
}
