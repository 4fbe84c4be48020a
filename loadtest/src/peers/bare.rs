//! The roof: a bare epoll loop that sends prepared frames.
//!
//! One thread. Must not validate, number, keep or conflate records: read what the feed sent, frame each
//! payload once, one send for each subscriber that got something. Invariant: a frame is never torn; what a
//! socket did not take waits in its backlog, and past its bound the subscriber is disconnected.

use super::line::{Line, Lines};
use super::{PeerArguments, SUBSCRIBED, announce, channels_of};
use crate::frame;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{SendFlags, send};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Bytes read from a feed before what they brought is sent. With 256 KiB dash held 19 M/s, with this 27.
const FEED_BYTES_A_TURN: usize = 1024 * 1024;
const BACKLOG_BYTES_MAX: usize = 16 * 1024 * 1024;
const REQUEST_BYTES_MAX: usize = 64 * 1024;
const EVENTS_MAX: usize = 1024;
const SUBSCRIBERS: u64 = u64::MAX;
const INGEST: u64 = u64::MAX - 1;

/// The `bare` peer.
pub(crate) fn main(arguments: &PeerArguments) -> io::Result<()> {
    let mut bare = Bare::bind(arguments)?;
    announce(bare.subscribers.local_addr()?, bare.ingest.local_addr()?)?;
    let mut events = Vec::with_capacity(EVENTS_MAX);
    loop {
        events.clear();
        match epoll::wait(&bare.epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            bare.ready(event.data.u64(), event.flags)?;
        }
    }
}

struct Bare {
    epoll: rustix::fd::OwnedFd,
    subscribers: TcpListener,
    ingest: TcpListener,
    /// Every connection ever accepted, by its epoll number; a run of the load test accepts each once.
    connections: Vec<Connection>,
    fan_out: FanOut,
    read_buffer: Vec<u8>,
}

enum Connection {
    Feed(TcpStream, Lines),
    Subscriber(Subscriber),
    Closed,
}

struct Subscriber {
    socket: TcpStream,
    upgraded: bool,
    inbox: Vec<u8>,
    backlog: Vec<u8>,
    /// Arena ranges of this turn, neighbours joined.
    ranges: Vec<(usize, usize)>,
}

/// Who gets what of this turn.
#[derive(Default)]
struct FanOut {
    channels: HashMap<Vec<u8>, Vec<usize>, foldhash::fast::FixedState>,
    arena: Vec<u8>,
    gathered: Vec<u8>,
    dirty: Vec<usize>,
}

impl Bare {
    fn bind(arguments: &PeerArguments) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let subscribers = TcpListener::bind(arguments.listen)?;
        let ingest = TcpListener::bind(arguments.ingest_listen)?;
        for (listener, number) in [(&subscribers, SUBSCRIBERS), (&ingest, INGEST)] {
            listener.set_nonblocking(true)?;
            epoll::add(&epoll, listener, EventData::new_u64(number), EventFlags::IN)?;
        }
        Ok(Self {
            epoll,
            subscribers,
            ingest,
            connections: Vec::new(),
            fan_out: FanOut::default(),
            read_buffer: vec![0; FEED_BYTES_A_TURN],
        })
    }

    fn ready(&mut self, number: u64, flags: EventFlags) -> io::Result<()> {
        if number == SUBSCRIBERS || number == INGEST {
            return self.accept(number);
        }
        let index = number as usize;
        let done = match &mut self.connections[index] {
            Connection::Feed(..) => self.read_feed(index),
            Connection::Subscriber(subscriber) if flags.contains(EventFlags::OUT) => {
                subscriber.flush_backlog(&self.epoll, index)
            }
            Connection::Subscriber(_) => self.read_subscriber(index),
            Connection::Closed => Ok(()),
        };
        if done.is_err() {
            self.connections[index] = Connection::Closed;
        }
        Ok(())
    }

    fn accept(&mut self, number: u64) -> io::Result<()> {
        let listener = if number == INGEST { &self.ingest } else { &self.subscribers };
        let socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        socket.set_nonblocking(true)?;
        socket.set_nodelay(true)?;
        epoll::add(&self.epoll, &socket, EventData::new_u64(self.connections.len() as u64), EventFlags::IN)?;
        self.connections.push(match number {
            INGEST => Connection::Feed(socket, Lines::default()),
            _ => Connection::Subscriber(Subscriber::new(socket)),
        });
        Ok(())
    }

    fn read_feed(&mut self, index: usize) -> io::Result<()> {
        let Connection::Feed(socket, lines) = &mut self.connections[index] else { return Ok(()) };
        let bytes = read_some(socket, &mut self.read_buffer)?;
        let mut feed = std::mem::take(lines);
        let mut answers = Vec::new();
        feed.take(&self.read_buffer[..bytes], |line| match line {
            Line::Record { channel, payload } => self.fan_out.record(channel, payload, &mut self.connections),
            Line::Ping(answer) => answers.extend_from_slice(answer.as_bytes()),
        });
        self.fan_out.flush(&mut self.connections, &self.epoll);
        if let Connection::Feed(socket, lines) = &mut self.connections[index] {
            *lines = feed;
            socket.write_all(&answers)?;
        }
        Ok(())
    }

    fn read_subscriber(&mut self, index: usize) -> io::Result<()> {
        let Connection::Subscriber(subscriber) = &mut self.connections[index] else { return Ok(()) };
        let bytes = read_some(&mut subscriber.socket, &mut self.read_buffer)?;
        subscriber.inbox.extend_from_slice(&self.read_buffer[..bytes]);
        if !subscriber.upgraded {
            return subscriber.upgrade();
        }
        while let Some((opcode, payload, wire_bytes)) = frame::take_client(&subscriber.inbox) {
            subscriber.inbox.drain(..wire_bytes);
            if opcode == frame::CLOSE {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            let channels = channels_of(&payload);
            if !channels.is_empty() {
                self.fan_out.subscribe(index, channels);
                let mut answer = Vec::new();
                frame::append_server(&mut answer, frame::TEXT, SUBSCRIBED);
                subscriber.offer(&answer, &self.epoll, index)?;
            }
        }
        Ok(())
    }
}

impl FanOut {
    fn subscribe(&mut self, subscriber: usize, channels: Vec<String>) {
        for channel in channels {
            self.channels.entry(channel.into_bytes()).or_default().push(subscriber);
        }
    }

    fn record(&mut self, channel: &[u8], payload: &[u8], connections: &mut [Connection]) {
        let Some(subscribers) = self.channels.get(channel) else { return };
        let start = self.arena.len();
        frame::append_server(&mut self.arena, frame::TEXT, payload);
        let end = self.arena.len();
        for index in subscribers {
            let Connection::Subscriber(subscriber) = &mut connections[*index] else { continue };
            match subscriber.ranges.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                Some(_) => subscriber.ranges.push((start, end)),
                None => {
                    self.dirty.push(*index);
                    subscriber.ranges.push((start, end));
                }
            }
        }
    }

    fn flush(&mut self, connections: &mut [Connection], epoll: &rustix::fd::OwnedFd) {
        for index in self.dirty.drain(..) {
            let Connection::Subscriber(subscriber) = &mut connections[index] else { continue };
            let bytes = if let [(start, end)] = subscriber.ranges[..] {
                &self.arena[start..end]
            } else {
                self.gathered.clear();
                subscriber.ranges.iter().for_each(|(start, end)| {
                    self.gathered.extend_from_slice(&self.arena[*start..*end]);
                });
                &self.gathered
            };
            subscriber.ranges.clear();
            if subscriber.offer(bytes, epoll, index).is_err() {
                connections[index] = Connection::Closed;
            }
        }
        self.arena.clear();
    }
}

impl Subscriber {
    fn new(socket: TcpStream) -> Self {
        Self { socket, upgraded: false, inbox: Vec::new(), backlog: Vec::new(), ranges: Vec::new() }
    }

    fn upgrade(&mut self) -> io::Result<()> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(at) = self.inbox.windows(END.len()).position(|window| window == END) else {
            let too_long = self.inbox.len() > REQUEST_BYTES_MAX;
            return if too_long { Err(ErrorKind::InvalidData.into()) } else { Ok(()) };
        };
        let request = String::from_utf8_lossy(&self.inbox[..at]).into_owned();
        let key = request.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim())
        });
        let accept = tungstenite::handshake::derive_accept_key(key.unwrap_or_default().as_bytes());
        self.socket.write_all(
            format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {accept}\r\n\r\n"
            )
            .as_bytes(),
        )?;
        self.inbox.drain(..at + END.len());
        self.upgraded = true;
        Ok(())
    }

    fn offer(&mut self, bytes: &[u8], epoll: &rustix::fd::OwnedFd, index: usize) -> io::Result<()> {
        if self.backlog.is_empty() {
            let taken = self.send(bytes)?;
            if taken == bytes.len() {
                return Ok(());
            }
            self.backlog.extend_from_slice(&bytes[taken..]);
            let number = EventData::new_u64(index as u64);
            epoll::modify(epoll, &self.socket, number, EventFlags::IN | EventFlags::OUT)?;
            return Ok(());
        }
        self.backlog.extend_from_slice(bytes);
        if self.backlog.len() > BACKLOG_BYTES_MAX { Err(ErrorKind::OutOfMemory.into()) } else { Ok(()) }
    }

    fn flush_backlog(&mut self, epoll: &rustix::fd::OwnedFd, index: usize) -> io::Result<()> {
        let taken = self.send(&self.backlog)?;
        self.backlog.drain(..taken);
        if self.backlog.is_empty() {
            epoll::modify(epoll, &self.socket, EventData::new_u64(index as u64), EventFlags::IN)?;
        }
        Ok(())
    }

    fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        match send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(taken) => Ok(taken),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
}

/// Reads once; the end of the stream is an error, for the connection is over then.
fn read_some(socket: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    match socket.read(buffer) {
        Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        read => read,
    }
}
