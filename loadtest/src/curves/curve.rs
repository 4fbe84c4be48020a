//! The curves: what each asks, what it changes, and which figures it draws.
//!
//! Pure. Must not measure. Invariant: one row of this table is one CSV and one picture of the curve's name.

use super::row::Figures;
use clap::ValueEnum;

/// A curve, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Curve {
    /// p50 and p99 against offered load
    LatencyLoad,
    /// Cost a delivery against frames a read, from the same measurements
    CostFrames,
    /// Cost a delivery against subscribers
    CostSubscribers,
    /// Cost a delivery against channels
    CostChannels,
    /// Cost a delivery against channels a subscriber
    CostChannelsEach,
    /// Cost a delivery against bytes of a payload
    CostPayload,
    /// Deliveries a second against shards; Tapecast alone
    CostShards,
    /// Cost a record against silent subscribers
    IdleChannels,
}

/// How figures lie on an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scale {
    Log,
    /// From zero.
    Linear,
}

/// Where a measurement's point lies on an axis.
pub(crate) enum Column {
    /// What the curve changes.
    At,
    Figure(fn(&Figures) -> f64),
}

/// An axis: what it shows, of which figure.
pub(crate) struct Axis {
    pub(crate) label: &'static str,
    pub(crate) scale: Scale,
    pub(crate) column: Column,
}

/// What a picture shows besides its points.
pub(crate) struct Face {
    pub(crate) title: &'static str,
    /// What was held still.
    pub(crate) under: &'static str,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    /// A second figure on the y axis, drawn dashed: p50 beside p99.
    pub(crate) thin: Option<fn(&Figures) -> f64>,
}

const COST: &str = "server CPU, ns a delivery, at saturation";

impl Curve {
    /// The name of its files.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// What its picture says.
    pub(crate) fn face(self) -> Face {
        match self {
            Self::LatencyLoad => latency_load(),
            Self::CostFrames => cost_frames(),
            Self::CostSubscribers => cost(
                "What does a delivery cost as subscribers come?",
                "Each has 10 of 200 channels; payloads of 200 bytes.",
                "subscribers",
            ),
            Self::CostChannels => cost(
                "What does a delivery cost as channels grow?",
                "5,000 subscribers of 10 channels each, payloads of 200 bytes. All channels flow, so a record goes to \
                 50,000 / channels of them: from 10,000 channels on, what shows is the cost of a record.",
                "channels",
            ),
            Self::CostChannelsEach => cost(
                "What does a delivery cost as each subscriber takes more channels?",
                "1,000 subscribers, each of a random tenth of the channels, so a record always goes to 100 of them; \
                 payloads of 200 bytes.",
                "channels a subscriber",
            ),
            Self::CostPayload => cost(
                "What does a delivery cost as payloads grow?",
                "1,000 subscribers of 20 of 200 channels (dash).",
                "bytes of a payload",
            ),
            Self::CostShards => shards(),
            Self::IdleChannels => idle(),
        }
    }
}

fn cost(title: &'static str, under: &'static str, x: &'static str) -> Face {
    Face {
        title,
        under,
        x: Axis { label: x, scale: Scale::Log, column: Column::At },
        y: Axis { label: COST, scale: Scale::Log, column: Column::Figure(|figures| figures.cpu_ns) },
        thin: None,
    }
}

fn latency_load() -> Face {
    Face {
        title: "How late are records as the load grows?",
        under: "Solid: p99, dashed: p50, from publish to receipt; one core for the server.",
        x: Axis { label: "offered load, deliveries a second", scale: Scale::Log, column: Column::At },
        y: Axis {
            label: "latency, ms",
            scale: Scale::Log,
            column: Column::Figure(|figures| figures.p99_us / 1e3),
        },
        thin: Some(|figures| figures.p50_us / 1e3),
    }
}

fn cost_frames() -> Face {
    Face {
        title: "What does a delivery cost, by how many go out in one send?",
        under: "The loads of latency-load, up to the highest that holds: more load makes larger sends.",
        x: Axis {
            label: "frames a read",
            scale: Scale::Log,
            column: Column::Figure(|figures| figures.frames_a_read),
        },
        y: Axis {
            label: "server CPU, ns a delivery",
            scale: Scale::Log,
            column: Column::Figure(|figures| figures.cpu_ns),
        },
        thin: None,
    }
}

fn shards() -> Face {
    Face {
        title: "How much more do more shards carry?",
        under: "1,000 subscribers of 20 of 200 channels (dash), payloads of 200 bytes; offered more than is carried.",
        x: Axis { label: "shards", scale: Scale::Linear, column: Column::At },
        y: Axis {
            label: "million deliveries a second, at saturation",
            scale: Scale::Linear,
            column: Column::Figure(|figures| figures.arrived / 1e6),
        },
        thin: None,
    }
}

fn idle() -> Face {
    Face {
        title: "What do subscribers cost that want none of what flows?",
        under: "Each silent subscriber has 10 of 100,000 channels that never get a record; 500,000 records a second of 200 bytes flow \
                on 200 other channels, to nobody.",
        x: Axis { label: "silent subscribers", scale: Scale::Log, column: Column::At },
        y: Axis {
            label: "server CPU, ns a record",
            scale: Scale::Linear,
            column: Column::Figure(|figures| figures.cpu_ns),
        },
        thin: None,
    }
}
