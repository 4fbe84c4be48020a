//! What is measured for which curve: the points of each sweep.
//!
//! Pure. Must not start anything. Invariant: along a sweep one thing changes and the face of the curve says what does not.

use super::curve::Curve;
use crate::scenario::{Name, Scenario};

/// One setting of a sweep that is measured at saturation.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// What the curve changes.
    pub(super) at: f64,
    pub(super) scenario: Scenario,
    /// `None`: what the arguments say.
    pub(super) payload_bytes: Option<usize>,
    /// `None`: what its command says.
    pub(super) shards: Option<usize>,
}

/// How a curve's measurements are taken.
#[derive(Debug)]
pub(super) enum Sweep {
    /// Rising offered loads; these curves are drawn from the same measurements.
    Loads(Vec<Curve>),
    /// Each setting at saturation.
    Saturated(Curve, Vec<Setting>),
    /// Silent subscribers beside a flow.
    Idle(Curve),
}

/// Offered deliveries a second of the load sweep; finer where servers end.
pub(super) const LOADS: [f64; 14] =
    [0.05e6, 0.1e6, 0.25e6, 0.5e6, 1e6, 2e6, 4e6, 6e6, 8e6, 12e6, 16e6, 24e6, 32e6, 48e6];
/// Silent subscribers of the idle sweep.
pub(super) const SILENT: [usize; 4] = [0, 100, 1_000, 10_000];

const SUBSCRIBERS: [usize; 4] = [100, 1_000, 5_000, 15_000];
const CHANNELS: [u32; 5] = [10, 100, 1_000, 10_000, 100_000];
const CHANNELS_EACH: [u32; 4] = [1, 10, 100, 1_000];
const PAYLOAD_BYTES: [usize; 4] = [60, 200, 1_000, 4_000];

/// The sweeps that `curves` need, each once.
pub(super) fn sweeps(curves: &[Curve], server_cores: usize) -> Vec<Sweep> {
    let by_load = |curve: &Curve| matches!(curve, Curve::LatencyLoad | Curve::CostFrames);
    let (loads, others): (Vec<Curve>, Vec<Curve>) = curves.iter().copied().partition(by_load);
    let first = (!loads.is_empty()).then_some(Sweep::Loads(loads));
    let others = others.into_iter().map(|curve| match curve {
        Curve::IdleChannels => Sweep::Idle(curve),
        _ => Sweep::Saturated(curve, settings(curve, server_cores)),
    });
    first.into_iter().chain(others).collect()
}

fn settings(curve: Curve, server_cores: usize) -> Vec<Setting> {
    let dash = Name::Dash.scenario();
    match curve {
        Curve::CostSubscribers => {
            let wide = Name::Wide.scenario();
            let with = |subscribers| setting(subscribers as f64, Scenario { subscribers, ..wide });
            SUBSCRIBERS.map(with).to_vec()
        }
        Curve::CostChannels => {
            let with = |channels| setting(f64::from(channels), of(5_000, 10, channels));
            CHANNELS.map(with).to_vec()
        }
        Curve::CostChannelsEach => {
            let with = |each| setting(f64::from(each), of(1_000, each, each * 10));
            CHANNELS_EACH.map(with).to_vec()
        }
        Curve::CostPayload => {
            let with = |bytes| Setting { payload_bytes: Some(bytes), ..setting(bytes as f64, dash) };
            PAYLOAD_BYTES.map(with).to_vec()
        }
        Curve::CostShards => {
            let with = |shards| Setting { shards: Some(shards), ..setting(shards as f64, dash) };
            shard_counts(server_cores).into_iter().map(with).collect()
        }
        Curve::LatencyLoad | Curve::CostFrames | Curve::IdleChannels => Vec::new(),
    }
}

fn of(subscribers: usize, channels_each: u32, channels: u32) -> Scenario {
    Scenario { subscribers, channels_each, channels, ..Name::Dash.scenario() }
}

/// No bound on the latency: at saturation there is none, and what matters is whether all that was offered was carried.
fn setting(at: f64, scenario: Scenario) -> Setting {
    let scenario = Scenario { p99_ns_max: u64::MAX, ..scenario };
    Setting { at, scenario, payload_bytes: None, shards: None }
}

/// 1, 2, 4, and so on, and as many as there are cores.
fn shard_counts(server_cores: usize) -> Vec<usize> {
    let mut counts: Vec<usize> =
        (0..).map(|power| 1 << power).take_while(|count| *count < server_cores).collect();
    counts.push(server_cores.max(1));
    counts
}

/// Deliveries that a record makes, on average.
pub(super) fn fan_out(scenario: &Scenario) -> f64 {
    scenario.subscribers as f64 * f64::from(scenario.channels_each) / f64::from(scenario.channels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    fn ends(curve: Curve) -> (f64, f64) {
        let settings = settings(curve, 2);
        (settings[0].at, settings[settings.len() - 1].at)
    }

    #[test]
    fn sweeps_go_as_far_as_they_should() {
        assert_eq!(ends(Curve::CostSubscribers), (100.0, 15_000.0));
        assert_eq!(ends(Curve::CostChannels), (10.0, 100_000.0));
        assert_eq!(ends(Curve::CostChannelsEach), (1.0, 1_000.0));
        assert_eq!(ends(Curve::CostPayload), (60.0, 4_000.0));
        assert_eq!(ends(Curve::CostShards), (1.0, 2.0));
    }

    #[test]
    fn what_the_face_says_is_held_still_is_held_still() {
        for setting in settings(Curve::CostChannelsEach, 2) {
            assert!((fan_out(&setting.scenario) - 100.0).abs() < 1e-9);
        }
        for setting in settings(Curve::CostChannels, 2) {
            let deliveries = 50_000.0 / setting.at;
            assert!((fan_out(&setting.scenario) - deliveries).abs() < 1e-9);
        }
    }

    #[test]
    fn shards_double_up_to_the_cores() {
        assert_eq!(shard_counts(1), [1]);
        assert_eq!(shard_counts(2), [1, 2]);
        assert_eq!(shard_counts(6), [1, 2, 4, 6]);
        assert_eq!(shard_counts(8), [1, 2, 4, 8]);
    }

    #[test]
    fn every_curve_is_swept_once_and_the_two_by_load_together() {
        let all = sweeps(Curve::value_variants(), 2);
        assert_eq!(all.len(), Curve::value_variants().len() - 1);
        assert!(matches!(&all[0], Sweep::Loads(curves) if curves.len() == 2));
        assert!(LOADS.is_sorted());
    }
}
