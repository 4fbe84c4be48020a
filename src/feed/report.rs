//! What a replay says of itself while it runs, as one line.
//!
//! Pure: counts and times in, text out. What matters most comes first, since a narrow terminal cuts the end.
//! Invariant: a time that cannot be known is left out, not guessed.

use std::fmt;
use std::time::Duration;

/// A time left that is longer says nothing but that the beginning was slow.
const LEFT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Where a replay is.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// Records sent since the beginning.
    pub(super) sent: u64,
    /// Records sent a second, of late.
    pub(super) rate: u64,
    /// How far behind the recording's timing; none where there is no timing to keep.
    pub(super) lag: Option<Duration>,
    /// The pass, from 1; none where there is one only.
    pub(super) pass: Option<u64>,
    /// Time left of this pass, where it can be told.
    pub(super) left: Option<Duration>,
    /// Records that the server refused.
    pub(super) refused: u64,
    /// Lines that could not be read or sent.
    pub(super) bad_lines: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, rate, lag, pass, left, refused, bad_lines } = self;
        write!(f, "sent {sent} ({rate}/s)")?;
        if let Some(lag) = lag {
            write!(f, ", lag {:.1} s", lag.as_secs_f64())?;
        }
        if let Some(pass) = pass {
            write!(f, ", pass {pass}")?;
        }
        if let Some(left) = left {
            write!(f, ", about {} left", in_seconds(*left))?;
        }
        write!(f, ", refused {refused}, bad lines {bad_lines}")
    }
}

/// A time to the second, as `1h 2m 3s`.
pub(super) fn in_seconds(time: Duration) -> humantime::FormattedDuration {
    humantime::format_duration(Duration::from_secs(time.as_secs_f64().round() as u64))
}

/// The time left where this share of the whole took so long; none at the ends, where a share says nothing.
pub(super) fn time_left(share: f64, took: Duration) -> Option<Duration> {
    if !(share > 0.0 && share < 1.0) {
        return None;
    }
    let left = took.as_secs_f64() * (1.0 - share) / share;
    Duration::try_from_secs_f64(left).ok().filter(|left| *left <= LEFT_MAX)
}

/// So many in this time, a second.
pub(super) fn per_second(count: u64, time: Duration) -> u64 {
    (count as f64 / time.as_secs_f64().max(1e-9)).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_left_out() {
        let mut report = Report { sent: 1200, rate: 100, bad_lines: 2, ..Report::default() };
        assert_eq!(report.to_string(), "sent 1200 (100/s), refused 0, bad lines 2");
        report.lag = Some(Duration::from_millis(1260));
        report.pass = Some(3);
        report.left = Some(Duration::from_millis(200_499));
        assert_eq!(
            report.to_string(),
            "sent 1200 (100/s), lag 1.3 s, pass 3, about 3m 20s left, refused 0, bad lines 2"
        );
    }

    #[test]
    fn the_time_left_follows_from_the_share_that_is_read() {
        let minute = Duration::from_secs(60);
        assert_eq!(time_left(0.25, minute), Some(3 * minute));
        assert_eq!(time_left(0.75, minute), Some(minute / 3));
        for share in [0.0, 1.0, 1.5, -1.0, f64::NAN, 1e-12, f64::MIN_POSITIVE] {
            assert_eq!(time_left(share, minute), None, "{share}");
        }
    }
}
