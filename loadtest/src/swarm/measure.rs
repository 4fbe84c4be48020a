//! One measurement by a connected swarm: first record, warm-up, window, drain.
//!
//! Runs on the swarm's thread. Must not touch a socket: it turns the swarm and reads its counts.
//! Invariant: both ends of the window are read between two turns, so no connection is counted at another
//! moment than its neighbour.

use super::connection::Connection;
use super::{Report, Swarm};
use crate::clock;
use crate::order::Disorder;
use std::io;

/// Silence after which nothing more is expected.
const QUIET_NS: u64 = 300_000_000;
const DRAIN_NS_MAX: u64 = 5_000_000_000;

/// What the swarm asks of whoever runs it with a feed.
pub(crate) trait Observer {
    /// Records published so far; `None` where nobody in this process knows.
    fn published(&self) -> Option<u64>;
    /// Whether nothing more will be published.
    fn feed_is_done(&self) -> bool;
    /// The window begins or ends now.
    fn edge(&mut self);
}

/// The observer of a swarm that runs alone.
pub(super) struct Alone;

impl Observer for Alone {
    fn published(&self) -> Option<u64> {
        None
    }

    fn feed_is_done(&self) -> bool {
        true
    }

    fn edge(&mut self) {}
}

/// The counts at one end of the window.
struct Edge {
    at_ns: u64,
    cpu_ns: u64,
    arrived: u64,
    published: f64,
    /// Frames of the parsed connections so far, and the reads that brought them.
    frames: u64,
    reads: u64,
}

impl Swarm {
    /// Waits for the first record, warms up, counts through the window, and takes what is still to come.
    pub(crate) fn measure(&mut self, observer: &mut dyn Observer) -> io::Result<Report> {
        clock::sharpen_timers()?;
        self.wait_for_first()?;
        let start_ns = clock::now_ns() + clock::seconds(self.arguments.warmup);
        let end_ns = start_ns + clock::seconds(self.arguments.seconds);
        self.context.window_ns = start_ns..end_ns;
        self.turn_until(start_ns)?;
        observer.edge();
        let start = self.edge(observer);
        self.turn_until(end_ns)?;
        observer.edge();
        let end = self.edge(observer);
        self.drain(observer)?;
        Ok(self.report(&start, &end))
    }

    fn wait_for_first(&mut self) -> io::Result<()> {
        let deadline_ns = clock::now_ns() + clock::seconds(self.arguments.wait);
        while self.context.records_parsed == 0 {
            if clock::now_ns() > deadline_ns {
                return Err(io::Error::other(format!("no record arrived within {} s", self.arguments.wait)));
            }
            self.turn(100_000_000)?;
        }
        Ok(())
    }

    fn drain(&mut self, observer: &dyn Observer) -> io::Result<()> {
        let deadline_ns = clock::now_ns() + DRAIN_NS_MAX;
        let (mut bytes, mut quiet_since_ns) = (self.context.bytes, clock::now_ns());
        loop {
            self.turn(10_000_000)?;
            let now_ns = clock::now_ns();
            if bytes != self.context.bytes || !observer.feed_is_done() {
                (bytes, quiet_since_ns) = (self.context.bytes, now_ns);
            }
            if now_ns > deadline_ns || now_ns - quiet_since_ns > QUIET_NS {
                return Ok(());
            }
        }
    }

    fn arrived(&self) -> u64 {
        let size = self.context.record_wire_bytes;
        self.connections.iter().map(|connection| connection.arrived(size)).sum()
    }

    fn edge(&self, observer: &dyn Observer) -> Edge {
        Edge {
            at_ns: clock::now_ns(),
            cpu_ns: clock::thread_cpu_ns(),
            arrived: self.arrived(),
            published: observer.published().map_or_else(|| self.published_as_seen(), |count| count as f64),
            frames: self.context.frames_parsed,
            reads: self.context.reads_parsed,
        }
    }

    /// Records published over all channels, from those that the parsed connections see.
    fn published_as_seen(&self) -> f64 {
        let (channels, records) = self
            .context
            .seen_per_channel()
            .flatten()
            .fold((0.0, 0.0), |(channels, records), seen| (channels + 1.0, records + seen as f64));
        if channels == 0.0 { 0.0 } else { records * self.subscribers_of.len() as f64 / channels }
    }

    fn due_as_seen(&self) -> u64 {
        let seen = self.context.seen_per_channel();
        seen.zip(&self.subscribers_of).map(|(seen, subscribers)| seen.unwrap_or(0) * subscribers).sum()
    }

    fn report(&self, start: &Edge, end: &Edge) -> Report {
        let fan_out = self.subscribers_of.iter().sum::<u64>() as f64 / self.subscribers_of.len() as f64;
        let parsed = self.connections.iter().filter(|connection| !connection.is_counted());
        let control_bytes = self.connections.iter().map(Connection::control_bytes).max().unwrap_or(0);
        let mut disorder = Disorder::default();
        self.connections.iter().for_each(|connection| disorder += connection.order().disorder());
        let wall_ns = (end.at_ns - start.at_ns) as f64;
        Report {
            closed: self.closed(),
            close_said: self.context.close_said.clone(),
            window_s: wall_ns / 1e9,
            arrived: end.arrived - start.arrived,
            due: ((end.published - start.published) * fan_out) as u64,
            arrived_total: self.arrived(),
            due_total_seen: self.due_as_seen(),
            latency: self.context.latencies.summary(),
            disorder,
            strangers: self.context.strangers,
            parsed_connections: parsed.count(),
            frames_a_read: (end.frames - start.frames) as f64 / (end.reads - start.reads).max(1) as f64,
            cpu_share: (end.cpu_ns - start.cpu_ns) as f64 / wall_ns,
            count_in_doubt: self.context.record_wire_bytes.is_some_and(|size| control_bytes >= size),
        }
    }
}
