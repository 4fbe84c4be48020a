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
use crate::summary::{self, Line, Pairs};
use crate::target::Target;
use clap::Args;
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

/// What a round's figures may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Held,
    /// The load tool was at its end: the server's limit lies higher.
    AtLeast,
    /// They are told, but not compared.
    NotHeld,
}

/// One round of one server.
pub(crate) enum Round {
    Measured(Standing, Vec<Figure>),
    /// There is no figure.
    Failed,
}

/// What one round against one server gave: its line, and the figures to be summed up.
struct Outcome {
    line: String,
    standing: Standing,
    figures: Vec<Figure>,
}

/// The `run` tool.
pub(crate) fn main(arguments: &RunArguments) -> io::Result<()> {
    pin_to(arguments.step.cores.tools_core)?;
    let names = std::iter::once(&arguments.server).chain(&arguments.against);
    let targets: Vec<Target> = names.map(|name| Target::named(name)).collect::<io::Result<_>>()?;
    for name in &arguments.scenarios {
        compare(*name, &targets, arguments);
    }
    Ok(())
}

/// A server that does not start or refuses is a line that says so, and the others go on.
fn compare(name: Name, targets: &[Target], arguments: &RunArguments) {
    let title = name.title();
    let mut rounds: Vec<Vec<Round>> = targets.iter().map(|_| Vec::new()).collect();
    for _ in 0..arguments.repeat {
        for (target, rounds) in targets.iter().zip(&mut rounds) {
            match run_one(name, target, arguments) {
                Ok(outcome) => {
                    println!("{title} {}: {}", target.name, outcome.line);
                    rounds.push(Round::Measured(outcome.standing, outcome.figures));
                }
                Err(error) => {
                    println!("{title} {}: FAILED: {error}", target.name);
                    rounds.push(Round::Failed);
                }
            }
        }
    }
    if arguments.repeat > 1 || targets.len() > 1 {
        print_summary(&title, targets, &rounds);
    }
}

/// Prints each figure's summary line. `rounds` is by server, then by round.
pub(crate) fn print_summary(title: &str, targets: &[Target], rounds: &[Vec<Round>]) {
    let names: Vec<&str> = targets.iter().map(|target| target.name.as_str()).collect();
    summed(title, &names, rounds).iter().for_each(|line| println!("{line}"));
}

/// Medians over the rounds, each beside the first server's.
fn summed(title: &str, servers: &[&str], rounds: &[Vec<Round>]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (server, own) in servers.iter().zip(rounds) {
        for name in names(own) {
            let values: Vec<f64> = own.iter().filter_map(|round| round.figure(name)).collect();
            let Some(spread) = Spread::of(&values) else { continue };
            let (own, base) = (comparable(own, name), comparable(&rounds[0], name));
            lines.push(Line {
                scenario: title.to_owned(),
                server: (*server).to_owned(),
                figure: name.to_owned(),
                values: spread,
                ratio: summary::paired(&values_of(&own), &values_of(&base)),
                base: servers[0].to_owned(),
                pairs: Pairs::of(&own, &base),
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
fn names(rounds: &[Round]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for figure in rounds.iter().flat_map(Round::figures) {
        if !names.contains(&figure.name) {
            names.push(figure.name);
        }
    }
    names
}

impl Round {
    fn figures(&self) -> &[Figure] {
        match self {
            Self::Measured(_, figures) => figures,
            Self::Failed => &[],
        }
    }

    fn figure(&self, name: &str) -> Option<f64> {
        self.figures().iter().find(|figure| figure.name == name).map(|figure| figure.value)
    }
}

/// One figure, round by round, where it may be compared; and whether it is a bound.
fn comparable(rounds: &[Round], name: &str) -> Vec<Option<(f64, bool)>> {
    let value = |round: &Round| match round {
        Round::Measured(Standing::NotHeld, _) | Round::Failed => None,
        Round::Measured(standing, _) => Some((round.figure(name)?, *standing == Standing::AtLeast)),
    };
    rounds.iter().map(value).collect()
}

fn values_of(rounds: &[Option<(f64, bool)>]) -> Vec<Option<f64>> {
    rounds.iter().map(|round| round.map(|(value, _)| value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(standing: Standing, value: f64) -> Round {
        Round::Measured(standing, vec![Figure { name: "p50 us", value }])
    }

    #[test]
    fn a_round_that_was_not_held_is_told_but_not_compared_and_bounds_are_counted() {
        use Standing::{AtLeast, Held, NotHeld};
        let rounds = [
            vec![measured(Held, 10.0), measured(AtLeast, 20.0), measured(Held, 30.0)],
            vec![measured(NotHeld, 5.0), measured(Held, 40.0), measured(Held, 90.0)],
        ];
        let line = summed("hot", &["tapecast", "bun"], &rounds).remove(1);
        assert_eq!((line.values.lowest, line.values.highest), (5.0, 90.0));
        let ratio = line.ratio.expect("two rounds have both");
        assert_eq!((ratio.lowest, ratio.highest), (2.0, 3.0));
        assert_eq!(line.pairs, Pairs { counted: 2, rounds: 3, bounds: 1 });
    }

    #[test]
    fn a_round_that_failed_leaves_the_other_pairs_where_they_are() {
        let round = |value| measured(Standing::Held, value);
        let rounds =
            [vec![round(10.0), round(20.0), round(30.0)], vec![round(20.0), Round::Failed, round(90.0)]];
        let lines = summed("quiet", &["tapecast", "bare"], &rounds);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].ratio.map(|ratio| ratio.median), Some(1.0));
        let ratio = lines[1].ratio.expect("two rounds have both");
        assert_eq!((ratio.lowest, ratio.highest, lines[1].base.as_str()), (2.0, 3.0, "tapecast"));
    }
}
