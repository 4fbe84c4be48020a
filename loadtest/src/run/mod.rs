//! The driver: scenarios end to end, against one server or several in turn.
//!
//! The driver's thread is the swarm's; the feed has one of its own; both are bound to the tools' core, the
//! server to another. Must not compare figures of different runs: servers alternate, round by round.
//! Invariant: every figure printed comes with the server's and the tools' share of their cores.

mod fanout;
mod idle;
mod ingest;

use crate::limit::SearchOptions;
use crate::scenario::Name;
use crate::server::pin_to;
use crate::spread::Spread;
use crate::step::StepOptions;
use crate::summary::{self, Line};
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
    let mut rounds: Vec<Vec<Vec<Figure>>> = targets.iter().map(|_| Vec::new()).collect();
    for _ in 0..arguments.repeat {
        for (target, rounds) in targets.iter().zip(&mut rounds) {
            match run_one(name, target, arguments) {
                Ok(outcome) => {
                    println!("{title} {}: {}", target.name, outcome.line);
                    rounds.push(outcome.figures);
                }
                Err(error) => {
                    println!("{title} {}: FAILED: {error}", target.name);
                    rounds.push(Vec::new());
                }
            }
        }
    }
    if arguments.repeat > 1 || targets.len() > 1 {
        print_summary(&title, targets, &rounds);
    }
}

/// Prints each figure's summary line. `rounds` is by server, then by round; a round that failed is empty.
pub(crate) fn print_summary(title: &str, targets: &[Target], rounds: &[Vec<Vec<Figure>>]) {
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    summed(title, &names, rounds).iter().for_each(|line| println!("{line}"));
}

/// Medians over the rounds, each beside the first server's.
fn summed(title: &str, servers: &[&str], rounds: &[Vec<Vec<Figure>>]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (server, own) in servers.iter().zip(rounds) {
        for name in names(own) {
            let values = by_round(own, name);
            let Some(spread) = Spread::of(&values.iter().flatten().copied().collect::<Vec<_>>()) else {
                continue;
            };
            lines.push(Line {
                scenario: title.to_owned(),
                server: (*server).to_owned(),
                figure: name.to_owned(),
                values: spread,
                ratio: summary::paired(&values, &by_round(&rounds[0], name)),
                base: servers[0].to_owned(),
            });
        }
    }
    lines
}

fn run_one(name: Name, target: &Target, arguments: &RunArguments) -> io::Result<Outcome> {
    match name {
        Name::Idle => idle::run(target, arguments),
        Name::Ingest => ingest::run(target, arguments),
        _ => fanout::run(name.scenario(), target, arguments),
    }
}

/// The figures' names, in the order in which they first came.
fn names(rounds: &[Vec<Figure>]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for figure in rounds.iter().flatten() {
        if !names.contains(&figure.name) {
            names.push(figure.name);
        }
    }
    names
}

/// One figure, round by round.
fn by_round(rounds: &[Vec<Figure>], name: &str) -> Vec<Option<f64>> {
    let value =
        |round: &Vec<Figure>| round.iter().find(|figure| figure.name == name).map(|figure| figure.value);
    rounds.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_that_failed_leaves_the_other_pairs_where_they_are() {
        let round = |value: f64| vec![Figure { name: "p50 us", value }];
        let rounds =
            [vec![round(10.0), round(20.0), round(30.0)], vec![round(20.0), Vec::new(), round(90.0)]];
        let lines = summed("quiet", &["tapecast", "bare"], &rounds);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].ratio.map(|ratio| ratio.median), Some(1.0));
        let ratio = lines[1].ratio.expect("two rounds have both");
        assert_eq!((ratio.lowest, ratio.highest, lines[1].base.as_str()), (2.0, 3.0, "tapecast"));
    }
}
