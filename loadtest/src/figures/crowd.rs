//! Native subscribers that share a thread: what each hears is handed on, or thrown away unread.
//!
//! The thread that turns it. Must not wait for one subscriber. Invariant: a refusal or an end of any of them is an error, never a
//! figure.

use crate::check::{Connection, Heard};
use crate::clock;
use crate::frame;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::net::{RecvFlags, recv};
use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;

const SCRATCH_BYTES: usize = 1 << 20;
const SETTLED_WITHIN_NS: u64 = 30_000_000_000;
/// Who throws bytes away sees no pings: a pong goes out unasked, well inside the server's 60 s.
const KEEP_ALIVE_NS: u64 = 15_000_000_000;

/// Some connections.
pub(super) struct Crowd {
    connections: Vec<Connection>,
    epoll: rustix::fd::OwnedFd,
    scratch: Vec<u8>,
    next_pong_ns: u64,
}

impl Crowd {
    /// So many connections, greeted by the server.
    pub(super) fn gather(to: SocketAddr, count: usize) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let scratch = vec![0; SCRATCH_BYTES];
        let next_pong_ns = clock::now_ns() + KEEP_ALIVE_NS;
        let mut crowd = Self { connections: Vec::with_capacity(count), epoll, scratch, next_pong_ns };
        for index in 0..count {
            let connection = Connection::open(to, None)?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&crowd.epoll, &connection.socket, data, epoll::EventFlags::IN)?;
            crowd.connections.push(connection);
            // One after another: a listener's backlog is short.
            crowd.await_words("hello", 1)?;
        }
        Ok(crowd)
    }

    /// Says something on one connection.
    pub(super) fn send(&mut self, index: usize, text: &str) -> io::Result<()> {
        self.connections[index].send(text)
    }

    /// Says the same on all, and waits until each was acknowledged.
    pub(super) fn subscribe_all(&mut self, text: &str) -> io::Result<()> {
        for index in 0..self.connections.len() {
            self.send(index, text)?;
            self.await_words("ack", 1)?;
        }
        Ok(())
    }

    /// Waits for so many words of this kind, from whomever.
    pub(super) fn await_words(&mut self, op: &str, count: usize) -> io::Result<()> {
        let (deadline_ns, mut heard) = (clock::now_ns() + SETTLED_WITHIN_NS, 0);
        while heard < count {
            if clock::now_ns() > deadline_ns {
                return Err(io::Error::other(format!("the server says no {op}")));
            }
            self.turn(100_000_000, |_, said| {
                heard += usize::from(matches!(said, Heard::Word(word) if word["op"] == op));
            })?;
        }
        Ok(())
    }

    /// One round: what came within `timeout_ns` is handed on with the connection's number.
    pub(super) fn turn(
        &mut self,
        timeout_ns: u64,
        mut hear: impl FnMut(usize, &Heard<'_>),
    ) -> io::Result<()> {
        let mut wrong = None;
        for index in self.ready(timeout_ns)? {
            let connection = &mut self.connections[index];
            connection.read(&mut self.scratch, |heard| match &heard {
                Heard::Wrong(what) => wrong = Some(what.clone()),
                Heard::Word(word) if word["op"] == "error" => wrong = Some(word.to_string()),
                _ => hear(index, &heard),
            });
        }
        wrong.map_or(Ok(()), |what| Err(io::Error::other(what)))
    }

    /// One round: what came is thrown away in the kernel.
    pub(super) fn throw_away(&mut self, timeout_ns: u64) -> io::Result<()> {
        for index in self.ready(timeout_ns)? {
            match recv(&self.connections[index].socket, &mut self.scratch[..], RecvFlags::TRUNC) {
                Ok((_, 0)) => return Err(io::Error::other("the server ended a connection")),
                Ok(_) => {}
                Err(error) if io::Error::from(error).kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        if clock::now_ns() > self.next_pong_ns {
            self.next_pong_ns = clock::now_ns() + KEEP_ALIVE_NS;
            self.keep_alive();
        }
        Ok(())
    }

    fn keep_alive(&mut self) {
        let mut pong = Vec::new();
        frame::append_client(&mut pong, frame::PONG, &[]);
        for connection in &mut self.connections {
            // A socket too full for a pong is about to be closed by the server, which is what then counts.
            let _ = connection.socket.write(&pong);
        }
    }

    fn ready(&self, timeout_ns: u64) -> io::Result<Vec<usize>> {
        let mut events = Vec::with_capacity(self.connections.len());
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&clock::timespec(timeout_ns))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(events.iter().map(|event| event.data.u64() as usize).collect())
    }
}
