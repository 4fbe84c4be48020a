//! How long a subscribe takes: from when it is due to its snapshot, at many subscribes a second under a steady feed.
//!
//! The driver's thread subscribes and reads; the feed has one of its own. Must not wait for an answer before the next request is
//! sent: the schedule is open. Invariant: every subscribe asks for a channel that its connection does not have, and that exists.

use super::crowd::Crowd;
use crate::check::{Heard, ServerArguments};
use crate::clock;
use crate::feed::{self, FeedArguments, Protocol};
use crate::latency::Latencies;
use crate::payload;
use crate::schedule::Schedule;
use clap::Args;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::thread;

const KIND: &str = "bookTicker";
/// Every channel has a record before anybody subscribes.
const FEED_LEADS_NS: u64 = 1_000_000_000;
const LAST_WITHIN_NS: u64 = 5_000_000_000;

/// How fast, how long, by how many.
#[derive(Debug, Clone, Args)]
pub(crate) struct SubscribeArguments {
    /// Subscribes a second
    #[arg(long, default_value_t = 1_000.0)]
    rate: f64,
    /// How long
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Connections that take turns
    #[arg(long, default_value_t = 200)]
    connections: usize,
    /// Channels there are
    #[arg(long, default_value_t = 200)]
    channels: u32,
    /// Records a second meanwhile
    #[arg(long, default_value_t = 1_000.0)]
    feed_rate: f64,
    #[command(flatten)]
    server: ServerArguments,
}

/// The `figures subscribe` tool.
pub(super) fn main(arguments: &SubscribeArguments) -> io::Result<()> {
    let total = (arguments.rate * arguments.seconds) as u64;
    if total > arguments.connections as u64 * u64::from(arguments.channels) {
        return Err(io::Error::other("too few connections and channels for so many subscribes"));
    }
    let server = arguments.server.start(&["limits.messages_per_second=0"])?;
    let mut crowd = Crowd::gather(server.subscribers, arguments.connections)?;
    let feed = steady(server.ingest, arguments);
    let latencies = thread::scope(|scope| {
        let published = AtomicU64::new(0);
        let feed = scope.spawn(move || feed::run(&feed, &published));
        let start_ns = clock::now_ns() + FEED_LEADS_NS;
        let measured = measure(arguments, &mut crowd, total, start_ns);
        feed.join().map_err(|_| io::Error::other("the feed panicked"))??;
        measured
    })?;
    let summary = latencies.summary();
    println!(
        "subscribe: {} a second for {} s on {} connections, {} channels, {} records a second: {} of {total} snapshots; from due to \
         snapshot {summary}",
        arguments.rate,
        arguments.seconds,
        arguments.connections,
        arguments.channels,
        arguments.feed_rate,
        summary.count
    );
    Ok(())
}

fn steady(to: SocketAddr, arguments: &SubscribeArguments) -> FeedArguments {
    FeedArguments {
        to,
        channels: arguments.channels,
        rate: arguments.feed_rate,
        bytes: 200,
        seconds: arguments.seconds + 1.0 + FEED_LEADS_NS as f64 / 1e9,
        seed: 1,
        kind: KIND.to_owned(),
        tick_us: 250,
        protocol: Protocol::Lines,
    }
}

fn measure(
    arguments: &SubscribeArguments,
    crowd: &mut Crowd,
    total: u64,
    start_ns: u64,
) -> io::Result<Latencies> {
    let schedule = Schedule::new(start_ns, arguments.rate, 1);
    let connections = arguments.connections as u64;
    let names: Vec<String> =
        (0..arguments.channels).map(|channel| payload::channel_name(channel, KIND)).collect();
    let (mut sent, mut latencies) = (0, Latencies::new());
    let mut waiting: HashMap<(usize, String), u64> = HashMap::new();
    let deadline_ns = schedule.due_ns(total) + LAST_WITHIN_NS;
    while (sent < total || !waiting.is_empty()) && clock::now_ns() < deadline_ns {
        while sent < total && schedule.due_ns(sent) <= clock::now_ns() {
            let index = (sent % connections) as usize;
            // Each connection goes through the channels from a place of its own.
            let name = &names[((sent / connections + sent % connections) % names.len() as u64) as usize];
            crowd.send(index, &format!(r#"{{"op":"subscribe","channels":["{name}"]}}"#))?;
            waiting.insert((index, name.clone()), schedule.due_ns(sent));
            sent += 1;
        }
        let next_ns = if sent < total { schedule.due_ns(sent) } else { deadline_ns };
        crowd.turn(next_ns.saturating_sub(clock::now_ns()).min(10_000_000), |index, heard| {
            if let Heard::Record(record) = heard
                && record.is_snapshot
                && let Some(due_ns) = waiting.remove(&(index, record.channel.to_owned()))
            {
                latencies.record(clock::now_ns() - due_ns);
            }
        })?;
    }
    Ok(latencies)
}
