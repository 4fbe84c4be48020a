//! What a chosen rate saves: bytes, sends and CPU of the server for the same tape to the same dashboards.
//!
//! The driver's thread reads for the dashboards; the feed has one of its own. Must not compare runs of different tapes. Invariant:
//! the rates alternate, so that a bad moment of the machine hits all alike.

use super::crowd::Crowd;
use crate::check::{Metrics, ServerArguments, Tape, delivery, is_conflatable, play, times};
use crate::clock;
use crate::spread::Spread;
use clap::Args;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

const RATES_MS: [u64; 4] = [0, 100, 250, 1000];
/// After the feed's end, for the last windows to close.
const SETTLE_NS: u64 = 1_500_000_000;

/// Whom, what, how often.
#[derive(Debug, Clone, Args)]
pub(crate) struct RatesArguments {
    /// A recording [default: a generated tape]
    #[arg(long)]
    recording: Option<PathBuf>,
    /// How many times faster than it was recorded, each in turn
    #[arg(long, value_delimiter = ',', default_values_t = [1.0, 10.0])]
    speeds: Vec<f64>,
    /// Subscribers of all channels that take a rate
    #[arg(long, default_value_t = 100)]
    dashboards: usize,
    /// How long each run plays
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Rounds over all rates
    #[arg(long, default_value_t = 3)]
    repeat: usize,
    /// Leave depth diffs out
    #[arg(long)]
    plain_depth: bool,
    /// Of a generated tape
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    server: ServerArguments,
}

/// What one run cost.
#[derive(Default, Clone, Copy)]
struct Cost {
    bytes: f64,
    sends: f64,
    delivered: f64,
    cpu_s: f64,
}

/// The `figures rates` tool.
pub(super) fn main(arguments: &RatesArguments) -> io::Result<()> {
    for speed in &arguments.speeds {
        let tape = Tape::load(arguments.recording.as_deref(), arguments.seed, *speed, arguments.seconds)?;
        let mut costs: [Vec<Cost>; RATES_MS.len()] = Default::default();
        for round in 0..arguments.repeat {
            for turn in 0..RATES_MS.len() {
                let place = (round + turn) % RATES_MS.len();
                costs[place].push(run(arguments, &tape, *speed, RATES_MS[place])?);
            }
        }
        tell(arguments, &tape, *speed, &costs);
    }
    Ok(())
}

fn run(arguments: &RatesArguments, tape: &Tape, speed: f64, every_ms: u64) -> io::Result<Cost> {
    let server = arguments.server.start(&[&delivery(arguments.plain_depth)])?;
    let admin = server.admin.ok_or_else(|| io::Error::other("the server has no admin listener"))?;
    let names: Vec<&String> =
        tape.channels.iter().filter(|name| is_conflatable(name, arguments.plain_depth)).collect();
    let mut message = serde_json::json!({ "op": "subscribe", "id": 1, "channels": names });
    if every_ms > 0 {
        message["every_ms"] = every_ms.into();
    }
    let mut crowd = Crowd::gather(server.subscribers, arguments.dashboards)?;
    crowd.subscribe_all(&message.to_string())?;
    let (before, has_ended) = (server.usage(), AtomicBool::new(false));
    thread::scope(|scope| {
        let feed = scope.spawn(|| {
            let played = play(tape, server.ingest, speed, &times(tape));
            has_ended.store(true, Relaxed);
            played
        });
        while !has_ended.load(Relaxed) {
            crowd.throw_away(10_000_000)?;
        }
        feed.join().map_err(|_| io::Error::other("the feed panicked"))?
    })?;
    let until_ns = clock::now_ns() + SETTLE_NS;
    while clock::now_ns() < until_ns {
        crowd.throw_away(10_000_000)?;
    }
    let cpu_s = server.usage().since(before).cpu_ns as f64 / 1e9;
    let metrics = Metrics::scrape(admin)?;
    let [bytes, sends, delivered] =
        ["sent_bytes", "sends", "delivered_records"].map(|term| metrics.shard(term) as f64);
    Ok(Cost { bytes, sends, delivered, cpu_s })
}

fn tell(arguments: &RatesArguments, tape: &Tape, speed: f64, costs: &[Vec<Cost>]) {
    println!(
        "rates: {} records of {} channels at {speed} times the speed, {:.0} s, {} dashboards; medians of {} (lowest to highest)",
        tape.records.len(),
        tape.channels.len(),
        arguments.seconds,
        arguments.dashboards,
        arguments.repeat
    );
    println!(
        "| every_ms | sent MB | of 0 | sends | of 0 | records | server CPU s | of 0 |\n|---|---|---|---|---|---|---|---|"
    );
    let figure = |costs: &[Cost], of: fn(&Cost) -> f64| {
        let nothing = Spread { median: f64::NAN, lowest: f64::NAN, highest: f64::NAN };
        Spread::of(&costs.iter().map(of).collect::<Vec<_>>()).unwrap_or(nothing)
    };
    for (every_ms, own) in RATES_MS.iter().zip(costs) {
        let cell = |of: fn(&Cost) -> f64, unit: f64, digits: usize| {
            let Spread { median, lowest, highest } = figure(own, of).times(1.0 / unit);
            let of_0 = median / (figure(&costs[0], of).median / unit);
            format!("{median:.digits$} ({lowest:.digits$} to {highest:.digits$}) | {of_0:.3}")
        };
        println!(
            "| {every_ms} | {} | {} | {:.0} | {} |",
            cell(|cost| cost.bytes, 1e6, 2),
            cell(|cost| cost.sends, 1.0, 0),
            figure(own, |cost| cost.delivered).median,
            cell(|cost| cost.cpu_s, 1.0, 3),
        );
    }
}
