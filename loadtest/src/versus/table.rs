//! The comparison as one Markdown table.
//!
//! Pure. Must not leave a server out: one that failed has a row that says so. Invariant: every row has the same columns, whatever a
//! server said.

use super::case::Base;
use super::row::{Bound, Figure, Row};
use crate::spread::{Spread, rounded};
use crate::summary::paired;
use std::fmt::Write;

const HEAD: &str = "| scenario | server | M deliveries/s | ratio | saturated | server ns a delivery | frames a read \
    | p50 ms | p99 ms | p99.9 ms | max ms | bytes a connection | rounds |\n\
    |---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
/// Cells of a row after the server's name.
const CELLS: usize = 11;
/// Digits that are told: rounds differ by more.
const DIGITS: i32 = 3;
/// A server's name or error in the table, characters at most.
const TEXT_MAX: usize = 160;
/// Share of the time in which something else may have the server's core before its row is marked.
const ROBBED_MAX: f64 = 0.05;

/// The server that is the roof.
pub(super) const ROOF: &str = "bare";

/// All rows, in their order; the first server is the one that ratios are of.
pub(super) fn render(rows: &[Row]) -> String {
    let mut table = HEAD.to_owned();
    for row in rows {
        let cells = if row.has_failed() { failed(row) } else { cells(row, rows) };
        let (title, server) = (row.case.title(), text(&row.server));
        // Writing to a string does not fail.
        let _ = writeln!(table, "| {title} | {server} | {} |", cells.join(" | "));
    }
    table
}

/// What the table's words and marks mean; `first` is the server that ratios are of.
pub(super) fn legend(first: &str) -> String {
    format!(
        "Median of the rounds (lowest to highest); of p99.9, frames and max the median only. Hot, dash, all, wide: the highest rate of \
         which all arrived with p99 within the bound (50 ms, wide 100 ms), by search, and the figures at that rate; quiet and burst: at the rate given, burst's latencies those of its worst second; idle: memory. \
         *Ratio*: of {first}, of deliveries a second (bytes a connection in idle, p99 in burst), round by round; in quiet of {ROOF}'s p50 \
         and p99; of rounds that were held alone. *Saturated*: who was at its end at the lowest rate that was not held. `>=`: the load tool was at its end as well or \
         alone, or no rate failed: not the server's limit, which is higher. `<=`, `?`: a ratio of such a figure, or of two. *Frames a \
         read*: what a receiver found in one read, which is what one send brought as long as receivers are awake. *Bytes a connection*: \
         resident at load less before, by connections; of 100 (quiet) it says nothing. DISTURBED: something else may have run on the server's core (of a server of several threads that leave \
         it idle now and then, they themselves), so the figures are not its own.\n"
    )
}

fn failed(row: &Row) -> Vec<String> {
    let mut cells = vec![String::new(); CELLS];
    cells[0] = format!("**failed**: {}", text(row.error().unwrap_or("no round")));
    cells
}

fn cells(row: &Row, rows: &[Row]) -> Vec<String> {
    let spread = |figure, unit: f64| row.spread(figure).map(|spread| spread.times(1.0 / unit));
    let shown = |figure, unit| spread(figure, unit).map(told).unwrap_or_default();
    let median = |figure, unit| spread(figure, unit).map(|it| rounded(it.median, DIGITS)).unwrap_or_default();
    let deliveries = shown(Figure::Deliveries, 1e6);
    let mark = if deliveries.is_empty() { "" } else { row.bound().mark() };
    vec![
        format!("{mark}{deliveries}"),
        ratios(row, rows),
        sides(row),
        shown(Figure::Cpu, 1.0),
        median(Figure::Frames, 1.0),
        shown(Figure::P50, 1e6),
        shown(Figure::P99, 1e6),
        median(Figure::P999, 1e6),
        median(Figure::Max, 1e6),
        shown(Figure::Resident, 1.0),
        rounds(row),
    ]
}

/// The ratios that the case tells, of the rows of the same case.
fn ratios(row: &Row, rows: &[Row]) -> String {
    let mut told_ones = Vec::new();
    for (figure, base) in row.case.ratios() {
        let mut same = rows.iter().filter(|other| other.case == row.case);
        let base = match base {
            Base::First => same.next(),
            Base::Bare => same.find(|other| other.server == ROOF),
        };
        let Some(base) = base.filter(|base| base.server != row.server) else { continue };
        let Some(ratio) = paired(&row.comparable(*figure), &base.comparable(*figure)) else { continue };
        let (mark, name) = match figure {
            Figure::Deliveries => (Bound::of_ratio(row.bound(), base.bound()).mark(), ""),
            Figure::P50 => ("", "p50 "),
            Figure::P99 => ("", "p99 "),
            _ => ("", ""),
        };
        told_ones.push(format!("{name}{mark}{}", told(ratio)));
    }
    told_ones.join(", ")
}

/// Who was at its end, and whether the server had its core to itself.
fn sides(row: &Row) -> String {
    let robbed = row.spread(Figure::Robbed).map_or(0.0, |spread| spread.median);
    if robbed < ROBBED_MAX {
        return row.sides();
    }
    format!(
        "{}; DISTURBED: for up to {:.0} % of the time something else had its core",
        row.sides(),
        robbed * 100.0
    )
}

fn rounds(row: &Row) -> String {
    let (good, all) = (row.samples().count(), row.rounds.len());
    match row.error() {
        Some(error) => format!("{good} of {all}: {}", text(error)),
        None => all.to_string(),
    }
}

/// A median with its spread; without, where the rounds do not differ.
fn told(spread: Spread) -> String {
    let [median, lowest, highest] =
        [spread.median, spread.lowest, spread.highest].map(|value| rounded(value, DIGITS));
    if lowest == highest { median } else { format!("{median} ({lowest} to {highest})") }
}

/// Words of another program as one cell.
fn text(words: &str) -> String {
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
    if line.chars().count() <= TEXT_MAX {
        return line;
    }
    line.chars().take(TEXT_MAX).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::case::Case;
    use super::super::row::tests::{row, sample};
    use super::super::row::{Sample, Side};
    use super::*;
    use crate::verdict::Verdict;

    const SERVER: Side = Side::Beyond(Verdict::Server);
    const SWARM: Side = Side::Beyond(Verdict::Swarm);

    fn lines(rows: &[Row]) -> Vec<String> {
        render(rows).lines().skip(2).map(str::to_owned).collect()
    }

    #[test]
    fn a_row_has_its_spread_and_its_ratio_of_the_first_server() {
        let rows = [
            row("tapecast", vec![Ok(sample(20e6, SERVER)), Ok(sample(40e6, SERVER))]),
            row("bun", vec![Ok(sample(5e6, SERVER)), Ok(sample(8e6, SERVER))]),
        ];
        let lines = lines(&rows);
        assert!(
            lines[0].starts_with("| hot | tapecast | 30.0 (20.0 to 40.0) |  | server | 26.0 |"),
            "{lines:?}"
        );
        assert!(
            lines[1].starts_with("| hot | bun | 6.50 (5.00 to 8.00) | 0.225 (0.200 to 0.250) | server |")
        );
        assert!(lines[1].ends_with("| 2 |"), "{lines:?}");
    }

    #[test]
    fn where_the_tool_was_at_its_end_the_limit_and_its_ratios_are_marked() {
        let rows = [
            row("tapecast", vec![Ok(sample(40e6, SWARM))]),
            row("bare", vec![Ok(sample(40e6, SWARM))]),
            row("bun", vec![Ok(sample(10e6, SERVER))]),
        ];
        let lines = lines(&rows);
        assert!(lines[0].starts_with("| hot | tapecast | >= 40.0 |  | swarm |"), "{lines:?}");
        assert!(lines[1].starts_with("| hot | bare | >= 40.0 | ? 1.00 | swarm |"), "{lines:?}");
        assert!(lines[2].starts_with("| hot | bun | 10.0 | <= 0.250 | server |"), "{lines:?}");
    }

    #[test]
    fn a_server_that_failed_is_a_row_with_its_error_in_the_same_columns() {
        let rows = [
            row("tapecast", vec![Ok(sample(40e6, SERVER))]),
            row("ws", vec![Err("npm ci: exit status: 1\n| a pipe |".to_owned())]),
        ];
        let lines = lines(&rows);
        assert!(lines[1].starts_with("| hot | ws | **failed**: npm ci: exit status: 1 \\| a pipe \\| |"));
        let columns = |line: &str| line.replace("\\|", "").matches('|').count();
        assert_eq!(columns(&lines[1]), columns(HEAD.lines().next().unwrap_or_default()));
        assert_eq!(columns(&lines[0]), columns(&lines[1]));
    }

    #[test]
    fn a_server_that_failed_once_says_so_beside_what_it_gave() {
        let rounds = vec![Ok(sample(4e6, SERVER)), Err("it died".to_owned())];
        let lines = lines(&[row("nats", rounds)]);
        assert!(lines[0].contains("| 4.00 |") && lines[0].ends_with("| 1 of 2: it died |"), "{lines:?}");
    }

    #[test]
    fn a_row_of_whose_core_something_else_had_much_is_marked() {
        let waited = |share: f64| {
            let mut sample = sample(4e6, SERVER);
            sample.figures.insert(Figure::Robbed, share);
            lines(&[row("tapecast", vec![Ok(sample)])]).remove(0)
        };
        assert!(
            waited(0.4)
                .contains("| server; DISTURBED: for up to 40 % of the time something else had its core |")
        );
        assert!(!waited(0.01).contains("DISTURBED"));
    }

    #[test]
    fn quiet_is_told_beside_the_roof() {
        let quiet = |server: &str, p50: f64| Row {
            case: Case::Quiet,
            server: server.to_owned(),
            rounds: vec![Ok(Sample {
                rate: 1e3,
                figures: [(Figure::P50, p50), (Figure::P99, 3.0 * p50)].into(),
                side: Side::AtRate(Verdict::None),
            })],
        };
        let lines = lines(&[quiet("tapecast", 120e3), quiet("bare", 100e3)]);
        assert!(lines[0].contains("| p50 1.20, p99 1.20 | none |"), "{lines:?}");
        assert!(lines[1].contains("|  |  | none |"), "the roof has no ratio of itself: {lines:?}");
    }
}
