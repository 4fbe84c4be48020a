//! The pace of a replay: when each recorded message is due.
//!
//! Pure: times in, times out; the replay reads the clock and waits.
//! Invariant: due times never go back, so a replay keeps the order of its recording.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How fast a recording is replayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// So many times as fast as it was recorded; finite and above zero.
    Times(f64),
    /// As fast as the server takes it.
    Max,
}

/// A speed that is neither a number above zero nor `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSpeed;

impl Default for Speed {
    fn default() -> Self {
        Self::Times(1.0)
    }
}

impl FromStr for Speed {
    type Err = InvalidSpeed;

    fn from_str(text: &str) -> Result<Self, InvalidSpeed> {
        if text == "max" {
            return Ok(Self::Max);
        }
        let times: f64 = text.parse().map_err(|_| InvalidSpeed)?;
        if times.is_finite() && times > 0.0 { Ok(Self::Times(times)) } else { Err(InvalidSpeed) }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Times(times) => write!(f, "{times}"),
            Self::Max => f.write_str("max"),
        }
    }
}

impl fmt::Display for InvalidSpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a speed is a number above zero, or \"max\"")
    }
}

impl std::error::Error for InvalidSpeed {}

/// Where a replay is in its recording.
#[derive(Debug)]
pub struct Pace {
    speed: Speed,
    pass_start: Duration,
    first_ns: Option<u64>,
    due: Duration,
}

impl Pace {
    /// A replay that begins at time zero.
    #[must_use]
    pub fn new(speed: Speed) -> Self {
        Self { speed, pass_start: Duration::ZERO, first_ns: None, due: Duration::ZERO }
    }

    /// When a message recorded at `time_ns` is due, since the replay began.
    /// One without a time, or from before its predecessor, is due with its predecessor.
    pub fn due(&mut self, time_ns: Option<u64>) -> Duration {
        if let (Speed::Times(times), Some(time_ns)) = (self.speed, time_ns) {
            let first_ns = *self.first_ns.get_or_insert(time_ns);
            let recorded = Duration::from_nanos(time_ns.saturating_sub(first_ns));
            let scaled = Duration::try_from_secs_f64(recorded.as_secs_f64() / times).unwrap_or(Duration::MAX);
            self.due = self.due.max(self.pass_start.saturating_add(scaled));
        }
        self.due
    }

    /// Begins the recording again, at `now`.
    pub fn restart(&mut self, now: Duration) {
        self.pass_start = self.due.max(now);
        self.first_ns = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_read_as_written() {
        assert_eq!("max".parse(), Ok(Speed::Max));
        assert_eq!("10".parse(), Ok(Speed::Times(10.0)));
        assert_eq!("0.5".parse(), Ok(Speed::Times(0.5)));
        for bad in ["", "0", "-1", "nan", "inf", "fast", "10x"] {
            assert_eq!(bad.parse::<Speed>(), Err(InvalidSpeed), "{bad}");
        }
    }

    #[test]
    fn the_recordings_timing_divided_by_the_speed() {
        let mut pace = Pace::new(Speed::Times(10.0));
        let start = 1_723_161_254_024_619_568;
        let due: Vec<u128> =
            [Some(start), Some(start + 500_000_000), None, Some(start + 100), Some(start + 10_000_000_000)]
                .map(|time_ns| pace.due(time_ns).as_millis())
                .into();
        assert_eq!(due, [0, 50, 50, 50, 1000]);
        pace.restart(Duration::from_millis(1200));
        assert_eq!(pace.due(Some(start)).as_millis(), 1200);
        assert_eq!(pace.due(Some(start + 1_000_000_000)).as_millis(), 1300);
    }

    #[test]
    fn a_clock_gone_mad_does_not_overflow() {
        let mut pace = Pace::new(Speed::Times(1e-300));
        pace.due(Some(0));
        assert_eq!(pace.due(Some(u64::MAX)), Duration::MAX);
        pace.restart(Duration::ZERO);
        assert_eq!(pace.due(Some(1)), Duration::MAX);
    }

    #[test]
    fn at_full_speed_everything_is_due_at_once() {
        let mut pace = Pace::new(Speed::Max);
        assert_eq!([Some(1), Some(u64::MAX), None].map(|t| pace.due(t)), [Duration::ZERO; 3]);
    }
}
