//! One round of one server in one case.
//!
//! The driver's thread. Must not know of other servers. Invariant: every counted round of a search starts in the neighbourhood of the
//! limit, at the same pace: so rounds are alike.

use super::VersusArguments;
use super::case::Case;
use super::recording;
use super::row::{Figure, Sample};
use crate::limit::{self, SearchOptions};
use crate::memory;
use crate::scenario::{Name, Scenario};
use crate::search::Pace;
use crate::step;
use crate::target::Target;
use std::io;

/// Rates that a scout tries at most: from where it starts down to a hundredth.
const SCOUTED_MAX: u32 = 8;

/// Where a search for a known server starts, relative to the scenario's rate: near its limit, which saves minutes. A wrong guess costs
/// steps, not exactness.
fn start_factor(server: &str) -> f64 {
    match server {
        "tapecast" | "bare" => 8.0,
        "bun" => 4.0,
        "ws" | "socketio" | "nchan" | "obvious" => 0.25,
        "mosquitto" => 0.5,
        _ => 1.0,
    }
}

/// The scenario of that name with the subscribers that were asked for.
pub(super) fn scenario(name: Name, arguments: &VersusArguments) -> Scenario {
    let scenario = name.scenario();
    Scenario { subscribers: arguments.subscribers.unwrap_or(scenario.subscribers), ..scenario }
}

/// Finds the neighbourhood of a limit, to within a half; the rate, records a second. It looks twice before it says that nothing was held:
/// a shared machine has bad moments, and a server that is given up here has no row of figures.
pub(super) fn scout(name: Name, target: &Target, arguments: &VersusArguments) -> io::Result<f64> {
    let scenario = scenario(name, arguments);
    let search =
        SearchOptions { steps: arguments.limit.steps.min(SCOUTED_MAX), tries: arguments.limit.tries };
    let start = Scenario { rate: scenario.rate * start_factor(&target.name), ..scenario };
    let mut limit = limit::find_at(Pace::SCOUT, &start, target, &search, &arguments.step)?;
    if limit.best.is_none() {
        limit = limit::find_at(Pace::SCOUT, &start, target, &search, &arguments.step)?;
    }
    Sample::of_limit(&limit, scenario.subscribers).map(|sample| sample.rate).map_err(io::Error::other)
}

/// One round; a search starts at `start`, records a second.
pub(super) fn round(
    case: Case,
    start: f64,
    target: &Target,
    arguments: &VersusArguments,
) -> io::Result<Sample> {
    match case {
        Case::Limit(name) => {
            let scenario = Scenario { rate: start, ..scenario(name, arguments) };
            let limit = limit::find_at(Pace::NEARBY, &scenario, target, &arguments.limit, &arguments.step)?;
            Sample::of_limit(&limit, scenario.subscribers).map_err(io::Error::other)
        }
        Case::Quiet => {
            let scenario = scenario(Name::Quiet, arguments);
            let step = step::measure(&scenario, scenario.rate, target, &arguments.step)?;
            let mut sample = Sample::of_step(&step, scenario.subscribers);
            // So few connections are lost in what the server takes for the load itself.
            sample.figures.remove(&Figure::Resident);
            Ok(sample)
        }
        Case::Idle => {
            let found = memory::measure(target, arguments.subscribers, &arguments.step)?;
            Ok(Sample::of_memory(found.bytes_each()))
        }
        Case::Burst(speed) => recording::burst(speed, target, arguments),
    }
}
