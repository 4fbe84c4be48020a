//! `check`: the recorded feed over real sockets to subscribers of every kind, and every sequence of each followed.
//!
//! The driver's thread starts server and readers and stops and continues the readers; feed and healthy subscribers have a thread
//! each. Must not trust the server in anything: what is expected follows from the tape. Invariant: the check fails if one step
//! of one subscriber is not explained, and says which.

mod books;
mod connection;
mod context;
mod depth;
mod expected;
mod group;
mod metrics;
mod pace;
mod plan;
mod play;
mod reader;
mod record;
mod report;
mod run;
mod subscriber;
mod tape;
#[cfg(test)]
mod tests;
mod trail;

pub(crate) use connection::{Connection, Heard};
pub(crate) use metrics::Metrics;
pub(crate) use plan::{delivery, is_conflatable};
pub(crate) use play::{play, times};
pub(crate) use reader::{ReaderArguments, main as reader_main};
pub(crate) use tape::Tape;

use crate::latency::Duration;
use crate::server::Server;
use crate::spread::Spread;
use clap::Args;
use expected::{Expected, Spool};
use plan::{PlanArguments, Role};
use report::Report;
use run::Outcome;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// How much slower the healthy may get by the others.
const RATIO_MAX: f64 = 1.5;

/// What is played to whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckArguments {
    /// A recording: newline-delimited JSON, plain or gzip [default: a generated tape]
    #[arg(long)]
    recording: Option<PathBuf>,
    /// How many times faster than it was recorded
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// How long to play
    #[arg(long, default_value_t = 30.0)]
    seconds: f64,
    #[command(flatten)]
    plan: PlanArguments,
    #[command(flatten)]
    server: ServerArguments,
    /// Processes that the stopped subscribers are spread over
    #[arg(long, default_value_t = 10)]
    stopped_processes: usize,
    /// Seconds that a process is stopped at most
    #[arg(long, default_value_t = 3.0)]
    stop_max: f64,
    /// Seconds from the feed's end within which everybody who reads has to have the last values
    #[arg(long, default_value_t = 1.0)]
    last_within: f64,
    /// Compare the books of slow and fast readers instead
    #[arg(long, conflicts_with_all = ["pairs", "plain_depth"])]
    depth: bool,
    /// Alternate so many runs with and without the others, and compare the healthy ones' latency
    #[arg(long)]
    pairs: Option<usize>,
}

/// The server under the check.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArguments {
    /// The program
    #[arg(long, default_value = "target/release/tapecast")]
    pub(crate) program: PathBuf,
    /// Its shards
    #[arg(long, default_value_t = 2)]
    pub(crate) shards: usize,
    /// Further settings of it, as `outbox.bytes_max=65536`
    #[arg(long = "set")]
    pub(crate) settings: Vec<String>,
}

impl ServerArguments {
    /// Starts it, with these settings before those of the arguments.
    pub(crate) fn start(&self, settings: &[&str]) -> io::Result<Server> {
        // What it would say of each subscriber that hangs up is not asked here.
        let mut command = vec!["env".to_owned(), "TAPECAST_LOG=warn".to_owned()];
        command.extend([self.program.to_string_lossy().into_owned(), "serve".to_owned()]);
        for listener in ["--listen", "--ingest-listen", "--admin-listen"] {
            command.extend([listener.to_owned(), "127.0.0.1:0".to_owned()]);
        }
        command.extend(["--shards".to_owned(), self.shards.to_string()]);
        let roomy = ["limits.connections_per_address=0", "shutdown.drain=0s"];
        let own = self.settings.iter().map(String::as_str);
        for setting in roomy.into_iter().chain(settings.iter().copied()).chain(own) {
            command.extend(["--set".to_owned(), setting.to_owned()]);
        }
        Server::start_with_admin(&command)
    }
}

/// The `check` tool.
pub(crate) fn main(arguments: &CheckArguments) -> io::Result<()> {
    let seed = arguments.plan.seed;
    let tape = Tape::load(arguments.recording.as_deref(), seed, arguments.speed, arguments.seconds)?;
    let spool = Spool::write(&tape)?;
    let expected = Arc::new(Expected::open(spool.folder())?);
    let source =
        arguments.recording.as_ref().map_or_else(|| "generated".into(), |path| path.to_string_lossy());
    println!(
        "check: seed {seed}; {} records of {} channels ({source}) at {} times the speed",
        tape.records.len(),
        tape.channels.len(),
        arguments.speed
    );
    let check = run::Check { arguments, tape: &tape, spool: &spool, expected: &expected };
    match (arguments.depth, arguments.pairs) {
        (true, _) => check.depth(),
        (_, Some(pairs)) => compare(&check, pairs),
        _ => judge(&check.run(true)?),
    }
}

/// Prints what came of a run; an error where it broke the protocol.
fn judge(outcome: &Outcome) -> io::Result<()> {
    println!("{}", Report::head());
    let mut all = Report::default();
    for role in Role::ALL {
        if let Some(report) = outcome.reports.get(role.name()) {
            println!("{}", report.row(role.name()));
            all.add(report.clone());
        }
    }
    println!("{}", all.row("all"));
    println!("healthy: latency {}; ledger: {}", outcome.latency, outcome.ledger);
    outcome.wrongs.iter().for_each(|wrong| println!("VIOLATION {wrong}"));
    all.first.iter().for_each(|violation| println!("VIOLATION {violation}"));
    match all.violations + outcome.wrongs.len() as u64 {
        0 => {
            println!("check: every step is explained");
            Ok(())
        }
        count => Err(io::Error::other(format!("{count} violations"))),
    }
}

/// Alternating runs with and without the others, the order turned from pair to pair.
fn compare(check: &run::Check<'_>, pairs: usize) -> io::Result<()> {
    let mut ratios = Vec::new();
    for pair in 0..pairs {
        let mut p99_ns = [0; 2];
        for turn in 0..2 {
            let others = (pair + turn) % 2 == 0;
            let outcome = check.run(others)?;
            judge(&outcome)?;
            p99_ns[usize::from(others)] = outcome.latency.p99;
        }
        let ratio = p99_ns[1] as f64 / p99_ns[0].max(1) as f64;
        println!(
            "pair {pair}: p99 without {}, with {}, ratio {ratio:.2}",
            Duration(p99_ns[0]),
            Duration(p99_ns[1])
        );
        ratios.push(ratio);
    }
    let Spread { median, lowest, highest } =
        Spread::of(&ratios).ok_or_else(|| io::Error::other("no pairs"))?;
    println!(
        "pairs: the healthy ones' p99 with the others is {median:.2} times that without (from {lowest:.2} to {highest:.2})"
    );
    match median <= RATIO_MAX {
        true => Ok(()),
        false => Err(io::Error::other(format!("the healthy are slowed down by more than {RATIO_MAX}"))),
    }
}
