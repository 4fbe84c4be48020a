//! The feed: publishes stamped records over the server's protocol at a rate, or as fast as they are taken.
//!
//! One thread, the caller's. Must not wait for the server in silence: what it could not send on time
//! is sent at once when it can, and told. Invariant: record `i` is on channel `order[i % channels]`
//! with sequence `i / channels`, so what was published follows from one number.

mod answers;
mod outlet;
mod protocol;

pub(crate) use outlet::Outlet;
pub(crate) use protocol::Protocol;

use crate::clock;
use crate::latency::{Duration, Latencies, Summary};
use crate::payload::{self, Lines};
use crate::schedule::Schedule;
use clap::Args;
use fastrand::Rng;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes handed to one write at most.
const BATCH_BYTES_MAX: usize = 128 * 1024;

/// What to publish, where and how fast.
#[derive(Debug, Clone, Args)]
pub(crate) struct FeedArguments {
    /// The server's ingest listener
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Channels to publish on, all equally often
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=i64::from(payload::CHANNELS_MAX)))]
    pub(crate) channels: u32,
    /// Records a second over all channels; 0: as fast as the server takes them
    #[arg(long, default_value_t = 1000.0)]
    pub(crate) rate: f64,
    /// Bytes of a payload
    #[arg(long, default_value_t = 200, value_parser = payload_bytes)]
    pub(crate) bytes: usize,
    /// How long to publish
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Order of the channels
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Kind of the channels: `trade` is delivered whole, `bookTicker` may be conflated
    #[arg(long, default_value = "trade")]
    pub(crate) kind: String,
    /// Least microseconds between two writes; records rarer than that are sent exactly on time
    #[arg(long, default_value_t = 250)]
    pub(crate) tick_us: u64,
    /// What the ingest listener understands
    #[arg(long, value_enum, default_value_t = Protocol::Lines)]
    pub(crate) protocol: Protocol,
}

/// Parses a payload's size.
pub(crate) fn payload_bytes(text: &str) -> Result<usize, String> {
    let bytes = text.parse().map_err(|error| format!("{error}"))?;
    let least = payload::PAYLOAD_BYTES_MIN;
    if bytes < least { Err(format!("a payload has at least {least} bytes")) } else { Ok(bytes) }
}

/// What became of it.
#[derive(Debug, Default, Clone)]
pub(crate) struct FeedReport {
    /// Records written.
    pub(crate) published: u64,
    /// Records that the schedule asked for; with rate 0 those written.
    pub(crate) asked: u64,
    /// Records a channel, by channel number.
    pub(crate) per_channel: Vec<u64>,
    /// Records that the server says it accepted; `None` if it never said.
    pub(crate) accepted: Option<u64>,
    /// Records that the server refused.
    pub(crate) refused: u64,
    /// From the first write to the last, or to the acknowledgement where that comes.
    pub(crate) elapsed_ns: u64,
    /// How late each wake-up was.
    pub(crate) late: Summary,
    /// Time in which the server's socket took nothing.
    pub(crate) blocked_ns: u64,
    /// CPU of the feed's thread.
    pub(crate) cpu_ns: u64,
}

/// The `feed` tool.
pub(crate) fn main(arguments: &FeedArguments) -> io::Result<()> {
    let report = run(arguments, &AtomicU64::new(0))?;
    let seconds = report.elapsed_ns as f64 / 1e9;
    println!(
        "feed: {} records in {seconds:.3} s, {:.0}/s, asked {}, accepted {}, refused {}; wake-ups late {}; \
         blocked {}; cpu {:.0} %",
        report.published,
        report.published as f64 / seconds,
        report.asked,
        report.accepted.map_or_else(|| "unknown".to_owned(), |count| count.to_string()),
        report.refused,
        report.late,
        Duration(report.blocked_ns),
        report.cpu_ns as f64 / report.elapsed_ns as f64 * 100.0,
    );
    Ok(())
}

/// Publishes as `arguments` say, keeping `published` up to date for a swarm in the same process.
pub(crate) fn run(arguments: &FeedArguments, published: &AtomicU64) -> io::Result<FeedReport> {
    clock::sharpen_timers()?;
    let cpu_start_ns = clock::thread_cpu_ns();
    let mut feed = Feed::connect(arguments)?;
    let start_ns = clock::now_ns();
    let end_ns = start_ns + clock::seconds(arguments.seconds);
    let asked = if arguments.rate > 0.0 {
        let schedule = Schedule::new(start_ns, arguments.rate, arguments.tick_us * 1_000);
        feed.publish_on_schedule(&schedule, end_ns, published)?;
        (arguments.seconds * arguments.rate) as u64
    } else {
        feed.publish_until(end_ns, published)?;
        feed.sent
    };
    let accepted = feed.outlet.acknowledged(feed.sent)?;
    Ok(FeedReport {
        published: feed.sent,
        asked,
        per_channel: feed.per_channel(),
        accepted,
        refused: feed.outlet.refused(),
        elapsed_ns: clock::now_ns() - start_ns,
        late: feed.late.summary(),
        blocked_ns: feed.outlet.blocked_ns(),
        cpu_ns: clock::thread_cpu_ns() - cpu_start_ns,
    })
}

struct Feed {
    outlet: Outlet,
    lines: Lines,
    order: Vec<u32>,
    batch: Vec<u8>,
    sent: u64,
    late: Latencies,
}

impl Feed {
    fn connect(arguments: &FeedArguments) -> io::Result<Self> {
        let protocol = arguments.protocol;
        let mut order: Vec<u32> = (0..arguments.channels).collect();
        Rng::with_seed(arguments.seed).shuffle(&mut order);
        Ok(Self {
            outlet: Outlet::connect(arguments.to, protocol)?,
            lines: Lines::new(&arguments.kind, arguments.bytes, |out, name, payload| {
                protocol.append(out, name, payload);
            }),
            order,
            batch: Vec::with_capacity(BATCH_BYTES_MAX * 2),
            sent: 0,
            late: Latencies::new(),
        })
    }

    /// Records held up by the server carry the time at which they were due, all others the time at
    /// which they are sent: a stall of the server is its latency, a late wake-up is ours and told apart.
    fn publish_on_schedule(
        &mut self,
        schedule: &Schedule,
        end_ns: u64,
        published: &AtomicU64,
    ) -> io::Result<()> {
        let mut held_up = false;
        loop {
            let wake_ns = schedule.wake_ns(self.sent);
            if wake_ns.max(clock::now_ns()) >= end_ns {
                return Ok(());
            }
            if !held_up {
                self.outlet.wait_until(wake_ns)?;
                self.late.record(clock::now_ns().saturating_sub(wake_ns));
            }
            let now_ns = clock::now_ns();
            let due = schedule.due_count(now_ns.min(end_ns - 1));
            let until = due.min(self.sent + self.batch_records_max());
            let blocked_ns =
                self.send(until, |index| if held_up { schedule.due_ns(index) } else { now_ns })?;
            published.store(self.sent, Relaxed);
            held_up = (held_up || blocked_ns > 0) && schedule.wake_ns(self.sent) <= clock::now_ns();
        }
    }

    fn publish_until(&mut self, end_ns: u64, published: &AtomicU64) -> io::Result<()> {
        while clock::now_ns() < end_ns {
            let now_ns = clock::now_ns();
            self.send(self.sent + self.batch_records_max(), |_| now_ns)?;
            published.store(self.sent, Relaxed);
        }
        Ok(())
    }

    fn batch_records_max(&self) -> u64 {
        (BATCH_BYTES_MAX / self.lines.line_bytes()).max(1) as u64
    }

    /// Sends the records up to `until` and returns how long the socket took nothing.
    fn send(&mut self, until: u64, stamp_ns: impl Fn(u64) -> u64) -> io::Result<u64> {
        let channels = self.order.len() as u64;
        self.batch.clear();
        let (mut stamp, mut text) = (0, payload::stamp_text(0));
        for index in self.sent..until {
            if stamp != stamp_ns(index) {
                stamp = stamp_ns(index);
                text = payload::stamp_text(stamp);
            }
            let channel = self.order[(index % channels) as usize];
            self.lines.append(&mut self.batch, &text, channel, index / channels);
        }
        self.sent = self.sent.max(until);
        self.outlet.write(&self.batch)
    }

    fn per_channel(&self) -> Vec<u64> {
        let channels = self.order.len() as u64;
        let mut counts = vec![self.sent / channels; self.order.len()];
        for channel in &self.order[..(self.sent % channels) as usize] {
            counts[*channel as usize] += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_cannot_hold_a_stamp_are_refused() {
        assert!(payload_bytes("200").is_ok());
        assert!(payload_bytes("20").is_err());
        assert!(payload_bytes("x").is_err());
    }
}
