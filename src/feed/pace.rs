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

/// Records are not always in order, by this much at most. Who goes back further begins another recording behind the first.
const OUT_OF_ORDER_MAX: Duration = Duration::from_secs(10);

/// Where a replay is in its recording.
#[derive(Debug)]
pub struct Pace {
    speed: Speed,
    pass_start: Duration,
    first_ns: Option<u64>,
    latest_ns: u64,
    went_back: bool,
    due: Duration,
}

impl Pace {
    /// A replay that begins at time zero.
    #[must_use]
    pub fn new(speed: Speed) -> Self {
        let (pass_start, due) = (Duration::ZERO, Duration::ZERO);
        Self { speed, pass_start, first_ns: None, latest_ns: 0, went_back: false, due }
    }

    /// When a message recorded at `time_ns` is due, since the replay began.
    /// One without a time, or from before its predecessor, is due with its predecessor.
    pub fn due(&mut self, time_ns: Option<u64>) -> Duration {
        if let (Speed::Times(times), Some(time_ns)) = (self.speed, time_ns) {
            let goes_back = time_ns.saturating_add(OUT_OF_ORDER_MAX.as_nanos() as u64) < self.latest_ns;
            // One alone is a damaged line, with others behind it that go on where its predecessor was.
            if !std::mem::replace(&mut self.went_back, goes_back) && goes_back {
                return self.due;
            }
            if goes_back {
                self.restart(self.due);
            }
            self.latest_ns = self.latest_ns.max(time_ns);
            let first_ns = *self.first_ns.get_or_insert(time_ns);
            let recorded = Duration::from_nanos(time_ns.saturating_sub(first_ns));
            let scaled = Duration::try_from_secs_f64(recorded.as_secs_f64() / times).unwrap_or(Duration::MAX);
            self.due = self.due.max(self.pass_start.saturating_add(scaled));
        }
        self.due
    }

    /// How late the latest message is at `now`; none where there is no timing to keep.
    #[must_use]
    pub fn lag(&self, now: Duration) -> Option<Duration> {
        self.first_ns.map(|_| now.saturating_sub(self.due))
    }

    /// How long the latest message has to wait at `now`.
    #[must_use]
    pub fn ahead(&self, now: Duration) -> Duration {
        self.due.saturating_sub(now)
    }

    /// Begins the recording again, at `now`.
    pub fn restart(&mut self, now: Duration) {
        self.pass_start = self.due.max(now);
        self.first_ns = None;
        self.latest_ns = 0;
        self.went_back = false;
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
    fn a_recording_behind_another_keeps_its_own_timing() {
        let mut pace = Pace::new(Speed::Times(2.0));
        let seconds = |s: u64| Some(s * 1_000_000_000);
        let due = [100, 160, 155, 161, 20, 21, 19, 27, 87].map(|s| pace.due(seconds(s)).as_millis());
        assert_eq!(due, [0, 30_000, 30_000, 30_500, 30_500, 30_500, 30_500, 33_500, 63_500]);
        let due = [100, 0, 101].map(|s| pace.due(seconds(s)).as_millis());
        assert_eq!(due[1..], [63_500 + 6_500, 63_500 + 7_000], "one that is damaged changes nothing");
    }

    #[test]
    fn late_is_who_is_sent_after_its_time() {
        let mut pace = Pace::new(Speed::Times(1.0));
        pace.due(None);
        assert_eq!(pace.lag(Duration::from_secs(9)), None, "no message had a time");
        pace.due(Some(1));
        pace.due(Some(2_000_000_001));
        assert_eq!(pace.lag(Duration::from_secs(1)), Some(Duration::ZERO));
        assert_eq!(pace.lag(Duration::from_secs(5)), Some(Duration::from_secs(3)));
        assert_eq!([0, 5].map(|s| pace.ahead(Duration::from_secs(s)).as_secs()), [2, 0]);
        let mut unpaced = Pace::new(Speed::Max);
        unpaced.due(Some(1));
        assert_eq!(unpaced.lag(Duration::from_secs(5)), None);
    }

    #[test]
    fn at_full_speed_everything_is_due_at_once() {
        let mut pace = Pace::new(Speed::Max);
        assert_eq!([Some(1), Some(u64::MAX), None].map(|t| pace.due(t)), [Duration::ZERO; 3]);
    }
}
