//! `burst`: the recorded feed, at its pace and faster, to subscribers of all its channels.
//!
//! The driver's thread reads for all subscribers, the feed has one of its own; both run on the tools' core, the server on
//! another. Must not use a server twice. Invariant: a record carries no stamp; its latency is from the feed's note of it to
//! the read that brought its last byte, which is right only while the bytes received are those due, and so that is checked.

mod audience;
mod cursor;
mod figures;
mod player;
mod script;
mod subscriber;

pub(crate) use figures::BurstFigures;

use crate::check::{Metrics, Tape};
use crate::run::{Figure, Round, Standing, print_summary};
use crate::server::{Cores, Server, pin_to};
use crate::target::Target;
use audience::Audience;
use clap::Args;
use figures::{Aftermath, Withheld};
use player::Log;
use script::{Script, Wire};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

/// The recording that is played where none is named.
const RECORDING: &str = "../shared/data/binance_6inst_20240808.jsonl.gz";
/// Seconds of a generated tape where none are named.
const GENERATED_S: f64 = 60.0;
/// At the recorded pace this much around the worst second is played, by default.
const AROUND_WORST_S: f64 = 30.0;
/// Pings would add to what is counted, and the audience says itself that it is there.
const NO_PINGS: [&str; 4] = ["--set", "heartbeat.ping_every=1h", "--set", "heartbeat.pong_timeout=3h"];

/// What is played, to how many, how it is measured.
#[derive(Debug, Clone, Args)]
pub(crate) struct BurstOptions {
    /// Newline-delimited JSON, plain or gzip [default: ../shared/data/binance_6inst_20240808.jsonl.gz where it is]
    #[arg(long)]
    pub(crate) recording: Option<PathBuf>,
    /// Play a generated tape instead
    #[arg(long, conflicts_with = "recording")]
    pub(crate) generated: bool,
    /// Second of the recording to begin at [default: 0; at speed 1 around the worst second]
    #[arg(long)]
    pub(crate) from: Option<f64>,
    /// Seconds of the recording to play [default: all; at speed 1 30]
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Subscribers, each of all channels
    #[arg(long, default_value_t = 100, value_parser = at_least_one)]
    pub(crate) subscribers: usize,
    /// Least microseconds between two rounds of reading
    #[arg(long, default_value_t = 250)]
    pub(crate) pause_us: u64,
    /// Of a generated tape
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) cores: Cores,
}

/// What to play to whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct BurstArguments {
    /// The server: tapecast, bare, obvious, bun, ws, nchan, nats, mosquitto, or a command line that prints
    /// `listening <role> <address>`
    #[arg(long, default_value = "tapecast")]
    server: String,
    /// Others to run in turn with it, as for --server
    #[arg(long, value_delimiter = ',')]
    against: Vec<String>,
    /// Times the recorded pace; 0: as fast as the server takes it
    #[arg(long, value_delimiter = ',', default_value = "1,10,0", value_parser = speed)]
    speeds: Vec<f64>,
    /// Rounds over all servers
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    #[command(flatten)]
    burst: BurstOptions,
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|error| format!("{error}"))?;
    if speed.is_finite() && speed >= 0.0 { Ok(speed) } else { Err("a speed is 0 or more".to_owned()) }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let count = text.parse().map_err(|error| format!("{error}"))?;
    if count > 0 { Ok(count) } else { Err("at least one".to_owned()) }
}

/// The `burst` tool.
pub(crate) fn main(arguments: &BurstArguments) -> io::Result<()> {
    pin_to(arguments.burst.cores.tools_core)?;
    let names = std::iter::once(&arguments.server).chain(&arguments.against);
    let targets: Vec<Target> = names.map(|name| Target::named(name)).collect::<io::Result<_>>()?;
    arguments.burst.source()?;
    for speed in &arguments.speeds {
        let title = if *speed == 0.0 { "burst unpaced".to_owned() } else { format!("burst {speed}x") };
        let mut rounds: Vec<Vec<Round>> = targets.iter().map(|_| Vec::new()).collect();
        for _ in 0..arguments.repeat {
            for (target, rounds) in targets.iter().zip(&mut rounds) {
                rounds.push(told(&title, target, *speed, &arguments.burst));
            }
        }
        if arguments.repeat > 1 || targets.len() > 1 {
            print_summary(&title, &targets, &rounds);
        }
    }
    Ok(())
}

/// A server that does not start or refuses is a line that says so, and the others go on.
fn told(title: &str, target: &Target, speed: f64, options: &BurstOptions) -> Round {
    match measure(target, speed, options) {
        Ok(burst) => {
            println!("{title} {}: {burst}", target.name);
            if burst.is_void() { Round::Failed } else { Round::Measured(standing(&burst), summed_up(&burst)) }
        }
        Err(error) => {
            println!("{title} {}: FAILED: {error}", target.name);
            Round::Failed
        }
    }
}

/// Without a pace some side is always at its end.
fn standing(burst: &BurstFigures) -> Standing {
    match burst.speed > 0.0 {
        true if burst.held => Standing::Held,
        true => Standing::NotHeld,
        false if burst.verdict.is_the_tools() => Standing::AtLeast,
        false => Standing::Held,
    }
}

/// Without a pace latencies are the length of the queue, and there is no worst second.
fn summed_up(burst: &BurstFigures) -> Vec<Figure> {
    let mut figures = vec![
        Figure { name: "records/s", value: burst.records as f64 * 1e9 / burst.elapsed_ns as f64 },
        Figure { name: "egress MB/s", value: burst.whole.bytes_rate / 1e6 },
        Figure { name: "server ns a delivery", value: burst.server_ns_a_delivery },
    ];
    if burst.speed > 0.0 {
        figures.extend([
            Figure { name: "p50 us", value: burst.whole.latency.p50 as f64 / 1e3 },
            Figure { name: "p99 us", value: burst.whole.latency.p99 as f64 / 1e3 },
            Figure { name: "worst second p50 us", value: burst.worst.latency.p50 as f64 / 1e3 },
            Figure { name: "worst second p99 us", value: burst.worst.latency.p99 as f64 / 1e3 },
        ]);
    }
    figures
}

/// One run at a speed, against a server of its own. The calling thread becomes the audience.
pub(crate) fn measure(target: &Target, speed: f64, options: &BurstOptions) -> io::Result<BurstFigures> {
    let wire = Wire::of(target)?;
    let tape = options.tape()?;
    let script = options.script(&tape, speed, wire)?;
    let log = Log::new(script.records());
    let server = Server::start(&command(target), &options.cores.server_cores)?;
    let mut audience = Audience::connect(&script, &log, &server, options.subscribers, options.pause_us)?;
    let (heard, played) = thread::scope(|scope| {
        let playing = scope.spawn(|| player::play(&script, server.ingest, &log));
        let heard = audience.listen();
        (heard, playing.join().unwrap_or_else(|_| Err(io::Error::other("the feed panicked"))))
    });
    heard?;
    let after = Aftermath { resident_bytes: server.resident_bytes(), withheld: withheld(&server)? };
    Ok(BurstFigures::of(speed, &script, &audience, &played?, &after))
}

fn command(target: &Target) -> Vec<String> {
    let more: &[&str] = if target.name == "tapecast" { &NO_PINGS } else { &[] };
    target.command.iter().cloned().chain(more.iter().map(|word| (*word).to_owned())).collect()
}

fn withheld(server: &Server) -> io::Result<Option<Withheld>> {
    let Some(admin) = server.admin else { return Ok(None) };
    let metrics = Metrics::scrape(admin)?;
    let records = |fate: &str| metrics.shard(&format!("{fate}_records"));
    Ok(Some(Withheld {
        conflated: records("conflated"),
        merged: records("merged"),
        dropped: records("dropped"),
        missed: records("missed"),
    }))
}

impl BurstOptions {
    /// The recording; `None` for a generated tape.
    fn source(&self) -> io::Result<Option<&Path>> {
        match (&self.recording, self.generated) {
            (_, true) => Ok(None),
            (Some(path), false) => Ok(Some(path)),
            (None, false) if Path::new(RECORDING).exists() => Ok(Some(Path::new(RECORDING))),
            (None, false) => Err(io::Error::other(format!(
                "there is no recording at {RECORDING}: name one with --recording FILE, or play a made one with --generated"
            ))),
        }
    }

    fn tape(&self) -> io::Result<Tape> {
        let source = self.source()?;
        let seconds = match (source, self.seconds) {
            (_, Some(seconds)) if self.from.is_some() => self.from.unwrap_or(0.0) + seconds,
            (None, _) => self.from.unwrap_or(0.0) + self.seconds.unwrap_or(GENERATED_S),
            _ => f64::INFINITY,
        };
        Tape::load(source, self.seed, 1.0, seconds)
    }

    /// The part that is played at a speed.
    fn script<'a>(&self, tape: &'a Tape, speed: f64, wire: Wire) -> io::Result<Script<'a>> {
        let (mut from, mut seconds) = (self.from.unwrap_or(0.0), self.seconds.unwrap_or(f64::INFINITY));
        if speed == 1.0 && self.from.is_none() {
            let worst = Script::new(tape, 0..tape.records.len(), speed, wire).worst;
            seconds = self.seconds.unwrap_or(AROUND_WORST_S);
            from = (tape.records[worst.start].at_ns as f64 / 1e9 + 0.5 - seconds / 2.0).max(0.0);
        }
        let places = script::places_within(tape, (from * 1e9) as u64, (seconds * 1e9) as u64);
        if places.is_empty() {
            return Err(io::Error::other(format!("the tape holds nothing from second {from} on")));
        }
        Ok(Script::new(tape, places, speed, wire))
    }
}
