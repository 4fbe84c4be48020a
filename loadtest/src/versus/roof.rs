//! CPU a delivery beside the roof's, at the same frames a send.
//!
//! Measures with the driver's thread; the rest is pure. Must not compare at equal rates: a server whose core has time sends each frame
//! alone, one that is late sends many in one, and a send's cost is shared by its frames.
//! Invariant: the roof's cost is only read between two of its own points, never beyond them.

use super::VersusArguments;
use super::measure::scenario;
use super::table::ROOF;
use crate::scenario::Name;
use crate::spread::{Spread, rounded};
use crate::step;
use crate::target::Target;
use std::fmt::Write;
use std::io;

/// Rates of ours, as parts of its limit.
const OURS: [f64; 4] = [0.4, 0.6, 0.8, 0.95];
/// Rates of the roof: those, and beyond them on either side, so that ours lie between.
const BESIDE: [f64; 7] = [0.1, 0.2, 0.4, 0.6, 0.8, 0.95, 1.3];

/// What one rate gave.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// Records a second that were offered.
    pub(super) rate: f64,
    /// Frames a read.
    pub(super) frames: f64,
    /// Server's CPU, ns a delivery.
    pub(super) ns: f64,
}

/// The points of one scenario.
pub(super) struct Roof {
    pub(super) scenario: String,
    pub(super) ours: Vec<Point>,
    pub(super) roof: Vec<Point>,
}

/// Measures both, rate by rate in turn, around `limit` records a second.
pub(super) fn measure(
    name: Name,
    title: String,
    limit: f64,
    [ours, roof]: [&Target; 2],
    arguments: &VersusArguments,
) -> io::Result<Roof> {
    let mut found = Roof { scenario: title, ours: Vec::new(), roof: Vec::new() };
    for part in BESIDE {
        found.roof.extend(point(name, limit * part, roof, arguments)?);
        if OURS.contains(&part) {
            found.ours.extend(point(name, limit * part, ours, arguments)?);
        }
    }
    Ok(found)
}

/// One rate; none where the load tool was at its end: then reads are large because it reads late. And none where nobody was left to
/// deliver to.
fn point(name: Name, rate: f64, target: &Target, arguments: &VersusArguments) -> io::Result<Option<Point>> {
    let step = step::measure(&scenario(name, arguments), rate, target, &arguments.step)?;
    let point = Point { rate, frames: step.swarm.frames_a_read, ns: step.server_ns_a_delivery() };
    let is_sound = !step.verdict.is_the_tools() && step.swarm.closed == 0 && step.swarm.arrived > 0;
    Ok(is_sound.then_some(point))
}

impl Roof {
    /// Ours by the roof's at the same frames; of the points that lie between two of the roof's.
    pub(super) fn ratios(&self) -> Vec<f64> {
        self.ours.iter().filter_map(|ours| Some(ours.ns / cost_at(&self.roof, ours.frames)?)).collect()
    }
}

/// The cost at so many frames, on the line between the neighbouring points.
fn cost_at(points: &[Point], frames: f64) -> Option<f64> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.frames.total_cmp(&b.frames));
    let pair = sorted.windows(2).find(|pair| pair[0].frames <= frames && frames <= pair[1].frames)?;
    let width = pair[1].frames - pair[0].frames;
    let part = if width > 0.0 { (frames - pair[0].frames) / width } else { 0.5 };
    Some(pair[0].ns + part * (pair[1].ns - pair[0].ns))
}

/// The points and their ratios as a Markdown table.
pub(super) fn render(found: &[Result<Roof, (String, String)>], ours: &str) -> String {
    let mut table = format!(
        "CPU a delivery at the same frames a read: {ours} and {ROOF} in turn at fixed rates; {ROOF}'s cost at {ours}'s frames lies on \
         the line between its neighbouring points. Points at which the load tool was at its end, and of {ours} those beyond {ROOF}'s, are not counted.\n\n\
         | scenario | {ours}: frames a read, ns a delivery | {ROOF}: frames a read, ns a delivery | ratio (lowest to highest) | points |\n\
         |---|---|---|---|---|\n"
    );
    for roof in found {
        // Writing to a string does not fail.
        let _ = match roof {
            Ok(roof) => writeln!(table, "{}", line(roof)),
            Err((scenario, error)) => writeln!(table, "| {scenario} | **failed**: {error} | | | |"),
        };
    }
    table
}

fn line(roof: &Roof) -> String {
    let pairs = |points: &[Point]| {
        let pair = |point: &Point| format!("{}, {}", rounded(point.frames, 3), rounded(point.ns, 3));
        points.iter().map(pair).collect::<Vec<_>>().join("; ")
    };
    let ratios = roof.ratios();
    let ratio = Spread::of(&ratios).map_or_else(
        || "none: no point of the one lies between two of the other".to_owned(),
        |it| {
            let [median, lowest, highest] = [it.median, it.lowest, it.highest].map(|value| rounded(value, 3));
            format!("{median} ({lowest} to {highest})")
        },
    );
    let counted = format!("{} of {}", ratios.len(), OURS.len());
    format!("| {} | {} | {} | {ratio} | {counted} |", roof.scenario, pairs(&roof.ours), pairs(&roof.roof))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(pairs: &[(f64, f64)]) -> Vec<Point> {
        pairs.iter().map(|(frames, ns)| Point { rate: 1.0, frames: *frames, ns: *ns }).collect()
    }

    #[test]
    fn the_roofs_cost_lies_on_the_line_between_its_points() {
        let roof = points(&[(30.0, 40.0), (10.0, 100.0)]);
        assert_eq!(cost_at(&roof, 20.0), Some(70.0));
        assert_eq!(cost_at(&roof, 10.0), Some(100.0));
        assert_eq!(cost_at(&points(&[(10.0, 90.0), (10.0, 110.0)]), 10.0), Some(100.0));
    }

    #[test]
    fn nothing_is_guessed_beyond_the_roofs_points() {
        let roof = Roof {
            scenario: "hot".to_owned(),
            ours: points(&[(5.0, 300.0), (20.0, 105.0), (90.0, 20.0)]),
            roof: points(&[(10.0, 100.0), (30.0, 40.0)]),
        };
        assert_eq!(roof.ratios(), [1.5]);
        assert!(line(&roof).contains("| 1.50 (1.50 to 1.50) | 1 of 4 |"), "{}", line(&roof));
        assert_eq!(cost_at(&[], 1.0), None);
    }

    #[test]
    fn a_scenario_that_failed_is_a_row_that_says_so() {
        let table = render(&[Err(("hot".to_owned(), "no limit".to_owned()))], "tapecast");
        assert!(table.contains("| hot | **failed**: no limit |"), "{table}");
    }
}
