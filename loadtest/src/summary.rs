//! A summary line of a run: one figure of one server over all rounds, beside the first server's.
//!
//! Pure. The one place that knows the line's form: `run` writes it, `check-results` reads it.
//! Invariant: what is parsed is what was written, up to the digits told. A ratio is formed round by round, of two runs that followed
//! each other: so what the machine's mood gives both falls out of it.

use crate::spread::Spread;
use std::fmt;

/// How every summary line begins.
const START: &str = "summary: ";
/// Words of [`Pairs`].
const PAIRS: &str = " rounds compared";
const BOUNDS: &str = "; bounds, the load tool being at its end: ";

/// One summary line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) scenario: String,
    pub(crate) server: String,
    pub(crate) figure: String,
    pub(crate) values: Spread,
    /// Of the base's figure in the same round; `None` where no round has both.
    pub(crate) ratio: Option<Spread>,
    pub(crate) base: String,
    pub(crate) pairs: Pairs,
}

/// What a ratio rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pairs {
    /// Rounds that have both figures, neither of a rate that was not held.
    pub(crate) counted: usize,
    /// All rounds.
    pub(crate) rounds: usize,
    /// Of those counted, those in which the load tool was at its end beyond one of the two.
    pub(crate) bounds: usize,
}

impl Pairs {
    /// Of two servers' rounds: a figure where it may be compared, and whether it is a bound.
    pub(crate) fn of(values: &[Option<(f64, bool)>], base: &[Option<(f64, bool)>]) -> Self {
        let both = || values.iter().zip(base).filter_map(|(value, base)| Some(((*value)?.1, (*base)?.1)));
        Self {
            counted: both().count(),
            rounds: values.len(),
            bounds: both().filter(|(value, base)| *value || *base).count(),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let (pairs, bounds) = match text.split_once(BOUNDS) {
            Some((pairs, bounds)) => (pairs, bounds.parse().ok()?),
            None => (text, 0),
        };
        let (counted, rounds) = pairs.strip_suffix(PAIRS)?.split_once(" of ")?;
        Some(Self { counted: counted.parse().ok()?, rounds: rounds.parse().ok()?, bounds })
    }
}

impl fmt::Display for Pairs {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} of {}{PAIRS}", self.counted, self.rounds)?;
        if self.bounds > 0 { write!(out, "{BOUNDS}{}", self.bounds) } else { Ok(()) }
    }
}

/// Ratios round by round, of the rounds that have both figures.
pub(crate) fn paired(values: &[Option<f64>], base: &[Option<f64>]) -> Option<Spread> {
    let both = values.iter().zip(base).filter_map(|(value, base)| Some((*value)? / (*base)?));
    Spread::of(&both.filter(|ratio| ratio.is_finite()).collect::<Vec<_>>())
}

impl Line {
    /// Reads a line that `Display` wrote; `None` for every other.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut parts = line.trim_end().strip_prefix(START)?.split(" | ");
        let mut next = || parts.next().map(str::to_owned);
        let (scenario, server, figure) = (next()?, next()?, next()?);
        let values = Spread::parse(next()?.strip_prefix("median ")?)?;
        let told = next()?;
        let (ratio, base) = match told.strip_prefix("no ratio of ") {
            Some(base) => (None, base),
            None => {
                let (ratio, base) = told.strip_prefix("ratio ")?.split_once(" of ")?;
                (Some(Spread::parse(ratio)?), base)
            }
        };
        let (base, pairs) = (base.to_owned(), Pairs::parse(&next()?)?);
        Some(Self { scenario, server, figure, values, ratio, base, pairs })
    }
}

impl fmt::Display for Line {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scenario, server, figure, values, ratio, base, pairs } = self;
        write!(out, "{START}{scenario} | {server} | {figure} | median {values} | ")?;
        match ratio {
            Some(ratio) => write!(out, "ratio {ratio} of {base} | {pairs}"),
            None => write!(out, "no ratio of {base} | {pairs}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ratio: Option<Spread>) -> Line {
        Line {
            scenario: "hot".to_owned(),
            server: "a server --its flags".to_owned(),
            figure: "deliveries M/s".to_owned(),
            values: Spread { median: 8.7, lowest: 8.1, highest: 9.0 },
            ratio,
            base: "tapecast".to_owned(),
            pairs: Pairs { counted: 4, rounds: 5, bounds: 0 },
        }
    }

    #[test]
    fn what_run_writes_is_what_check_results_reads() {
        let ratio = Spread { median: 0.23, lowest: 0.21, highest: 0.25 };
        let bounds = Line { pairs: Pairs { counted: 4, rounds: 5, bounds: 2 }, ..line(Some(ratio)) };
        for line in [line(Some(ratio)), line(None), bounds] {
            assert_eq!(Line::parse(&line.to_string()), Some(line.clone()), "{line}");
        }
        assert_eq!(
            line(Some(ratio)).to_string(),
            "summary: hot | a server --its flags | deliveries M/s | median 8.700 (8.100 to 9.000) | ratio 0.2300 \
             (0.2100 to 0.2500) of tapecast | 4 of 5 rounds compared"
        );
    }

    #[test]
    fn other_lines_are_no_summary() {
        assert_eq!(Line::parse("hot bun: 8.7 M/s"), None);
        assert_eq!(Line::parse("summary: hot | bun | deliveries M/s | median lost"), None);
    }

    #[test]
    fn a_ratio_pairs_rounds_and_not_medians() {
        // Medians would say 1; each pair says 2 but the middle one, in which the machine was slow for the base alone.
        let spread = paired(&[Some(2.0), Some(6.0), Some(20.0)], &[Some(1.0), Some(6.0), Some(10.0)]);
        assert_eq!(spread, Some(Spread { median: 2.0, lowest: 1.0, highest: 2.0 }));
    }

    #[test]
    fn a_round_that_one_of_them_missed_gives_no_ratio() {
        let spread = paired(&[None, Some(6.0)], &[Some(1.0), Some(3.0)]);
        assert_eq!(spread.map(|spread| spread.median), Some(2.0));
        assert_eq!(paired(&[None], &[Some(1.0)]), None);
    }
}
