//! The scenarios: how many subscribers, of how many channels, within which bound.
//!
//! Pure. Must not know a server. Invariant: figures of two servers are compared on one row of this table.

use clap::ValueEnum;

/// A row of the table, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Name {
    /// 1,000 subscribers of one channel
    Hot,
    /// 1,000 subscribers of 20 of 200 channels
    Dash,
    /// 200 subscribers of all of 200 channels
    All,
    /// 5,000 subscribers of 10 of 200 channels
    Wide,
    /// 100 subscribers of one channel, 1,000 records a second
    Quiet,
    /// 10,000 silent subscribers of 10 of 200 channels
    Idle,
    /// Lines without subscribers
    Ingest,
}

/// What a fan-out scenario is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    pub(crate) subscribers: usize,
    pub(crate) channels_each: u32,
    pub(crate) channels: u32,
    /// The latency that a rate must keep to count as held.
    pub(crate) p99_ns_max: u64,
    /// Records a second: where a search begins, or the fixed rate.
    pub(crate) rate: f64,
    /// Whether the question is latency at that rate, rather than the highest rate.
    pub(crate) is_latency: bool,
}

impl Name {
    /// As it is asked for.
    pub(crate) fn title(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The scenario of that name.
    pub(crate) fn scenario(self) -> Scenario {
        let row = |subscribers, channels_each, channels, p99_ms: u64, rate| Scenario {
            subscribers,
            channels_each,
            channels,
            p99_ns_max: p99_ms * 1_000_000,
            rate,
            is_latency: false,
        };
        match self {
            Self::Hot => row(1_000, 1, 1, 50, 2_000.0),
            Self::Dash => row(1_000, 20, 200, 50, 20_000.0),
            Self::All => row(200, 200, 200, 50, 10_000.0),
            Self::Wide => row(5_000, 10, 200, 100, 4_000.0),
            Self::Quiet => Scenario { is_latency: true, ..row(100, 1, 1, 50, 1_000.0) },
            Self::Idle => row(10_000, 10, 200, 50, 0.0),
            Self::Ingest => row(0, 0, 200, 50, 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_begin_well_below_what_any_server_is_to_reach() {
        for name in [Name::Hot, Name::Dash, Name::All, Name::Wide] {
            let scenario = name.scenario();
            let fan_out = scenario.subscribers as f64 * f64::from(scenario.channels_each)
                / f64::from(scenario.channels);
            let deliveries = scenario.rate * fan_out;
            assert!((1e6..=2e6).contains(&deliveries), "{name:?}: {deliveries}");
        }
    }
}
