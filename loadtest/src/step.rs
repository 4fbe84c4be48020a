//! One measurement: a fan-out scenario against one server at one rate.
//!
//! The driver's thread runs the swarm, a second one the feed. Must not reuse a server: what one step left
//! behind would be the next one's load. Invariant: a rate is held only if 98 % of what was due arrived
//! within the window, all of it in the end, each once and in order, p99 kept the bound, and nobody was disconnected.

use crate::feed::{self, FeedArguments, FeedReport, payload_bytes};
use crate::latency::Duration;
use crate::process_tree::own_usage;
use crate::scenario::Scenario;
use crate::server::{Cores, Server, Usage};
use crate::subscription::Dialect;
use crate::swarm::{Observer, Report, Swarm, SwarmArguments, share};
use crate::target::Target;
use crate::verdict::{Evidence, Verdict};
use clap::Args;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Share of what is due in the window that must arrive in it, and of what is asked of the feed that it must send.
const ARRIVED_MIN: f64 = 0.98;
/// Load goes on this long after the window, so that its end is not a lull.
const AFTER_WINDOW_S: f64 = 0.2;

/// How a measurement is taken, whatever the scenario.
#[derive(Debug, Clone, Args)]
pub(crate) struct StepOptions {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// Seconds of load before it
    #[arg(long, default_value_t = 0.5)]
    pub(crate) warmup: f64,
    /// Print every step of a search
    #[arg(long)]
    pub(crate) verbose: bool,
    /// Bytes of a payload
    #[arg(long, default_value_t = 200, value_parser = payload_bytes)]
    pub(crate) bytes: usize,
    /// What the subscribers speak, unless the server speaks only its own; the other peers speak `binance` only
    #[arg(long, value_enum, default_value_t = Dialect::Binance)]
    pub(crate) dialect: Dialect,
    /// Parse one connection in so many; count the others by bytes
    #[arg(long, default_value_t = 64)]
    pub(crate) parse_one_in: u32,
    /// Least microseconds between two rounds of the swarm's reading [default: 250; quiet: 0]
    #[arg(long)]
    pub(crate) pause_us: Option<u64>,
    /// Choice of channels
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) cores: Cores,
}

/// One measurement at one rate.
pub(crate) struct Step {
    pub(crate) rate: f64,
    pub(crate) swarm: Report,
    pub(crate) feed: FeedReport,
    pub(crate) due_total: u64,
    pub(crate) server_cpu: f64,
    pub(crate) server_waited: f64,
    /// Share of the time in which something else had the server's core, at most.
    pub(crate) server_robbed: f64,
    pub(crate) feed_cpu: f64,
    /// Share of the time in which something else had the tools' core, at most.
    pub(crate) tools_robbed: f64,
    /// At the end of the window, under load.
    pub(crate) resident_bytes: u64,
    /// What the server had resident before anybody connected.
    pub(crate) resident_before_bytes: u64,
    pub(crate) held: bool,
    pub(crate) verdict: Verdict,
}

/// Starts the target, offers `rate` records a second, and stops it.
pub(crate) fn measure(
    scenario: &Scenario,
    rate: f64,
    target: &Target,
    options: &StepOptions,
) -> io::Result<Step> {
    let server = Server::start(&target.command, &options.cores.server_cores)?;
    let resident_before_bytes = server.resident_bytes();
    let dialect = target.dialect.unwrap_or(options.dialect);
    let mut swarm = Swarm::connect(&swarm_arguments(scenario, &server, dialect, options))?;
    let publish = feed_arguments(scenario, rate, &server, target, options);
    let (published, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut watch = Watch {
        server: &server,
        resident_before_bytes,
        published: &published,
        done: &done,
        edges: Vec::new(),
    };
    let (report, fed) = thread::scope(|scope| {
        let feeding = scope.spawn(|| {
            let fed = feed::run(&publish, &published);
            done.store(true, Ordering::Release);
            fed
        });
        let report = swarm.measure(&mut watch);
        (report, feeding.join().unwrap_or_else(|_| Err(io::Error::other("the feed panicked"))))
    });
    let step = Step::of(scenario, rate, report?, fed?, &swarm, &watch);
    if options.verbose {
        println!("  {}: {step}", target.name);
    }
    Ok(step)
}

/// What the swarm asks for while it measures.
struct Watch<'a> {
    server: &'a Server,
    resident_before_bytes: u64,
    published: &'a AtomicU64,
    done: &'a AtomicBool,
    edges: Vec<Edge>,
}

/// At one end of the window.
#[derive(Clone, Copy)]
struct Edge {
    server: Usage,
    /// Swarm and feed.
    tools: Usage,
    resident_bytes: u64,
}

impl Observer for Watch<'_> {
    fn published(&self) -> Option<u64> {
        Some(self.published.load(Ordering::Relaxed))
    }

    fn feed_is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn edge(&mut self) {
        let (server, resident_bytes) = (self.server.usage(), self.server.resident_bytes());
        self.edges.push(Edge { server, tools: own_usage(), resident_bytes });
    }
}

fn swarm_arguments(
    scenario: &Scenario,
    server: &Server,
    dialect: Dialect,
    options: &StepOptions,
) -> SwarmArguments {
    SwarmArguments {
        to: server.subscribers,
        subscribers: scenario.subscribers,
        channels_each: scenario.channels_each,
        of: scenario.channels,
        kind: "trade".to_owned(),
        bytes: options.bytes,
        seconds: options.seconds,
        warmup: options.warmup,
        wait: 10.0,
        dialect,
        by_url: false,
        seed: options.seed,
        parse_one_in: if scenario.is_latency { 1 } else { options.parse_one_in },
        pause_us: options.pause_us.unwrap_or(if scenario.is_latency { 0 } else { 250 }),
    }
}

fn feed_arguments(
    scenario: &Scenario,
    rate: f64,
    server: &Server,
    target: &Target,
    options: &StepOptions,
) -> FeedArguments {
    FeedArguments {
        to: server.ingest,
        channels: scenario.channels,
        rate,
        bytes: options.bytes,
        seconds: options.warmup + options.seconds + AFTER_WINDOW_S,
        seed: options.seed,
        kind: "trade".to_owned(),
        tick_us: 250,
        protocol: target.feed,
    }
}

impl Step {
    fn of(
        scenario: &Scenario,
        rate: f64,
        swarm: Report,
        feed: FeedReport,
        all: &Swarm,
        watch: &Watch<'_>,
    ) -> Self {
        let due = all
            .subscribers_of()
            .iter()
            .zip(&feed.per_channel)
            .map(|(subscribers, records)| subscribers * records);
        let due_total = due.sum();
        let wall_ns = swarm.window_s * 1e9;
        let (start, end) = (watch.edges[0], watch.edges[1]);
        let used = end.server.since(start.server);
        let server_cpu = used.cpu_ns as f64 / wall_ns;
        let server_waited = used.waited_ns as f64 / wall_ns;
        let tools_robbed = end.tools.since(start.tools).robbed_ns(wall_ns as u64, 1) as f64 / wall_ns;
        let feed_cpu = feed.cpu_ns as f64 / feed.elapsed_ns as f64;
        let held = swarm.is_whole(due_total)
            && swarm.arrived_share() >= ARRIVED_MIN
            && share(feed.published, feed.asked) >= ARRIVED_MIN
            && swarm.latency.p99 <= scenario.p99_ns_max;
        let verdict = Verdict::of(Evidence {
            held,
            server_busy: server_cpu + server_waited,
            tools_busy: swarm.cpu_share + feed_cpu + tools_robbed,
            feed_sent: share(feed.published, feed.asked),
            feed_blocked: feed.blocked_ns as f64 / feed.elapsed_ns as f64,
        });
        Self {
            rate,
            swarm,
            feed,
            due_total,
            server_cpu,
            server_waited,
            server_robbed: used.robbed_ns(wall_ns as u64, watch.server.cores) as f64 / wall_ns,
            feed_cpu,
            tools_robbed,
            resident_bytes: end.resident_bytes,
            resident_before_bytes: watch.resident_before_bytes,
            held,
            verdict,
        }
    }

    /// CPU of the server for each delivery, ns.
    pub(crate) fn server_ns_a_delivery(&self) -> f64 {
        self.server_cpu * 1e9 / self.swarm.deliveries_rate()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:.0} records/s: {}, feed {:.0} % (robbed {:.0} %); all told {} of {} ({:.3} %); server {:.0} % (waited {:.0} %), \
             {:.0} ns a delivery, {:.1} MiB; feed sent {:.1} %, late p99 {}, blocked {}, refused {}; saturated: {}",
            self.rate,
            self.swarm,
            self.feed_cpu * 100.0,
            self.tools_robbed * 100.0,
            self.swarm.arrived_total,
            self.due_total,
            share(self.swarm.arrived_total, self.due_total) * 100.0,
            self.server_cpu * 100.0,
            self.server_waited * 100.0,
            self.server_ns_a_delivery(),
            self.resident_bytes as f64 / 1_048_576.0,
            share(self.feed.published, self.feed.asked) * 100.0,
            Duration(self.feed.late.p99),
            Duration(self.feed.blocked_ns),
            self.feed.refused,
            self.verdict,
        )
    }
}
