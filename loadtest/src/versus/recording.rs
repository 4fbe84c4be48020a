//! The recorded feed as a case of the comparison.
//!
//! The driver's thread. Must not measure: `burst` does. Invariant: a burst that is void is an error and never a figure.

use super::VersusArguments;
use super::case::Speed;
use super::row::{Figure, Sample, Side};
use crate::burst::{self, BurstFigures, BurstOptions};
use crate::target::Target;
use std::io;

/// Subscribers, each of all channels of the recording.
const SUBSCRIBERS: usize = 100;
/// Seconds of the recording, around its worst one, that are played at its own pace: eight peers take minutes.
const AT_ITS_PACE_S: f64 = 15.0;

/// The recorded feed at that speed against one server.
pub(super) fn burst(speed: Speed, target: &Target, arguments: &VersusArguments) -> io::Result<Sample> {
    let (speed, seconds) = match speed {
        Speed::Times(1) => (1.0, Some(AT_ITS_PACE_S)),
        Speed::Times(times) => (f64::from(times), None),
        Speed::Unpaced => (0.0, None),
    };
    let options = BurstOptions {
        recording: arguments.recording.clone(),
        generated: false,
        from: None,
        seconds,
        subscribers: arguments.subscribers.unwrap_or(SUBSCRIBERS),
        pause_us: 250,
        seed: arguments.step.seed,
        cores: arguments.step.cores.clone(),
    };
    let figures = burst::measure(target, speed, &options)?;
    if figures.is_void() {
        return Err(io::Error::other(figures.to_string()));
    }
    Ok(sample(&figures))
}

/// Latencies are the worst second's; without a pace there is none, and they are of all.
fn sample(burst: &BurstFigures) -> Sample {
    let busiest = if burst.speed > 0.0 { &burst.worst } else { &burst.whole };
    let latency = busiest.latency;
    let figures = [
        (Figure::Deliveries, burst.whole.deliveries_rate),
        (Figure::Cpu, burst.server_ns_a_delivery),
        (Figure::Frames, burst.frames_a_read),
        (Figure::P50, latency.p50 as f64),
        (Figure::P99, latency.p99 as f64),
        (Figure::P999, latency.p999 as f64),
        (Figure::Max, latency.max as f64),
        (Figure::Robbed, busiest.server_robbed),
    ];
    let rate = burst.records as f64 * 1e9 / burst.elapsed_ns as f64;
    // Without a pace some side is always at its end, and there is no bound that would not be held.
    let side = if burst.speed > 0.0 { Side::AtRate(burst.verdict) } else { Side::Beyond(burst.verdict) };
    Sample { rate, figures: figures.into(), side }
}
