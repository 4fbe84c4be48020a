//! Memory while some of many readers are stopped: the server's own, and the kernel's beside it.
//!
//! The driver's thread; the feed has one of its own; the readers are processes, one of which is stopped. Must not count the ring as
//! the readers': it is filled before. Invariant: all readings are of one server, in one run.

use crate::check::{Metrics, ServerArguments};
use crate::clock;
use crate::feed::{self, FeedArguments, Protocol};
use crate::server::Server;
use clap::Args;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicU64;
use std::thread;

/// Small enough to be filled in a moment, large enough for a minute of the feed.
const RING_BYTES: u64 = 64 << 20;
const OUTBOX_BYTES: u64 = 256 << 10;
const TORN_POOL_BYTES: u64 = 64 << 20;
const PAGE_BYTES: u64 = 4096;
/// Under load before the first reading, and after the stopped go on.
const SETTLE_S: f64 = 5.0;

/// How many, for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct StoppedArguments {
    /// Readers, in processes of as many as are stopped
    #[arg(long, default_value_t = 5_000)]
    readers: usize,
    /// Readers that are stopped
    #[arg(long, default_value_t = 1_000)]
    stopped: usize,
    /// For how long
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Channels each reader has, of 200
    #[arg(long, default_value_t = 10)]
    channels_each: u32,
    /// Records a second
    #[arg(long, default_value_t = 1_600.0)]
    rate: f64,
    /// Kind of the channels: `trade` is queued, `bookTicker` conflated
    #[arg(long, default_value = "trade")]
    kind: String,
    #[command(flatten)]
    server: ServerArguments,
}

/// One reading.
struct Reading {
    resident_bytes: u64,
    /// All of the machine's TCP memory.
    kernel_bytes: u64,
    metrics: Metrics,
}

/// The `figures stopped` tool.
pub(super) fn main(arguments: &StoppedArguments) -> io::Result<()> {
    let ring = format!("ring.bytes={RING_BYTES}");
    let outbox = format!("outbox.bytes_max={OUTBOX_BYTES}");
    let pool = format!("outbox.torn_pool_bytes_max={TORN_POOL_BYTES}");
    // Stopped for a minute they answer no ping.
    let server = arguments.server.start(&[&ring, &outbox, &pool, "heartbeat.pong_timeout=600s"])?;
    fill_ring(arguments, server.ingest)?;
    let processes = arguments.readers.div_ceil(arguments.stopped.max(1));
    let readers = (0..processes).map(|process| Readers::start(arguments, server.subscribers, process));
    let readers = readers.collect::<io::Result<Vec<_>>>()?;
    let stopped = readers.first().ok_or_else(|| io::Error::other("no readers"))?;
    let seconds = 2.0 * SETTLE_S + arguments.seconds + 1.0;
    let steady = feed_of(arguments, server.ingest, arguments.rate, seconds);
    thread::scope(|scope| {
        let published = AtomicU64::new(0);
        let feed = scope.spawn(move || feed::run(&steady, &published));
        let mut readings = Vec::new();
        let steps =
            [(SETTLE_S, Some(Signal::STOP)), (arguments.seconds, Some(Signal::CONT)), (SETTLE_S, None)];
        for (wait_s, signal) in steps {
            clock::sleep_until(clock::now_ns() + clock::seconds(wait_s))?;
            readings.push(read(&server)?);
            signal.map_or(Ok(()), |signal| stopped.signal(signal))?;
        }
        let fed = feed.join().map_err(|_| io::Error::other("the feed panicked"))??;
        tell(arguments, &readings, fed.published);
        Ok(())
    })
}

fn feed_of(arguments: &StoppedArguments, to: SocketAddr, rate: f64, seconds: f64) -> FeedArguments {
    let kind = arguments.kind.clone();
    FeedArguments {
        to,
        channels: 200,
        rate,
        bytes: 200,
        seconds,
        seed: 1,
        kind,
        tick_us: 250,
        protocol: Protocol::Lines,
    }
}

/// Goes round the ring once, so that its pages are the server's before anybody reads.
fn fill_ring(arguments: &StoppedArguments, to: SocketAddr) -> io::Result<()> {
    let mut records = 0;
    while records * 200 < RING_BYTES {
        records += feed::run(&feed_of(arguments, to, 0.0, 0.25), &AtomicU64::new(0))?.published;
    }
    Ok(())
}

fn read(server: &Server) -> io::Result<Reading> {
    let admin = server.admin.ok_or_else(|| io::Error::other("the server has no admin listener"))?;
    let sockstat = fs::read_to_string("/proc/net/sockstat")?;
    let pages =
        tcp_pages(&sockstat).ok_or_else(|| io::Error::other("no TCP memory in /proc/net/sockstat"))?;
    Ok(Reading {
        resident_bytes: server.resident_bytes(),
        kernel_bytes: pages * PAGE_BYTES,
        metrics: Metrics::scrape(admin)?,
    })
}

fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP: "))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != "mem");
    words.nth(1)?.parse().ok()
}

fn tell(arguments: &StoppedArguments, readings: &[Reading], published: u64) {
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "stopped: {} of {} readers for {} s, {} channels of 200 each, {} records a second of {} ({published} published)",
        arguments.stopped,
        arguments.readers,
        arguments.seconds,
        arguments.channels_each,
        arguments.rate,
        arguments.kind
    );
    println!(
        "| | resident MiB | kernel's TCP MiB | queued stand for MiB | torn MiB | slow | delivered | conflated | dropped | gaps |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (when, reading) in ["before", "stopped", "after"].iter().zip(readings) {
        let term = |term: &str| reading.metrics.shard(term);
        println!(
            "| {when} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {} | {} | {} | {} |",
            mib(reading.resident_bytes),
            mib(reading.kernel_bytes),
            mib(term("queued_bytes")),
            mib(term("torn_bytes")),
            term("slow_subscribers"),
            term("delivered_records"),
            term("conflated_records"),
            term("dropped_records"),
            term("gaps"),
        );
    }
    let [before, stopped, ..] = readings else { return };
    let bound = arguments.stopped as u64 * OUTBOX_BYTES + TORN_POOL_BYTES;
    println!(
        "stopped: {:+.1} MiB resident; named sum: {} x {} KiB of outbox + {} MiB of torn frames = {:.0} MiB; kernel {:+.1} MiB",
        mib(stopped.resident_bytes) - mib(before.resident_bytes),
        arguments.stopped,
        OUTBOX_BYTES >> 10,
        TORN_POOL_BYTES >> 20,
        mib(bound),
        mib(stopped.kernel_bytes) - mib(before.kernel_bytes),
    );
}

/// A process of readers.
struct Readers(Child);

impl Readers {
    /// Starts it and waits until all are subscribed.
    fn start(arguments: &StoppedArguments, to: SocketAddr, process: usize) -> io::Result<Self> {
        let begun = process * arguments.stopped;
        let count = arguments.stopped.min(arguments.readers - begun);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["idle", "--with-parent", "--dialect", "native", "--of", "200", "--seconds", "100000"]);
        command.args(["--to", &to.to_string(), "--subscribers", &count.to_string()]);
        command.args(["--channels-each", &arguments.channels_each.to_string(), "--kind", &arguments.kind]);
        command.args(["--seed", &process.to_string()]);
        let mut readers = Self(command.stdout(Stdio::piped()).spawn()?);
        let output = readers.0.stdout.take().ok_or_else(|| io::Error::other("no standard output"))?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        match line.ends_with(" up\n") {
            true => Ok(readers),
            false => Err(io::Error::other(format!("the readers said {line:?}"))),
        }
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), signal)?)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_pages_are_found() {
        let sockstat = "sockets: used 9\nTCP: inuse 5 orphan 0 tw 2 alloc 7 mem 31\nUDP: inuse 1 mem 4\n";
        assert_eq!(tcp_pages(sockstat), Some(31));
        assert_eq!(tcp_pages("UDP: mem 4"), None);
    }
}
