//! Memory of a connection: resident bytes before and after many silent ones came.
//!
//! The driver's thread runs the swarm. Must not publish. Invariant: both readings are of the same process.

use super::{Figure, Outcome, RunArguments};
use crate::idle::IdleArguments;
use crate::scenario::Name;
use crate::server::Server;
use crate::swarm::Swarm;
use crate::target::Target;
use std::io;

/// Settling time after the last connection is up, s.
const SETTLE_S: f64 = 1.0;

/// Runs the scenario once.
pub(super) fn run(target: &Target, arguments: &RunArguments) -> io::Result<Outcome> {
    let scenario = Name::Idle.scenario();
    let server = Server::start(&target.command, arguments.step.server_core)?;
    let before = server.resident_bytes();
    let hold = IdleArguments {
        to: server.subscribers,
        subscribers: arguments.subscribers.unwrap_or(scenario.subscribers),
        channels_each: scenario.channels_each,
        of: scenario.channels,
        seconds: SETTLE_S,
        dialect: target.dialect.unwrap_or(arguments.step.dialect),
        seed: arguments.step.seed,
        kind: "trade".to_owned(),
        with_parent: false,
    };
    let mut swarm = Swarm::connect(&hold.swarm())?;
    swarm.hold(hold.seconds)?;
    let after = server.resident_bytes();
    let each = after.saturating_sub(before) as f64 / hold.subscribers as f64;
    let line = format!(
        "{} connections of {} channels: {each:.0} resident bytes each ({:.1} MiB before, {:.1} MiB after); closed {}",
        hold.subscribers,
        hold.channels_each,
        before as f64 / 1_048_576.0,
        after as f64 / 1_048_576.0,
        swarm.closed(),
    );
    Ok(Outcome { line, figures: vec![Figure { name: "resident bytes a connection", value: each }] })
}
