//! A figure of several rounds: its median, and the lowest and highest.
//!
//! Pure. Must not weigh rounds: each counts once. Invariant: `lowest <= median <= highest`.

use std::fmt;

/// Digits that are told of a figure: more than any run repeats.
const DIGITS: i32 = 4;

/// Median, lowest and highest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
}

impl Spread {
    /// Of `values`; `None` without any.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (lowest, highest) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        Some(Self { median, lowest, highest })
    }

    /// The same ratio the other way round.
    pub(crate) fn inverse(self) -> Self {
        Self { median: 1.0 / self.median, lowest: 1.0 / self.highest, highest: 1.0 / self.lowest }
    }

    /// Every figure times `factor`, which is positive.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { median: self.median * factor, lowest: self.lowest * factor, highest: self.highest * factor }
    }

    /// Whether some value lies within both.
    pub(crate) fn meets(self, other: Self) -> bool {
        self.lowest <= other.highest && other.lowest <= self.highest
    }

    /// Reads what `Display` writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (median, rest) = text.trim().split_once(" (")?;
        let (lowest, highest) = rest.strip_suffix(')')?.split_once(" to ")?;
        Some(Self {
            median: median.parse().ok()?,
            lowest: lowest.parse().ok()?,
            highest: highest.parse().ok()?,
        })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, lowest, highest] =
            [self.median, self.lowest, self.highest].map(|value| rounded(value, DIGITS));
        write!(out, "{median} ({lowest} to {highest})")
    }
}

/// `value` with so many digits that count; whole numbers are not cut.
pub(crate) fn rounded(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let decimals = (digits - 1 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_stands_in_the_middle() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, lowest: 1.0, highest: 3.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0]), Some(Spread { median: 2.5, lowest: 1.0, highest: 4.0 }));
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let spread = Spread::of(&[4.1, 3.6, 4.5]).expect("three values");
        assert_eq!(spread.to_string(), "4.100 (3.600 to 4.500)");
        assert_eq!(Spread::parse(&spread.to_string()), Some(spread));
        assert_eq!(Spread::parse("4.1"), None);
        assert_eq!(Spread::parse("4.1 (3.6 till 4.5)"), None);
    }

    #[test]
    fn digits_that_count_do_not_depend_on_the_size() {
        assert_eq!(rounded(0.012_345_6, 4), "0.01235");
        assert_eq!(rounded(123_456.0, 3), "123456");
        assert_eq!(rounded(0.0, 4), "0");
    }

    #[test]
    fn the_other_way_round_lowest_and_highest_change_places() {
        let spread = Spread { median: 0.25, lowest: 0.2, highest: 0.5 };
        assert_eq!(spread.inverse(), Spread { median: 4.0, lowest: 2.0, highest: 5.0 });
    }

    #[test]
    fn spreads_meet_where_they_share_a_value() {
        let of = |lowest: f64, highest: f64| Spread { median: lowest, lowest, highest };
        assert!(of(1.0, 2.0).meets(of(2.0, 3.0)) && of(2.0, 3.0).meets(of(1.0, 2.0)));
        assert!(of(1.0, 9.0).meets(of(2.0, 3.0)) && of(2.0, 3.0).meets(of(1.0, 9.0)));
        assert!(!of(1.0, 2.0).meets(of(2.1, 3.0)) && !of(2.1, 3.0).meets(of(1.0, 2.0)));
    }
}
