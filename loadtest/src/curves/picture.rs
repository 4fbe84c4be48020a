//! What a sheet shows: medians with their spread, server by server, and what has to be said beside them.
//!
//! Pure. Must not draw. Invariant: every measurement is in a point or in a note; nothing falls out in silence.

use super::curve::{Axis, Column, Curve, Face};
use super::row::{Row, State};
use super::scale::Scaled;
use super::sheet::Sheet;
use crate::spread::Spread;

/// A picture, ready to be drawn.
pub(super) struct Picture {
    pub(super) title: &'static str,
    pub(super) under: &'static str,
    pub(super) x: Scaled,
    pub(super) y: Scaled,
    pub(super) series: Vec<Series>,
    /// Where the sheet comes from, and what is missing or doubtful.
    pub(super) notes: Vec<String>,
}

/// A server's points, from left to right.
pub(super) struct Series {
    pub(super) server: String,
    pub(super) points: Vec<Point>,
}

/// One setting of one server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: Spread,
    pub(super) y: Spread,
    /// The median of the second figure, if the curve has one.
    pub(super) thin: Option<f64>,
    pub(super) mark: Mark,
}

/// How a point is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Sound,
    /// It does not show the server alone.
    Hollow,
    /// The server no longer held; the line ends.
    End,
}

impl Picture {
    /// What `sheet` shows of `curve`.
    pub(super) fn of(curve: Curve, sheet: &Sheet) -> Self {
        let face = curve.face();
        let keeps_ends = matches!(face.x.column, Column::At);
        let mut series: Vec<Series> = servers(sheet)
            .into_iter()
            .map(|server| Series {
                points: points(server, sheet, &face, keeps_ends),
                server: server.to_owned(),
            })
            .collect();
        let (x, y) = (axis(&face.x, &series, |point| point.x), axis(&face.y, &series, |point| point.y));
        series.iter_mut().flat_map(|series| &mut series.points).for_each(|point| point.keep_within(&y));
        let notes = sheet.remarks.iter().cloned().chain(unsound(sheet)).collect();
        Self { title: face.title, under: face.under, x, y, series, notes }
    }

    /// The points as text, a line each.
    pub(super) fn listing(&self) -> Vec<String> {
        let line = |server: &str, point: &Point| {
            let mark = match point.mark {
                Mark::Sound => "",
                Mark::Hollow => " (doubtful)",
                Mark::End => " (not held)",
            };
            let (x, y) = (super::scale::short(point.x.median), point.y);
            format!("{server} at {x}: {:.2} (from {:.2} to {:.2}){mark}", y.median, y.lowest, y.highest)
        };
        let lines = self
            .series
            .iter()
            .flat_map(|series| series.points.iter().map(move |point| line(&series.server, point)));
        lines.collect()
    }
}

impl Point {
    /// Past the axis' end only what was not held may lie, for its own latency is no measure: it is drawn at the end.
    fn keep_within(&mut self, y: &Scaled) {
        let is_unknown = self.y.median <= 0.0 && self.mark == Mark::End;
        for value in [&mut self.y.median, &mut self.y.lowest, &mut self.y.highest] {
            *value = if is_unknown { y.high } else { value.clamp(y.low, y.high) };
        }
        self.thin = self.thin.map(|value| value.clamp(y.low, y.high));
    }
}

fn servers(sheet: &Sheet) -> Vec<&str> {
    let mut servers: Vec<&str> = Vec::new();
    for row in &sheet.rows {
        if !servers.contains(&row.server.as_str()) {
            servers.push(&row.server);
        }
    }
    servers
}

fn points(server: &str, sheet: &Sheet, face: &Face, keeps_ends: bool) -> Vec<Point> {
    let mine = || sheet.rows.iter().filter(|row| row.server == server && row.state != State::Failed);
    let mut settings: Vec<f64> = mine().map(|row| row.at).collect();
    settings.sort_by(f64::total_cmp);
    settings.dedup();
    let of = |at: f64| point(&mine().filter(|row| row.at == at).collect::<Vec<_>>(), face);
    let mut points: Vec<Point> = settings.into_iter().filter_map(of).collect();
    points.retain(|point| keeps_ends || point.mark != Mark::End);
    points.sort_by(|a, b| a.x.median.total_cmp(&b.x.median));
    points
}

fn point(rows: &[&Row], face: &Face) -> Option<Point> {
    let mark = mark(rows);
    let shows = |row: &&&Row| mark != Mark::Sound || row.state == State::Sound;
    let shown: Vec<&Row> = rows.iter().filter(shows).copied().collect();
    let spread =
        |value: &dyn Fn(&Row) -> f64| Spread::of(&shown.iter().map(|row| value(row)).collect::<Vec<f64>>());
    let thin = face.thin.filter(|_| mark != Mark::End);
    Some(Point {
        x: spread(&|row| value(&face.x.column, row))?,
        y: spread(&|row| value(&face.y.column, row))?,
        thin: thin.and_then(|thin| spread(&|row| thin(&row.figures))).map(|spread| spread.median),
        mark,
    })
}

fn value(column: &Column, row: &Row) -> f64 {
    match column {
        Column::At => row.at,
        Column::Figure(figure) => figure(&row.figures),
    }
}

/// What most of the rounds say; a tie is not sound.
fn mark(rows: &[&Row]) -> Mark {
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    if count(State::Sound) * 2 > rows.len() {
        Mark::Sound
    } else if count(State::NotHeld) >= count(State::Doubtful) && count(State::NotHeld) > 0 {
        Mark::End
    } else {
        Mark::Hollow
    }
}

fn axis(axis: &Axis, series: &[Series], of: impl Fn(&Point) -> Spread) -> Scaled {
    let points = || series.iter().flat_map(|series| &series.points);
    let thin = points().filter_map(|point| point.thin.filter(|_| matches!(axis.column, Column::Figure(_))));
    let held = points().filter(|point| point.mark != Mark::End || matches!(axis.column, Column::At));
    let spreads = held.flat_map(|point| [of(point).lowest, of(point).highest]);
    let values: Vec<f64> = match axis.column {
        // Only the y axis has a second figure.
        Column::Figure(_) => spreads.chain(thin).collect(),
        Column::At => spreads.collect(),
    };
    let is_cut = points().any(|point| point.mark == Mark::End);
    Scaled::over(axis, &values, is_cut)
}

/// A note for each server and reason, with the settings that it is about.
fn unsound(sheet: &Sheet) -> Vec<String> {
    let mut told: Vec<(&str, &str, Vec<f64>)> = Vec::new();
    let rows = sheet.rows.iter().filter(|row| matches!(row.state, State::Doubtful | State::Failed));
    for row in rows {
        match told.iter_mut().find(|(server, why, _)| (*server, *why) == (&row.server, &row.why)) {
            Some((.., settings)) => settings.push(row.at),
            None => told.push((&row.server, &row.why, vec![row.at])),
        }
    }
    let line = |(server, why, mut settings): (&str, &str, Vec<f64>)| {
        let times = settings.len();
        settings.sort_by(f64::total_cmp);
        settings.dedup();
        let at: Vec<String> = settings.into_iter().map(super::scale::short).collect();
        format!("{server} at {}, {times} of its measurements: {why}", at.join(", "))
    };
    told.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::super::row::tests::row;
    use super::*;

    fn sheet(rows: Vec<Row>) -> Sheet {
        Sheet { remarks: vec!["date: today".to_owned()], rows }
    }

    #[test]
    fn a_point_is_the_median_of_the_sound_rounds() {
        let strange = Row { state: State::Doubtful, why: "x".to_owned(), ..row("bare", 100.0, 3, 900.0) };
        let rows = [30.0, 10.0, 20.0].map(|cpu_ns| row("bare", 100.0, 0, cpu_ns));
        let picture = Picture::of(Curve::CostSubscribers, &sheet([&rows[..], &[strange]].concat()));
        let point = picture.series[0].points[0];
        assert_eq!(point.y, Spread { median: 20.0, lowest: 10.0, highest: 30.0 });
        assert_eq!((point.mark, picture.series[0].points.len()), (Mark::Sound, 1));
        assert_eq!(picture.notes, ["date: today", "bare at 100, 1 of its measurements: x"]);
    }

    #[test]
    fn a_line_ends_where_most_rounds_did_not_hold() {
        let not_held = |round| Row { state: State::NotHeld, ..row("bun", 2e6, round, 1.0) };
        let rows = vec![row("bun", 1e6, 0, 1.0), row("bun", 2e6, 0, 1.0), not_held(1), not_held(2)];
        let picture = Picture::of(Curve::LatencyLoad, &sheet(rows.clone()));
        let marks: Vec<Mark> = picture.series[0].points.iter().map(|point| point.mark).collect();
        assert_eq!(marks, [Mark::Sound, Mark::End]);
        let picture = Picture::of(Curve::CostFrames, &sheet(rows));
        assert_eq!(picture.series[0].points.len(), 1, "what was not held shows no cost");
    }

    #[test]
    fn a_server_that_failed_has_a_note_and_a_place_in_the_legend() {
        let failed =
            Row { state: State::Failed, why: "no such program".to_owned(), ..row("ws", 100.0, 0, 0.0) };
        let picture = Picture::of(Curve::CostSubscribers, &sheet(vec![row("bare", 100.0, 0, 9.0), failed]));
        assert_eq!(picture.series[1].server, "ws");
        assert!(picture.series[1].points.is_empty());
        assert_eq!(picture.notes[1], "ws at 100, 1 of its measurements: no such program");
    }
}
