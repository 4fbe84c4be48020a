//! What silent subscribers cost a record that none of them wants.
//!
//! The driver's thread holds the subscribers, another one feeds. Must not let a record reach a subscriber: their
//! channels are of another kind than the feed's. Invariant: CPU and records are counted between the same two moments.

use super::measure::{ROBBED_MAX, Runner};
use super::row::{Figures, Row, State};
use super::saturation::DISTURBED;
use super::sweep::SILENT;
use crate::feed::{self, FeedArguments, FeedReport};
use crate::idle::IdleArguments;
use crate::server::{Server, Usage};
use crate::step::StepOptions;
use crate::swarm::{Swarm, share};
use crate::target::Target;
use std::io;
use std::sync::atomic::AtomicU64;
use std::thread;

/// Records a second, below what any server that takes part should accept.
const RATE: f64 = 500_000.0;
/// Channels that flow.
const FLOWING: u32 = 200;
/// Channels that never get a record.
const SILENT_CHANNELS: u32 = 100_000;
const SILENT_EACH: u32 = 10;
/// Of what the feed should send, the share that it must.
const SENT_MIN: f64 = 0.98;

/// All numbers of subscribers, server by server, round by round.
pub(super) fn silent(
    counts: impl Fn(&f64) -> bool,
    runners: &mut [Runner],
    repeat: u32,
    options: &StepOptions,
) -> Vec<Row> {
    let mut rows = Vec::new();
    for subscribers in SILENT.into_iter().filter(|subscribers| counts(&(*subscribers as f64))) {
        for round in 0..repeat {
            for runner in runners.iter_mut().filter(|runner| runner.runs()) {
                let measured = measure(subscribers, &runner.target, options);
                rows.push(runner.row(subscribers as f64, round, measured));
            }
        }
    }
    rows
}

fn measure(
    subscribers: usize,
    target: &Target,
    options: &StepOptions,
) -> io::Result<(Figures, State, String)> {
    let server = Server::start(&target.command, &options.cores.server_cores)?;
    let hold = IdleArguments {
        to: server.subscribers,
        subscribers,
        channels_each: SILENT_EACH,
        of: SILENT_CHANNELS,
        seconds: options.seconds,
        dialect: target.dialect.unwrap_or(options.dialect),
        seed: options.seed,
        kind: "aggTrade".to_owned(),
        with_parent: false,
    };
    let mut swarm = if subscribers == 0 { None } else { Some(Swarm::connect(&hold.swarm())?) };
    // The channels of the flow are known and the ring's pages touched before it counts.
    feed::run(&flow(&server, target, options.warmup, options), &AtomicU64::new(0))?;
    let publish = flow(&server, target, options.seconds, options);
    let before = server.usage();
    let (fed, held) = thread::scope(|scope| {
        let feeding = scope.spawn(|| feed::run(&publish, &AtomicU64::new(0)));
        let held = swarm.as_mut().map_or(Ok(()), |swarm| swarm.hold(options.seconds));
        (feeding.join().unwrap_or_else(|_| Err(io::Error::other("the feed panicked"))), held)
    });
    let used = server.usage().since(before);
    held?;
    judged(&fed?, used, server.cores, swarm.map_or(0, |swarm| swarm.closed()))
}

fn flow(server: &Server, target: &Target, seconds: f64, options: &StepOptions) -> FeedArguments {
    FeedArguments {
        to: server.ingest,
        channels: FLOWING,
        rate: RATE,
        bytes: options.bytes,
        seconds,
        seed: options.seed,
        kind: "trade".to_owned(),
        tick_us: 250,
        protocol: target.feed,
    }
}

fn judged(
    fed: &FeedReport,
    used: Usage,
    cores: usize,
    closed: usize,
) -> io::Result<(Figures, State, String)> {
    let accepted = fed.accepted.ok_or_else(|| io::Error::other("the server answered no PING"))?;
    let elapsed_ns = fed.elapsed_ns as f64;
    let cpu_ns = used.cpu_ns as f64;
    let robbed = used.robbed_ns(fed.elapsed_ns, cores) as f64 / elapsed_ns;
    let figures = Figures {
        offered: RATE,
        arrived: accepted as f64 / elapsed_ns * 1e9,
        cpu_ns: cpu_ns / accepted.max(1) as f64,
        server_cpu: cpu_ns / elapsed_ns,
        server_waited: used.waited_ns as f64 / elapsed_ns,
        tools_cpu: fed.cpu_ns as f64 / elapsed_ns,
        ..Figures::default()
    };
    let (state, why) = match () {
        () if closed > 0 => (State::Doubtful, "the server closed connections"),
        () if share(fed.published, fed.asked) < SENT_MIN => {
            (State::Doubtful, "not all that should flow was taken")
        }
        () if accepted != fed.published => (State::Doubtful, "the server refused records"),
        () if robbed > ROBBED_MAX => (State::Doubtful, DISTURBED),
        () => (State::Sound, ""),
    };
    Ok((figures, state, why.to_owned()))
}
