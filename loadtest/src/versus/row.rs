//! A row of the comparison: one server in one case, round by round.
//!
//! Pure. Must not hide a round: one that failed stays in its place, so that pairs of rounds stay pairs.
//! Invariant: a limit at which the load tool was at its end is a bound from below, never the server's limit.

use super::case::Case;
use crate::limit::Limit;
use crate::spread::Spread;
use crate::step::Step;
use crate::verdict::Verdict;
use std::collections::BTreeMap;
use std::fmt;

/// Rounds that may fail, none having succeeded, before a server is left out of the case.
const FAILURES_MAX: usize = 2;

/// What is told of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Figure {
    /// Deliveries a second.
    Deliveries,
    /// The server's CPU, ns a delivery.
    Cpu,
    /// Frames that a receiver found in one read.
    Frames,
    /// Latencies, ns.
    P50,
    P99,
    P999,
    Max,
    /// Share of the time in which something else had the server's core, at most.
    Robbed,
    /// Resident bytes of the server at load less those before, by connections.
    Resident,
}

impl Figure {
    /// Its name in the machine-readable copy.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Deliveries => "deliveries_per_second",
            Self::Cpu => "server_cpu_ns_per_delivery",
            Self::Frames => "frames_per_read",
            Self::P50 => "p50_ns",
            Self::P99 => "p99_ns",
            Self::P999 => "p999_ns",
            Self::Max => "max_ns",
            Self::Robbed => "server_robbed_share",
            Self::Resident => "resident_bytes_per_connection",
        }
    }
}

/// Who was at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// In a search, beyond the rate that was held.
    Beyond(Verdict),
    /// A search whose every rate was held.
    StepsEnded,
    /// At a fixed rate; `None`: it was held.
    AtRate(Verdict),
    /// Nothing was asked of anybody.
    Idle,
}

impl Side {
    fn of_limit(limit: &Limit) -> Self {
        limit.beyond.map_or(Self::StepsEnded, Self::Beyond)
    }

    /// Whether what was offered was held: of a rate that was not, figures are told, but never compared.
    fn is_held(self) -> bool {
        !matches!(self, Self::AtRate(verdict) if verdict != Verdict::None)
    }

    /// Whether the rate held is only what the load tool could show.
    pub(super) fn is_the_tools(self) -> bool {
        match self {
            Self::Beyond(verdict) | Self::AtRate(verdict) => verdict.is_the_tools(),
            Self::StepsEnded => true,
            Self::Idle => false,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beyond(verdict) | Self::AtRate(verdict @ Verdict::None) => write!(out, "{verdict}"),
            Self::StepsEnded => out.write_str("none, the steps ended"),
            Self::AtRate(verdict) => write!(out, "not held: {verdict}"),
            Self::Idle => Ok(()),
        }
    }
}

/// What one round gave.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// Records a second that were offered.
    pub(super) rate: f64,
    pub(super) figures: BTreeMap<Figure, f64>,
    pub(super) side: Side,
}

impl Sample {
    /// Of a search; an error says against what not even the lowest rate was held.
    pub(super) fn of_limit(limit: &Limit, subscribers: usize) -> Result<Self, String> {
        let side = Side::of_limit(limit);
        match &limit.best {
            Some(step) => Ok(Self { side, ..Self::of_step(step, subscribers) }),
            None => Err(format!("no rate tried was held; saturated: {side}")),
        }
    }

    /// Of a fixed rate.
    pub(super) fn of_step(step: &Step, subscribers: usize) -> Self {
        let latency = step.swarm.latency;
        let resident = step.resident_bytes.saturating_sub(step.resident_before_bytes);
        let figures = BTreeMap::from([
            (Figure::Deliveries, step.swarm.deliveries_rate()),
            (Figure::Cpu, step.server_ns_a_delivery()),
            (Figure::Frames, step.swarm.frames_a_read),
            (Figure::P50, latency.p50 as f64),
            (Figure::P99, latency.p99 as f64),
            (Figure::P999, latency.p999 as f64),
            (Figure::Max, latency.max as f64),
            (Figure::Robbed, step.server_robbed),
            (Figure::Resident, resident as f64 / subscribers as f64),
        ]);
        Self { rate: step.rate, figures, side: Side::AtRate(step.verdict) }
    }

    /// Of connections that were only held.
    pub(super) fn of_memory(bytes_each: f64) -> Self {
        Self { rate: 0.0, figures: BTreeMap::from([(Figure::Resident, bytes_each)]), side: Side::Idle }
    }
}

/// What a median stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    Exact,
    AtLeast,
    AtMost,
    /// Both sides of a ratio are bounds from below.
    Unknown,
}

impl Bound {
    /// Of a ratio, by what its two sides stand for.
    pub(super) fn of_ratio(value: Self, base: Self) -> Self {
        match (value, base) {
            (Self::Exact, Self::Exact) => Self::Exact,
            (_, Self::Exact) => Self::AtLeast,
            (Self::Exact, _) => Self::AtMost,
            _ => Self::Unknown,
        }
    }

    /// The mark in front of the figure.
    pub(super) fn mark(self) -> &'static str {
        match self {
            Self::Exact => "",
            Self::AtLeast => ">= ",
            Self::AtMost => "<= ",
            Self::Unknown => "? ",
        }
    }
}

/// One server in one case.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) case: Case,
    pub(super) server: String,
    pub(super) rounds: Vec<Result<Sample, String>>,
}

impl Row {
    /// The rounds that succeeded.
    pub(super) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.rounds.iter().flatten()
    }

    /// The first round's error that there was.
    pub(super) fn error(&self) -> Option<&str> {
        self.rounds.iter().find_map(|round| round.as_ref().err().map(String::as_str))
    }

    /// Whether it failed so often that it is not tried again.
    pub(super) fn is_given_up(&self) -> bool {
        self.has_failed() && self.rounds.len() >= FAILURES_MAX
    }

    /// Whether it was tried and never succeeded.
    pub(super) fn has_failed(&self) -> bool {
        !self.rounds.is_empty() && self.samples().next().is_none()
    }

    /// One figure, round by round.
    pub(super) fn by_round(&self, figure: Figure) -> Vec<Option<f64>> {
        let value = |round: &Result<Sample, String>| round.as_ref().ok()?.figures.get(&figure).copied();
        self.rounds.iter().map(value).collect()
    }

    /// One figure, round by round, of those that may be compared.
    pub(super) fn comparable(&self, figure: Figure) -> Vec<Option<f64>> {
        let is_held =
            |round: &Result<Sample, String>| round.as_ref().is_ok_and(|sample| sample.side.is_held());
        let values = self.by_round(figure).into_iter().zip(&self.rounds);
        values.map(|(value, round)| value.filter(|_| is_held(round))).collect()
    }

    /// One figure over the rounds.
    pub(super) fn spread(&self, figure: Figure) -> Option<Spread> {
        Spread::of(&self.by_round(figure).into_iter().flatten().collect::<Vec<_>>())
    }

    /// What the median of the deliveries stands for: exact if it stays where it is however far the rounds in which the tool was at its
    /// end could have gone.
    pub(super) fn bound(&self) -> Bound {
        let median = |at_end: fn(f64) -> f64| {
            let rates = self.samples().filter_map(|sample| {
                let rate = *sample.figures.get(&Figure::Deliveries)?;
                Some(if sample.side.is_the_tools() { at_end(rate) } else { rate })
            });
            Spread::of(&rates.collect::<Vec<_>>()).map(|spread| spread.median)
        };
        if median(|rate| rate) == median(|_| f64::INFINITY) { Bound::Exact } else { Bound::AtLeast }
    }

    /// The sides that were saturated, each once.
    pub(super) fn sides(&self) -> String {
        let mut sides: Vec<String> = Vec::new();
        for side in self.samples().map(|sample| sample.side.to_string()) {
            if !sides.contains(&side) {
                sides.push(side);
            }
        }
        sides.join(", ")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::scenario::Name;

    /// A round of a search.
    pub(in super::super) fn sample(deliveries: f64, side: Side) -> Sample {
        let figures = [(Figure::Deliveries, deliveries), (Figure::Cpu, 26.0), (Figure::P99, 18.4e6)];
        Sample { rate: deliveries / 1_000.0, figures: figures.into(), side }
    }

    /// A row of a search.
    pub(in super::super) fn row(server: &str, rounds: Vec<Result<Sample, String>>) -> Row {
        Row { case: Case::Limit(Name::Hot), server: server.to_owned(), rounds }
    }

    const SERVER: Side = Side::Beyond(Verdict::Server);

    #[test]
    fn a_limit_at_which_the_tool_was_at_its_end_is_no_limit_of_the_server() {
        for verdict in [Verdict::Swarm, Verdict::Feed, Verdict::ServerAndSwarm] {
            let row = row("a", vec![Ok(sample(1e6, Side::Beyond(verdict)))]);
            assert_eq!(row.bound(), Bound::AtLeast, "{verdict}");
        }
        assert_eq!(row("a", vec![Ok(sample(1e6, Side::StepsEnded))]).bound(), Bound::AtLeast);
        for verdict in [Verdict::Server, Verdict::Unexplained] {
            let row = row("a", vec![Ok(sample(1e6, Side::Beyond(verdict)))]);
            assert_eq!(row.bound(), Bound::Exact, "{verdict}");
        }
    }

    #[test]
    fn a_median_that_the_tools_rounds_cannot_move_is_exact() {
        let swarm = Side::Beyond(Verdict::Swarm);
        let of =
            |rounds: [(f64, Side); 3]| row("a", rounds.map(|(rate, side)| Ok(sample(rate, side))).to_vec());
        assert_eq!(of([(1.0, SERVER), (2.0, SERVER), (3.0, swarm)]).bound(), Bound::Exact);
        assert_eq!(of([(1.0, SERVER), (2.0, swarm), (3.0, SERVER)]).bound(), Bound::AtLeast);
        assert_eq!(of([(1.0, swarm), (2.0, SERVER), (3.0, SERVER)]).bound(), Bound::AtLeast);
    }

    #[test]
    fn a_ratio_of_bounds_says_which_way_it_is_open() {
        use Bound::{AtLeast, AtMost, Exact, Unknown};
        assert_eq!(Bound::of_ratio(Exact, Exact), Exact);
        assert_eq!(Bound::of_ratio(AtLeast, Exact), AtLeast);
        assert_eq!(Bound::of_ratio(Exact, AtLeast), AtMost);
        assert_eq!(Bound::of_ratio(AtLeast, AtLeast), Unknown);
    }

    #[test]
    fn a_search_that_held_nothing_is_an_error_that_says_why() {
        let limit = Limit { best: None, beyond: Some(Verdict::Server) };
        assert_eq!(Sample::of_limit(&limit, 10), Err("no rate tried was held; saturated: server".to_owned()));
    }

    #[test]
    fn a_failed_round_keeps_its_place_and_its_words() {
        let row = row("a", vec![Ok(sample(1.0, SERVER)), Err("it died".to_owned()), Ok(sample(3.0, SERVER))]);
        assert_eq!(row.by_round(Figure::Deliveries), [Some(1.0), None, Some(3.0)]);
        assert_eq!((row.error(), row.has_failed()), (Some("it died"), false));
        assert_eq!(row.sides(), "server");
    }

    #[test]
    fn a_server_has_a_second_chance_and_not_a_third() {
        let no = || Err("it died".to_owned());
        assert!(row("a", vec![no()]).has_failed() && !row("a", vec![no()]).is_given_up());
        assert!(row("a", vec![no(), no()]).is_given_up());
        assert!(!row("a", vec![no(), no(), Ok(sample(1.0, SERVER))]).is_given_up());
    }

    #[test]
    fn what_was_not_held_is_not_compared() {
        let rounds = [Verdict::None, Verdict::Server, Verdict::Swarm];
        let row = row("a", rounds.map(|verdict| Ok(sample(1.0, Side::AtRate(verdict)))).to_vec());
        assert_eq!(row.comparable(Figure::Deliveries), [Some(1.0), None, None]);
        assert_eq!(row.by_round(Figure::Deliveries), [Some(1.0); 3]);
    }
}
