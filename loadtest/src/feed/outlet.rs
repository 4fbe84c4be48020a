//! A feed's connection: writes lines, counts the time in which the server took none, reads what it answers.
//!
//! The feed's thread. Must not know what the lines say. Invariant: while it waits, answers are read, so that a server
//! is never held up by a feed that does not listen.

use super::answers::Answers;
use crate::clock;
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};

/// How long the last acknowledgement is waited for.
const ACKNOWLEDGED_WITHIN_NS: u64 = 10_000_000_000;

/// A connection to a server's ingest.
pub(crate) struct Outlet {
    socket: TcpStream,
    answers: Answers,
    blocked_ns: u64,
}

impl Outlet {
    /// Connects.
    pub(crate) fn connect(to: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, answers: Answers::default(), blocked_ns: 0 })
    }

    /// Time in which the server's socket took nothing, ns.
    pub(crate) fn blocked_ns(&self) -> u64 {
        self.blocked_ns
    }

    /// Lines that the server refused, as far as its answers were read.
    pub(crate) fn refused(&self) -> u64 {
        self.answers.refused
    }

    /// Writes all of `lines` and returns how long the socket took nothing, ns.
    pub(crate) fn write(&mut self, lines: &[u8]) -> io::Result<u64> {
        let (mut written, mut blocked_ns) = (0, 0);
        while written < lines.len() {
            match self.socket.write(&lines[written..]) {
                Ok(bytes) => written += bytes,
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

    /// Asks how many records were accepted; the answer comes after all of them were. `None`: it never came.
    pub(crate) fn acknowledged(&mut self) -> io::Result<Option<u64>> {
        self.write(b"PING\n")?;
        let deadline_ns = clock::now_ns() + ACKNOWLEDGED_WITHIN_NS;
        while self.answers.accepted.is_none() && clock::now_ns() < deadline_ns {
            self.poll(PollFlags::IN, deadline_ns)?;
        }
        Ok(self.answers.accepted)
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
