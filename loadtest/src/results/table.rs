//! The table of checked ratios in RESULTS.md.
//!
//! Pure. Must not run anything. Invariant: every row of the table comes out, as a row or as a fault that names it and its line; none is
//! passed over.

use crate::spread::Spread;
use std::fmt;

/// The heading under which the table stands.
pub(super) const HEADING: &str = "## Ratios that are checked";
const COLUMNS: [&str; 7] = ["name", "command", "figure", "server / base", "ratio", "lowest", "highest"];

/// A ratio and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// In the file, from 1.
    pub(super) line: usize,
    pub(super) name: String,
    /// The arguments, without the program's name.
    pub(super) command: Vec<String>,
    pub(super) scenario: String,
    pub(super) figure: String,
    pub(super) server: String,
    pub(super) base: String,
    pub(super) stated: Spread,
}

/// A row that could not be checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: ERROR in line {}: {}", self.name, self.line, self.what)
    }
}

/// The name of a row, whether it could be read or not.
pub(super) fn name(row: &Result<Row, Fault>) -> &str {
    match row {
        Ok(row) => &row.name,
        Err(fault) => &fault.name,
    }
}

/// The rows under the heading. An error: there is no such heading, or no table of these columns under it.
pub(super) fn parse(text: &str) -> Result<Vec<Result<Row, Fault>>, String> {
    let numbered = text.lines().zip(1..).skip_while(|(line, _)| line.trim_end() != HEADING);
    let section = numbered.skip(1).take_while(|(line, _)| !line.starts_with("## "));
    let mut table = section.filter(|(line, _)| line.trim_start().starts_with('|'));
    let (head, line) = table.next().ok_or_else(|| format!("no table under {HEADING:?}"))?;
    if !cells(head).iter().map(String::as_str).eq(COLUMNS) {
        return Err(format!("line {line}: the columns are not {}", COLUMNS.join(" | ")));
    }
    let rows = table.filter(|(line, _)| !is_rule(line));
    Ok(rows.map(|(text, line)| row(text, line)).collect())
}

/// The line between a table's head and its rows.
fn is_rule(line: &str) -> bool {
    line.chars().all(|letter| matches!(letter, '|' | '-' | ':' | ' '))
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|');
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    inner.split('|').map(|cell| cell.trim().trim_matches('`').trim().to_owned()).collect()
}

fn row(text: &str, line: usize) -> Result<Row, Fault> {
    let cells = cells(text);
    let name = cells.first().cloned().unwrap_or_default();
    let fault = |what: String| Fault { line, name: name.clone(), what };
    let [_, command, figure, servers, ratio, lowest, highest] = cells.as_slice() else {
        return Err(fault(format!("{} cells instead of {}", cells.len(), COLUMNS.len())));
    };
    let (scenario, figure) =
        figure.split_once(' ').ok_or_else(|| fault(format!("{figure:?} is no scenario and figure")))?;
    let (server, base) =
        servers.split_once(" / ").ok_or_else(|| fault(format!("{servers:?} is no server / base")))?;
    if server.trim() == base.trim() {
        return Err(fault(format!("{} beside itself is always 1", base.trim())));
    }
    Ok(Row {
        line,
        command: arguments(command).map_err(&fault)?,
        scenario: scenario.to_owned(),
        figure: figure.to_owned(),
        server: server.trim().to_owned(),
        base: base.trim().to_owned(),
        stated: stated(ratio, lowest, highest).map_err(&fault)?,
        name: name.clone(),
    })
}

/// What comes after the program's name. Only `run` gives ratios; words are divided by white space, as a server's command is.
fn arguments(command: &str) -> Result<Vec<String>, String> {
    let mut words = command.split_whitespace();
    let program = words.next().unwrap_or_default();
    let words: Vec<String> = words.map(str::to_owned).collect();
    let is_ours = program == "loadtest" || program.ends_with("/loadtest");
    if !is_ours || words.first().map(String::as_str) != Some("run") {
        return Err(format!("{command:?} is no `loadtest run`"));
    }
    if command.contains(['\'', '"']) {
        return Err("no shell reads the command: quotes have no meaning".to_owned());
    }
    Ok(words)
}

fn stated(ratio: &str, lowest: &str, highest: &str) -> Result<Spread, String> {
    let number = |text: &str| {
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value > 0.0);
        value.ok_or_else(|| format!("{text:?} is no ratio"))
    };
    let stated = Spread { median: number(ratio)?, lowest: number(lowest)?, highest: number(highest)? };
    if stated.lowest > stated.median || stated.median > stated.highest {
        return Err(format!("{ratio} does not lie from {lowest} to {highest}"));
    }
    if stated.lowest == stated.highest {
        return Err("a ratio without a spread cannot be checked: use --repeat 5".to_owned());
    }
    Ok(stated)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# Results\n\n## Ratios that are checked\n\nFive rounds.\n\n\
        | name | command | figure | server / base | ratio | lowest | highest |\n|---|---|---|---|---|---|---|\n";

    fn rows(table: &str) -> Vec<Result<Row, Fault>> {
        parse(&format!("{HEAD}{table}\n\n## After\n\n| a | table | of another kind |\n")).expect("a table")
    }

    fn fault(row: &str) -> Fault {
        rows(row).remove(0).expect_err("a row that cannot be read")
    }

    #[test]
    fn a_row_is_read_with_its_line() {
        let rows = rows(
            "| beside Bun | `target/release/loadtest run hot --against bun --repeat 5` | hot deliveries M/s | \
             tapecast / bun | 4.1 | 3.6 | 4.5 |",
        );
        let [Ok(row)] = rows.as_slice() else { panic!("{rows:?}") };
        assert_eq!((row.line, row.name.as_str()), (9, "beside Bun"));
        assert_eq!(row.command, ["run", "hot", "--against", "bun", "--repeat", "5"]);
        assert_eq!((row.scenario.as_str(), row.figure.as_str()), ("hot", "deliveries M/s"));
        assert_eq!((row.server.as_str(), row.base.as_str()), ("tapecast", "bun"));
        assert_eq!(row.stated, Spread { median: 4.1, lowest: 3.6, highest: 4.5 });
    }

    #[test]
    fn a_row_that_cannot_be_read_is_named_with_its_line() {
        let row = |command: &str, rest: &str| format!("| one | {command} | {rest} |");
        let good = "hot p99 us | a / b | 2 | 1 | 3";
        assert_eq!(fault("| one | two |").to_string(), "one: ERROR in line 9: 2 cells instead of 7");
        assert!(fault(&row("make bench", good)).what.contains("no `loadtest run`"));
        assert!(fault(&row("loadtest check-results", good)).what.contains("no `loadtest run`"));
        assert!(fault(&row("loadtest run hot --server 'a b'", good)).what.contains("quotes"));
        let read = |rest: &str| fault(&row("loadtest run hot", rest)).what;
        assert!(read("p99 | a / b | 2 | 1 | 3").contains("no scenario and figure"));
        assert!(read("hot p99 us | a | 2 | 1 | 3").contains("no server / base"));
        assert!(read("hot p99 us | a / a | 1 | 0.9 | 1.1").contains("beside itself"));
        assert!(read("hot p99 us | a / b | two | 1 | 3").contains("\"two\" is no ratio"));
        assert!(read("hot p99 us | a / b | 9 | 1 | 3").contains("does not lie"));
        assert!(read("hot p99 us | a / b | NaN | 1 | 3").contains("is no ratio"));
        assert!(read("hot p99 us | a / b | 2 | 2 | 2").contains("without a spread"));
    }

    #[test]
    fn rows_after_a_bad_one_are_still_read() {
        let rows = rows("| bad |\n| one | loadtest run hot | hot p99 us | a / b | 2 | 1 | 3 |");
        assert!(matches!(rows.as_slice(), [Err(_), Ok(_)]), "{rows:?}");
    }

    #[test]
    fn a_file_without_the_table_is_an_error_and_not_a_pass() {
        assert!(parse("# Results\n").expect_err("no heading").contains("no table"));
        assert!(parse(&format!("{HEADING}\n\nNone yet.\n")).expect_err("no table").contains("no table"));
        assert!(parse(&format!("{HEADING}\n| a | b |\n")).expect_err("columns").contains("line 2"));
    }
}
