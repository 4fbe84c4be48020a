//! One fan-out scenario against one server: at one rate, or at the highest that it holds.
//!
//! The driver's thread runs the swarm, a second one the feed. Must not reuse a server: what one step left
//! behind would be the next one's load. Invariant: a rate is held only if 98 % of what was due arrived
//! within the window, 98 % of everything in the end, p99 kept the bound, and nobody was disconnected.

use super::target::Target;
use super::{Figure, Outcome, RunArguments};
use crate::feed::{self, FeedArguments, FeedReport};
use crate::latency::Duration;
use crate::scenario::Scenario;
use crate::search::Search;
use crate::server::{Server, Usage};
use crate::swarm::{Observer, Report, Swarm, SwarmArguments, share};
use crate::verdict::{Evidence, Verdict};
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// Share of what is due that must arrive.
const ARRIVED_MIN: f64 = 0.98;
/// Load goes on this long after the window, so that its end is not a lull.
const AFTER_WINDOW_S: f64 = 0.2;

/// Runs the scenario as the arguments say.
pub(super) fn run(scenario: Scenario, target: &Target, arguments: &RunArguments) -> io::Result<Outcome> {
    let scenario = Scenario {
        subscribers: arguments.subscribers.unwrap_or(scenario.subscribers),
        rate: arguments.rate.unwrap_or(scenario.rate),
        ..scenario
    };
    if arguments.search && !scenario.is_latency {
        return search(&scenario, target, arguments);
    }
    let step = step(&scenario, scenario.rate, target, arguments)?;
    Ok(Outcome { line: step.to_string(), figures: step.figures() })
}

fn search(scenario: &Scenario, target: &Target, arguments: &RunArguments) -> io::Result<Outcome> {
    let mut search = Search::new(scenario.rate, arguments.steps);
    let (mut best, mut last) = (None, None);
    while let Some(rate) = search.next() {
        let step = step_with_tries(scenario, rate, target, arguments)?;
        search.tell(step.held);
        if step.held { best = Some(step) } else { last = Some(step.verdict) }
    }
    let limit = last.map_or_else(|| "nothing, the steps ended".to_owned(), |verdict| verdict.to_string());
    match best {
        Some(step) => Ok(Outcome {
            line: format!("holds {step}; beyond it saturated: {limit}"),
            figures: step.figures(),
        }),
        None => Err(io::Error::other(format!("no rate tried was held; saturated: {limit}"))),
    }
}

fn step_with_tries(
    scenario: &Scenario,
    rate: f64,
    target: &Target,
    arguments: &RunArguments,
) -> io::Result<Step> {
    let mut tried = step(scenario, rate, target, arguments)?;
    for _ in 1..arguments.tries {
        if tried.held {
            break;
        }
        tried = step(scenario, rate, target, arguments)?;
    }
    Ok(tried)
}

/// One measurement at one rate.
struct Step {
    rate: f64,
    swarm: Report,
    feed: FeedReport,
    due_total: u64,
    server_cpu: f64,
    server_waited: f64,
    feed_cpu: f64,
    resident_bytes: u64,
    held: bool,
    verdict: Verdict,
}

fn step(scenario: &Scenario, rate: f64, target: &Target, arguments: &RunArguments) -> io::Result<Step> {
    let server = Server::start(&target.command, arguments.server_core)?;
    let mut swarm = Swarm::connect(&swarm_arguments(scenario, &server, arguments))?;
    let publish = feed_arguments(scenario, rate, &server, arguments);
    let (published, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut watch = Watch { server: &server, published: &published, done: &done, usage: Vec::new() };
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
    if arguments.verbose {
        println!("  {}: {step}", target.name);
    }
    Ok(step)
}

/// What the swarm asks for while it measures.
struct Watch<'a> {
    server: &'a Server,
    published: &'a AtomicU64,
    done: &'a AtomicBool,
    usage: Vec<Usage>,
}

impl Observer for Watch<'_> {
    fn published(&self) -> Option<u64> {
        Some(self.published.load(Ordering::Relaxed))
    }

    fn feed_is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn edge(&mut self) {
        self.usage.push(self.server.usage());
    }
}

fn swarm_arguments(scenario: &Scenario, server: &Server, arguments: &RunArguments) -> SwarmArguments {
    SwarmArguments {
        to: server.subscribers,
        subscribers: scenario.subscribers,
        channels_each: scenario.channels_each,
        of: scenario.channels,
        kind: "trade".to_owned(),
        bytes: arguments.bytes,
        seconds: arguments.seconds,
        warmup: arguments.warmup,
        wait: 10.0,
        dialect: arguments.dialect,
        by_url: false,
        seed: arguments.seed,
        parse_one_in: if scenario.is_latency { 1 } else { arguments.parse_one_in },
        pause_us: arguments.pause_us.unwrap_or(if scenario.is_latency { 0 } else { 250 }),
    }
}

fn feed_arguments(
    scenario: &Scenario,
    rate: f64,
    server: &Server,
    arguments: &RunArguments,
) -> FeedArguments {
    FeedArguments {
        to: server.ingest,
        channels: scenario.channels,
        rate,
        bytes: arguments.bytes,
        seconds: arguments.warmup + arguments.seconds + AFTER_WINDOW_S,
        seed: arguments.seed,
        kind: "trade".to_owned(),
        tick_us: 250,
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
        let (start, end) = (watch.usage[0], watch.usage[1]);
        let server_cpu = (end.cpu_ns - start.cpu_ns) as f64 / wall_ns;
        let server_waited = (end.waited_ns - start.waited_ns) as f64 / wall_ns;
        let feed_cpu = feed.cpu_ns as f64 / feed.elapsed_ns as f64;
        let held = swarm.arrived_share() >= ARRIVED_MIN
            && share(swarm.arrived_total, due_total) >= ARRIVED_MIN
            && share(feed.published, feed.asked) >= ARRIVED_MIN
            && swarm.latency.p99 <= scenario.p99_ns_max
            && swarm.closed == 0;
        let verdict = Verdict::of(Evidence {
            held,
            server_busy: server_cpu + server_waited,
            tools_busy: swarm.cpu_share + feed_cpu,
            feed_sent: share(feed.published, feed.asked),
            feed_blocked: feed.blocked_ns as f64 / feed.elapsed_ns as f64,
        });
        let resident_bytes = watch.server.resident_bytes();
        Self {
            rate,
            swarm,
            feed,
            due_total,
            server_cpu,
            server_waited,
            feed_cpu,
            resident_bytes,
            held,
            verdict,
        }
    }

    fn figures(&self) -> Vec<Figure> {
        vec![
            Figure { name: "deliveries M/s", value: self.swarm.deliveries_rate() / 1e6 },
            Figure { name: "p50 us", value: self.swarm.latency.p50 as f64 / 1e3 },
            Figure { name: "p99 us", value: self.swarm.latency.p99 as f64 / 1e3 },
            Figure { name: "server ns a delivery", value: self.server_ns_a_delivery() },
        ]
    }

    fn server_ns_a_delivery(&self) -> f64 {
        self.server_cpu * 1e9 / self.swarm.deliveries_rate()
    }
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:.0} records/s: {}, feed {:.0} %; all told {} of {} ({:.3} %); server {:.0} % (waited {:.0} %), \
             {:.0} ns a delivery, {:.1} MiB; feed sent {:.1} %, late p99 {}, blocked {}, refused {}; saturated: {}",
            self.rate,
            self.swarm,
            self.feed_cpu * 100.0,
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
