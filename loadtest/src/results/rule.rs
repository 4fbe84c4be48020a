//! Whether a ratio that was stated still stands.
//!
//! Pure. Must not know where either came from. Invariant: the rule is the same read from either side.
//!
//! A ratio stands if the two spreads, the stated one and the new one, have a value in common. That is an exact test, whatever the
//! distribution: if nothing has changed, n old and n new rounds are 2n draws of one kind, and all of one lie below all of the other in
//! 2 of (2n over n) orders: 1 of 126 at five rounds each, 1 of 10 at three. So rows are of five rounds or more. To ask that the new
//! median lie within the old spread would be no stricter test but a noisier one: at five rounds it fails 1 time in 6 by chance. But rounds
//! that lie so far apart that they would meet anything decide nothing, so then the median must lie within.

use crate::spread::Spread;
use std::fmt;

/// From this factor between lowest and highest on, a spread that holds says little.
const WIDE: f64 = 2.0;

/// What became of a ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Holds,
    /// It holds, but the new rounds lie so far apart that little else could have come of it.
    HoldsInAWideSpread,
    /// The spreads meet only because the new rounds lie so far apart.
    Undecided,
    Above,
    Below,
}

/// Compares what was stated with what was found.
pub(super) fn judge(stated: Spread, found: Spread) -> Verdict {
    if !stated.meets(found) {
        return if found.lowest > stated.highest { Verdict::Above } else { Verdict::Below };
    }
    let is_inside = stated.lowest <= found.median && found.median <= stated.highest;
    match found.highest > found.lowest * WIDE {
        true if is_inside => Verdict::HoldsInAWideSpread,
        true => Verdict::Undecided,
        false => Verdict::Holds,
    }
}

impl Verdict {
    /// Whether the ratio stands.
    pub(super) fn is_kept(self) -> bool {
        matches!(self, Self::Holds | Self::HoldsInAWideSpread)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Holds => "holds",
            Self::HoldsInAWideSpread => "holds, but the rounds lie far apart: repeat it on a quiet machine",
            Self::Undecided => "UNDECIDED: the rounds lie far apart, and their median elsewhere: repeat it on a quiet machine",
            Self::Above => "NO LONGER: every round lies above what is stated",
            Self::Below => "NO LONGER: every round lies below what is stated",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATED: Spread = Spread { median: 4.1, lowest: 3.6, highest: 4.5 };

    fn found(lowest: f64, highest: f64) -> Spread {
        Spread { median: f64::midpoint(lowest, highest), lowest, highest }
    }

    #[test]
    fn spreads_that_share_a_value_keep_the_ratio() {
        assert_eq!(judge(STATED, found(3.9, 4.2)), Verdict::Holds);
        assert_eq!(judge(STATED, found(4.5, 5.0)), Verdict::Holds);
        assert_eq!(judge(STATED, found(3.0, 3.6)), Verdict::Holds);
    }

    #[test]
    fn a_spread_on_the_other_side_loses_it_in_either_direction() {
        assert_eq!(judge(STATED, found(4.6, 5.0)), Verdict::Above);
        assert_eq!(judge(STATED, found(3.0, 3.5)), Verdict::Below);
        assert!(!Verdict::Above.is_kept() && !Verdict::Below.is_kept());
    }

    #[test]
    fn a_disturbed_run_is_told() {
        let found = |median| judge(STATED, Spread { median, lowest: 2.0, highest: 4.1 });
        assert_eq!(found(3.7), Verdict::HoldsInAWideSpread);
        assert_eq!(found(3.0), Verdict::Undecided);
        assert!(found(3.7).is_kept() && !found(3.0).is_kept());
    }
}
