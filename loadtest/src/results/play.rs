//! Runs a command of the table, and finds a row's ratio in what it prints.
//!
//! The caller's thread waits for the command. Must not start another program than this one. Invariant: a ratio comes from a command
//! that ended well, or there is none.

use super::table::Row;
use crate::spread::Spread;
use crate::summary::{Line, Pairs};
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// Fewer rounds with both figures show no spread: a row must not stand because its rounds failed.
const PAIRS_MIN: usize = 3;

/// Runs our own program with these arguments; its summary lines, or what went wrong. Shows on standard error what it prints.
pub(super) fn run(arguments: &[String]) -> Result<Vec<Line>, String> {
    let told = |error: io::Error| format!("loadtest {}: {error}", arguments.join(" "));
    eprintln!("loadtest {}", arguments.join(" "));
    let mut child = start(arguments).map_err(told)?;
    let output = child.stdout.take().map(BufReader::new);
    let mut lines = Vec::new();
    for line in output.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
        eprintln!("  {line}");
        lines.extend(Line::parse(&line));
    }
    let status = child.wait().map_err(told)?;
    if status.success() { Ok(lines) } else { Err(told(io::Error::other(status.to_string()))) }
}

fn start(arguments: &[String]) -> io::Result<Child> {
    let own = std::env::current_exe()?;
    Command::new(own).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// The ratio that a row states, as the command gives it now; it prints ratios of its first server, so one of a later server may stand
/// the other way round.
pub(super) fn ratio(lines: &[Line], row: &Row) -> Result<(Spread, Pairs), String> {
    let find = |server: &str, base: &str| {
        let is_it = |line: &&Line| {
            line.scenario == row.scenario
                && line.figure == row.figure
                && line.server == server
                && line.base == base
        };
        lines.iter().find(is_it).and_then(|line| Some((line.ratio?, line.pairs)))
    };
    let inverse = |(ratio, pairs): (Spread, Pairs)| (ratio.inverse(), pairs);
    let found = find(&row.server, &row.base).or_else(|| find(&row.base, &row.server).map(inverse));
    match found {
        Some((_, pairs)) if pairs.counted < PAIRS_MIN => Err(format!("too little to go by: {pairs}")),
        Some(found) => Ok(found),
        None => Err(format!(
            "the command does not print {} {} of {} / {}",
            row.scenario, row.figure, row.server, row.base
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATED: Spread = Spread { median: 4.0, lowest: 3.0, highest: 5.0 };

    fn row(server: &str, base: &str, figure: &str) -> Row {
        Row {
            line: 1,
            name: "one".to_owned(),
            command: Vec::new(),
            scenario: "hot".to_owned(),
            figure: figure.to_owned(),
            server: server.to_owned(),
            base: base.to_owned(),
            stated: STATED,
        }
    }

    fn lines() -> Vec<Line> {
        let line = "summary: hot | bun | p99 us | median 4 (2 to 8) | ratio 0.25 (0.2 to 0.5) of tapecast | 5 of 5 rounds compared";
        let none =
            "summary: hot | ws | p99 us | median 4 (2 to 8) | no ratio of tapecast | 0 of 5 rounds compared";
        let few = "summary: hot | nats | p99 us | median 4 (2 to 8) | ratio 0.25 (0.2 to 0.5) of tapecast | 2 of 5 rounds compared";
        [line, none, few].iter().filter_map(|line| Line::parse(line)).collect()
    }

    #[test]
    fn a_ratio_is_found_either_way_round() {
        let pairs = Pairs { counted: 5, rounds: 5, bounds: 0 };
        let spread = |median, lowest, highest| Ok((Spread { median, lowest, highest }, pairs));
        assert_eq!(ratio(&lines(), &row("bun", "tapecast", "p99 us")), spread(0.25, 0.2, 0.5));
        assert_eq!(ratio(&lines(), &row("tapecast", "bun", "p99 us")), spread(4.0, 2.0, 5.0));
    }

    #[test]
    fn a_figure_that_is_not_printed_is_an_error() {
        let found = ratio(&lines(), &row("bun", "tapecast", "p50 us"));
        assert_eq!(found, Err("the command does not print hot p50 us of bun / tapecast".to_owned()));
        assert!(ratio(&lines(), &row("ws", "tapecast", "p99 us")).is_err(), "a line without a ratio");
        assert!(ratio(&lines(), &row("bun", "bare", "p99 us")).is_err(), "another base");
        let few = ratio(&lines(), &row("nats", "tapecast", "p99 us"));
        assert_eq!(few, Err("too little to go by: 2 of 5 rounds compared".to_owned()));
    }
}
