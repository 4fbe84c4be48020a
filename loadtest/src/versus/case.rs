//! The cases of a comparison: what is measured, by search or at a fixed rate, and which ratios its rows tell.
//!
//! Pure. Must not know a server, but for the two that ratios are of. Invariant: a case is one row a server.

use super::row::Figure;
use crate::scenario::Name;
use clap::ValueEnum;

/// A scenario that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Which {
    /// 1,000 subscribers of one channel
    Hot,
    /// 1,000 subscribers of 20 of 200 channels
    Dash,
    /// 200 subscribers of all of 200 channels
    All,
    /// 5,000 subscribers of 10 of 200 channels
    Wide,
    /// 100 subscribers of one channel, 1,000 records a second: latency
    Quiet,
    /// 10,000 silent subscribers: memory
    Idle,
    /// The recorded feed at 1x, 10x and as fast as it goes
    Burst,
}

/// How fast a recording is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Speed {
    Times(u32),
    /// As fast as the server takes it.
    Unpaced,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// The highest rate that holds.
    Limit(Name),
    Quiet,
    Idle,
    Burst(Speed),
}

/// Whose figure a ratio is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// The first server.
    First,
    /// The roof.
    Bare,
}

impl Which {
    /// Its cases, in the order in which they are measured.
    pub(super) fn cases(self) -> Vec<Case> {
        match self {
            Self::Hot => vec![Case::Limit(Name::Hot)],
            Self::Dash => vec![Case::Limit(Name::Dash)],
            Self::All => vec![Case::Limit(Name::All)],
            Self::Wide => vec![Case::Limit(Name::Wide)],
            Self::Quiet => vec![Case::Quiet],
            Self::Idle => vec![Case::Idle],
            Self::Burst => [Speed::Times(1), Speed::Times(10), Speed::Unpaced].map(Case::Burst).to_vec(),
        }
    }
}

impl Case {
    /// As it stands in the table.
    pub(super) fn title(self) -> String {
        match self {
            Self::Limit(name) => name.title(),
            Self::Quiet => "quiet".to_owned(),
            Self::Idle => "idle".to_owned(),
            Self::Burst(Speed::Times(times)) => format!("burst {times}x"),
            Self::Burst(Speed::Unpaced) => "burst unpaced".to_owned(),
        }
    }

    /// The figures whose ratios its rows tell, and of whom.
    pub(super) fn ratios(self) -> &'static [(Figure, Base)] {
        match self {
            Self::Limit(_) => &[(Figure::Deliveries, Base::First)],
            Self::Quiet => &[(Figure::P50, Base::Bare), (Figure::P99, Base::Bare)],
            Self::Idle => &[(Figure::Resident, Base::First)],
            Self::Burst(_) => &[(Figure::P99, Base::First)],
        }
    }

    /// Its part of the time, relative to the others'.
    pub(super) fn weight(self) -> f64 {
        match self {
            Self::Limit(_) => 12.0,
            Self::Quiet | Self::Burst(_) => 6.0,
            Self::Idle => 3.0,
        }
    }
}
