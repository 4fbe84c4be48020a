//! `check-results`: the ratios that RESULTS.md states, against what their commands give now.
//!
//! The caller's thread waits for one command at a time. Must not compare absolute figures: machines differ, and a shared one differs
//! from minute to minute. Invariant: every row ends in one line, and the exit code is 0 only if each of them holds.

mod play;
mod rule;
mod table;

use crate::summary::Line;
use clap::Args;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use table::Row;

/// Which ratios to check.
#[derive(Debug, Clone, Args)]
pub(crate) struct CheckResultsArguments {
    /// Where the ratios are stated, in the table under "## Ratios that are checked"
    #[arg(long, default_value = "loadtest/RESULTS.md")]
    file: PathBuf,
    /// Only the row of this name
    #[arg(long)]
    only: Option<String>,
}

/// What a command printed, or why it has no say; by command, so that each is run once.
type Played = HashMap<Vec<String>, Result<Vec<Line>, String>>;

/// The `check-results` tool. An error: the file has no such table, or a row does not hold.
pub(crate) fn main(arguments: &CheckResultsArguments) -> io::Result<()> {
    let file = arguments.file.display();
    let text = fs::read_to_string(&arguments.file)
        .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?;
    let mut rows = table::parse(&text).map_err(|what| io::Error::other(format!("{file}: {what}")))?;
    if let Some(only) = &arguments.only {
        rows.retain(|row| table::name(row) == only);
    }
    if rows.is_empty() {
        return Err(io::Error::other(format!("{file}: no such ratio is stated, so nothing was checked")));
    }
    let mut played = Played::new();
    let holding = rows.iter().filter(|row| check(row, &mut played)).count();
    let said = format!("{holding} of {} ratios hold", rows.len());
    println!("{said}");
    if holding == rows.len() { Ok(()) } else { Err(io::Error::other(format!("{file}: only {said}"))) }
}

/// Checks one row and prints its line; whether it holds.
fn check(row: &Result<Row, table::Fault>, played: &mut Played) -> bool {
    let row = match row {
        Ok(row) => row,
        Err(fault) => {
            println!("{fault}");
            return false;
        }
    };
    let lines = played.entry(row.command.clone()).or_insert_with(|| play::run(&row.command));
    let found = lines.as_ref().map_err(Clone::clone).and_then(|lines| play::ratio(lines, row));
    match found {
        Ok((found, pairs)) => {
            let verdict = rule::judge(row.stated, found);
            println!("{}: stated {}, found {found} in {pairs}: {verdict}", row.name, row.stated);
            verdict.is_kept()
        }
        Err(what) => {
            println!("{}", table::Fault { line: row.line, name: row.name.clone(), what });
            false
        }
    }
}
