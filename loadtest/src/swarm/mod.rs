//! The swarm: many subscribers in one thread on epoll.
//!
//! One thread, the caller's. Must not decode JSON for each frame, or it measures itself: most connections are
//! counted by bytes that the kernel throws away unread, one in some is read and its frame heads, stamps
//! and sequences are looked at. Invariant: nothing is counted before every subscriber is subscribed.

mod connection;
mod context;
mod inner;
mod measure;
mod report;

pub(crate) use inner::{Inner, Said};
pub(crate) use measure::Observer;
pub(crate) use report::{Report, share};

use crate::clock;
use crate::feed::payload_bytes;
use crate::payload;
use crate::subscription::{Dialect, subset};
use clap::Args;
use connection::Connection;
use context::Context;
use fastrand::Rng;
use measure::Alone;
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};

/// Connections that are not live yet, at most: below any listener's backlog.
const CONNECTING_MAX: usize = 100;
const CONNECTED_WITHIN_NS: u64 = 60_000_000_000;
const EVENTS_MAX: usize = 1024;
/// Each counted connection sends a pong this often, well inside the server's 60 s.
const KEEP_ALIVE_NS: u64 = 15_000_000_000;

/// Who subscribes to what, and how it is looked at.
#[derive(Debug, Clone, Args)]
pub(crate) struct SwarmArguments {
    /// The server's subscriber listener
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Connections
    #[arg(long, default_value_t = 100)]
    pub(crate) subscribers: usize,
    /// Channels each connection subscribes to
    #[arg(long, default_value_t = 1)]
    pub(crate) channels_each: u32,
    /// Channels there are, of which each connection takes a random subset
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(payload::CHANNELS_MAX)))]
    pub(crate) of: u32,
    /// Kind of the channels
    #[arg(long, default_value = "trade")]
    pub(crate) kind: String,
    /// Bytes of a payload, as the feed sends them
    #[arg(long, default_value_t = 200, value_parser = payload_bytes)]
    pub(crate) bytes: usize,
    /// How long to measure
    #[arg(long, default_value_t = 5.0)]
    pub(crate) seconds: f64,
    /// How long after the first record to begin
    #[arg(long, default_value_t = 1.0)]
    pub(crate) warmup: f64,
    /// How long to wait for the first record
    #[arg(long, default_value_t = 60.0)]
    pub(crate) wait: f64,
    /// What to speak
    #[arg(long, value_enum, default_value_t = Dialect::Binance)]
    pub(crate) dialect: Dialect,
    /// Name the channels in the URL instead of a SUBSCRIBE
    #[arg(long)]
    pub(crate) by_url: bool,
    /// Choice of the channels
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Parse one connection in so many; count the others by bytes
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) parse_one_in: u32,
    /// Least microseconds between two rounds of reading. Above 0 a swarm with room to spare sleeps, so that
    /// its CPU share says how near its end it is; latencies grow by up to as much
    #[arg(long, default_value_t = 250)]
    pub(crate) pause_us: u64,
}

/// The `swarm` tool.
pub(crate) fn main(arguments: &SwarmArguments) -> io::Result<()> {
    let mut swarm = Swarm::connect(arguments)?;
    println!("swarm: {} subscribed", arguments.subscribers);
    io::stdout().flush()?;
    let report = swarm.measure(&mut Alone)?;
    let total = share(report.arrived_total, report.due_total_seen) * 100.0;
    println!("swarm: {report}; {total:.3} % of all {} that the sample saw due", report.due_total_seen);
    let saturated = if report.cpu_share > 0.95 { "swarm" } else { "none that the swarm can see" };
    println!("swarm: {} connections parsed; saturated: {saturated}", report.parsed_connections);
    Ok(())
}

/// Connected subscribers.
pub(crate) struct Swarm {
    arguments: SwarmArguments,
    epoll: rustix::fd::OwnedFd,
    events: Vec<epoll::Event>,
    connections: Vec<Connection>,
    context: Context,
    live: usize,
    subscribers_of: Vec<u64>,
    next_pong_ns: u64,
    pong_to: usize,
}

impl Swarm {
    /// Connects and subscribes all; returns when each has been answered.
    pub(crate) fn connect(arguments: &SwarmArguments) -> io::Result<Self> {
        if arguments.channels_each > arguments.of {
            return Err(io::Error::other("more channels each than there are"));
        }
        let record = arguments.dialect.record_wire_bytes(&arguments.kind, arguments.bytes);
        let carried = arguments.dialect.carried_bytes(arguments.bytes);
        let mut swarm = Self {
            arguments: arguments.clone(),
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
            connections: Vec::with_capacity(arguments.subscribers),
            context: Context::new(arguments.dialect, record, carried, arguments.of),
            live: 0,
            subscribers_of: vec![0; arguments.of as usize],
            next_pong_ns: u64::MAX,
            pong_to: 0,
        };
        swarm.connect_all()?;
        Ok(swarm)
    }

    /// How many subscribe to each channel.
    pub(crate) fn subscribers_of(&self) -> &[u64] {
        &self.subscribers_of
    }

    /// Holds the connections, answering pings.
    pub(crate) fn hold(&mut self, seconds: f64) -> io::Result<()> {
        self.turn_until(clock::now_ns() + clock::seconds(seconds))
    }

    /// Connections that the server has closed.
    pub(crate) fn closed(&self) -> usize {
        self.connections.iter().filter(|connection| connection.is_closed()).count()
    }

    fn connect_all(&mut self) -> io::Result<()> {
        let deadline_ns = clock::now_ns() + CONNECTED_WITHIN_NS;
        let mut random = Rng::with_seed(self.arguments.seed);
        for index in 0..self.arguments.subscribers {
            self.connect_one(index, &mut random)?;
            self.turn_while_connecting(CONNECTING_MAX, deadline_ns)?;
        }
        self.turn_while_connecting(0, deadline_ns)
    }

    fn turn_while_connecting(&mut self, waiting_max: usize, deadline_ns: u64) -> io::Result<()> {
        while self.connections.len() - self.live > waiting_max {
            if clock::now_ns() > deadline_ns {
                let live = self.live;
                return Err(io::Error::other(format!("only {live} subscribers were live within 60 s")));
            }
            self.turn(100_000_000)?;
        }
        Ok(())
    }

    fn connect_one(&mut self, index: usize, random: &mut Rng) -> io::Result<()> {
        let (to, dialect) = (self.arguments.to, self.arguments.dialect);
        let names = self.choose(random);
        let by_url = (self.arguments.by_url || dialect.is_by_url()).then_some(&names[..]);
        let mut socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.write_all(dialect.request(&to.to_string(), by_url).as_bytes())?;
        socket.set_nonblocking(true)?;
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(index as u64), epoll::EventFlags::IN)?;
        let subscribe = if by_url.is_some() { Vec::new() } else { dialect.subscribe(&names) };
        let parse = index.is_multiple_of(self.arguments.parse_one_in as usize);
        self.connections.push(Connection::new(socket, dialect, subscribe, parse, self.arguments.of));
        Ok(())
    }

    fn choose(&mut self, random: &mut Rng) -> Vec<String> {
        let channels = subset(random, self.arguments.channels_each, self.arguments.of);
        for channel in &channels {
            self.subscribers_of[*channel as usize] += 1;
        }
        channels.iter().map(|channel| payload::channel_name(*channel, &self.arguments.kind)).collect()
    }

    fn turn_until(&mut self, deadline_ns: u64) -> io::Result<()> {
        loop {
            let now_ns = clock::now_ns();
            if now_ns >= deadline_ns {
                return Ok(());
            }
            self.turn((deadline_ns - now_ns).min(100_000_000))?;
        }
    }

    /// One round: every ready connection is read once.
    fn turn(&mut self, timeout_ns: u64) -> io::Result<()> {
        let began_ns = clock::now_ns();
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&clock::timespec(timeout_ns))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for index in 0..self.events.len() {
            let connection = self.events[index].data.u64() as usize;
            self.read(connection)?;
        }
        self.keep_alive();
        if self.live == self.connections.len() {
            clock::sleep_until(began_ns + self.arguments.pause_us * 1_000)?;
        }
        Ok(())
    }

    fn read(&mut self, index: usize) -> io::Result<()> {
        let connection = &mut self.connections[index];
        if !connection.is_counted() {
            self.context.read_clock();
        }
        let was_live = connection.is_live();
        connection.read(&mut self.context)?;
        if connection.is_closed() {
            epoll::delete(&self.epoll, &connection.socket)?;
        } else if !was_live && connection.is_live() {
            self.live += 1;
            self.next_pong_ns = clock::now_ns() + KEEP_ALIVE_NS / 2;
        }
        Ok(())
    }

    /// Sends pongs unasked on connections whose pings are thrown away unread, evenly over time.
    fn keep_alive(&mut self) {
        let now_ns = clock::now_ns();
        while self.next_pong_ns <= now_ns {
            self.next_pong_ns += KEEP_ALIVE_NS / self.connections.len() as u64;
            self.pong_to = (self.pong_to + 1) % self.connections.len();
            let connection = &self.connections[self.pong_to];
            if connection.is_counted() {
                connection.pong(&[]);
            }
        }
    }
}
