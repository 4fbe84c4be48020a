//! The driver: scenarios end to end, against one server or several in turn.
//!
//! The driver's thread is the swarm's; the feed has one of its own; both are bound to the tools' core, the
//! server to another. Must not compare figures of different runs: servers alternate, round by round.
//! Invariant: every figure printed comes with the server's and the tools' share of their cores.

mod fanout;
mod idle;
mod ingest;

use crate::latency::median_and_spread;
use crate::limit::SearchOptions;
use crate::scenario::Name;
use crate::server::pin_to;
use crate::step::StepOptions;
use crate::target::Target;
use clap::{Args, ValueEnum};
use std::io;

/// What to run, against whom.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunArguments {
    /// Scenarios, by name
    #[arg(required = true, value_enum)]
    scenarios: Vec<Name>,
    /// The server: tapecast, bare, obvious, bun, ws, socketio, nats, nchan, mosquitto, or a command line that prints
    /// `listening <role> <address>`
    #[arg(long, default_value = "tapecast")]
    server: String,
    /// Others to run in turn with it, as for --server
    #[arg(long, value_delimiter = ',')]
    against: Vec<String>,
    /// Find the highest rate that is held, instead of trying one
    #[arg(long)]
    search: bool,
    /// Records a second; the search begins there [default: the scenario's]
    #[arg(long)]
    rate: Option<f64>,
    /// Rounds over all servers
    #[arg(long, default_value_t = 1)]
    repeat: u32,
    /// Subscribers [default: the scenario's]
    #[arg(long)]
    subscribers: Option<usize>,
    #[command(flatten)]
    limit: SearchOptions,
    #[command(flatten)]
    step: StepOptions,
}

/// One figure that is summed up over the rounds.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
}

/// What one round against one server gave: its line, and the figures to be summed up.
struct Outcome {
    line: String,
    figures: Vec<Figure>,
}

/// The `run` tool.
pub(crate) fn main(arguments: &RunArguments) -> io::Result<()> {
    pin_to(arguments.step.tools_core)?;
    let names = std::iter::once(&arguments.server).chain(&arguments.against);
    let targets: Vec<Target> = names.map(|name| Target::named(name)).collect::<io::Result<_>>()?;
    for name in &arguments.scenarios {
        compare(*name, &targets, arguments);
    }
    Ok(())
}

/// A server that does not start or refuses is a line that says so, and the others go on.
fn compare(name: Name, targets: &[Target], arguments: &RunArguments) {
    let title = name.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let mut figures: Vec<Vec<Figure>> = targets.iter().map(|_| Vec::new()).collect();
    for _ in 0..arguments.repeat {
        for (target, figures) in targets.iter().zip(&mut figures) {
            match run_one(name, target, arguments) {
                Ok(outcome) => {
                    println!("{title} {}: {}", target.name, outcome.line);
                    figures.extend(outcome.figures);
                }
                Err(error) => println!("{title} {}: FAILED: {error}", target.name),
            }
        }
    }
    if arguments.repeat > 1 || targets.len() > 1 {
        print_summary(&title, targets, &figures);
    }
}

/// Medians over the rounds, each beside the first server's.
pub(crate) fn print_summary(title: &str, targets: &[Target], figures: &[Vec<Figure>]) {
    let first = figures.first().map(|figures| medians(figures)).unwrap_or_default();
    for (target, figures) in targets.iter().zip(figures) {
        for (name, median, low, high) in medians(figures) {
            let base =
                first.iter().find(|(other, ..)| *other == name).map_or(f64::NAN, |(_, base, ..)| *base);
            let (ratio, first) = (median / base, &targets[0].name);
            println!(
                "{title} {} {name}: median {median:.3} (from {low:.3} to {high:.3}), {ratio:.2} of {first}",
                target.name
            );
        }
    }
}

fn run_one(name: Name, target: &Target, arguments: &RunArguments) -> io::Result<Outcome> {
    match name {
        Name::Idle => idle::run(target, arguments),
        Name::Ingest => ingest::run(target, arguments),
        _ => fanout::run(name.scenario(), target, arguments),
    }
}

/// Median, lowest and highest of each figure, in the order in which they first came.
fn medians(figures: &[Figure]) -> Vec<(&'static str, f64, f64, f64)> {
    let mut names: Vec<&'static str> = Vec::new();
    for figure in figures {
        if !names.contains(&figure.name) {
            names.push(figure.name);
        }
    }
    let values = |name| -> Vec<f64> {
        figures.iter().filter(|figure| figure.name == name).map(|figure| figure.value).collect()
    };
    let summed = names.into_iter().filter_map(|name| {
        median_and_spread(&values(name)).map(|(median, low, high)| (name, median, low, high))
    });
    summed.collect()
}
