//! A fan-out scenario against one server, at one rate or at the highest that it holds, in the driver's words.
//!
//! The driver's thread. Must not measure anything itself. Invariant: what is told was held, or the line says at which rate it was not.

use super::{Figure, Outcome, RunArguments, Standing};
use crate::limit;
use crate::scenario::Scenario;
use crate::step::{self, Step};
use crate::target::Target;
use std::io;

/// Runs the scenario as the arguments say.
pub(super) fn run(scenario: Scenario, target: &Target, arguments: &RunArguments) -> io::Result<Outcome> {
    let scenario = Scenario {
        subscribers: arguments.subscribers.unwrap_or(scenario.subscribers),
        rate: arguments.rate.unwrap_or(scenario.rate),
        ..scenario
    };
    if arguments.search && !scenario.is_latency {
        return search(&scenario, target, arguments);
    }
    let step = step::measure(&scenario, scenario.rate, target, &arguments.step)?;
    let standing = if step.held { Standing::Held } else { Standing::NotHeld };
    Ok(Outcome { line: step.to_string(), standing, figures: figures(&step) })
}

fn search(scenario: &Scenario, target: &Target, arguments: &RunArguments) -> io::Result<Outcome> {
    let found = limit::find(scenario, target, &arguments.limit, &arguments.step)?;
    let beyond = found.beyond.map_or_else(|| "nothing, the steps ended".to_owned(), |side| side.to_string());
    let (holds, standing) = match found.is_the_tools() {
        true => ("holds at least", Standing::AtLeast),
        false => ("holds", Standing::Held),
    };
    match found.best {
        Some(step) => Ok(Outcome {
            line: format!("{holds} {step}; beyond it saturated: {beyond}"),
            standing,
            figures: figures(&step),
        }),
        None => Err(io::Error::other(format!("no rate tried was held; saturated: {beyond}"))),
    }
}

fn figures(step: &Step) -> Vec<Figure> {
    vec![
        Figure { name: "deliveries M/s", value: step.swarm.deliveries_rate() / 1e6 },
        Figure { name: "p50 us", value: step.swarm.latency.p50 as f64 / 1e3 },
        Figure { name: "p99 us", value: step.swarm.latency.p99 as f64 / 1e3 },
        Figure { name: "server ns a delivery", value: step.server_ns_a_delivery() },
    ]
}
