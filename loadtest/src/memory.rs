//! Memory of a connection: resident bytes before and after many silent ones came.
//!
//! The driver's thread runs the swarm. Must not publish. Invariant: both readings are of the same process.

use crate::idle::IdleArguments;
use crate::scenario::Name;
use crate::server::Server;
use crate::step::StepOptions;
use crate::swarm::Swarm;
use crate::target::Target;
use std::fmt;
use std::io;

/// Settling time after the last connection is up, s.
const SETTLE_S: f64 = 1.0;

/// What silent connections cost a server.
pub(crate) struct Memory {
    subscribers: usize,
    channels_each: u32,
    before_bytes: u64,
    after_bytes: u64,
}

/// Starts the target, connects the scenario's subscribers, and stops it. An error if the server closed one of them.
pub(crate) fn measure(
    target: &Target,
    subscribers: Option<usize>,
    options: &StepOptions,
) -> io::Result<Memory> {
    let scenario = Name::Idle.scenario();
    let server = Server::start(&target.command, &options.cores.server_cores)?;
    let before_bytes = server.resident_bytes();
    let hold = IdleArguments {
        to: server.subscribers,
        subscribers: subscribers.unwrap_or(scenario.subscribers),
        channels_each: scenario.channels_each,
        of: scenario.channels,
        seconds: SETTLE_S,
        dialect: target.dialect.unwrap_or(options.dialect),
        seed: options.seed,
        kind: "trade".to_owned(),
        with_parent: false,
    };
    let mut swarm = Swarm::connect(&hold.swarm())?;
    swarm.hold(hold.seconds)?;
    if swarm.closed() > 0 {
        return Err(io::Error::other(format!("the server closed {} silent connections", swarm.closed())));
    }
    Ok(Memory {
        subscribers: hold.subscribers,
        channels_each: hold.channels_each,
        before_bytes,
        after_bytes: server.resident_bytes(),
    })
}

impl Memory {
    /// Resident bytes a connection.
    pub(crate) fn bytes_each(&self) -> f64 {
        self.after_bytes.saturating_sub(self.before_bytes) as f64 / self.subscribers as f64
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} connections of {} channels: {:.0} resident bytes each ({:.1} MiB before, {:.1} MiB after)",
            self.subscribers,
            self.channels_each,
            self.bytes_each(),
            self.before_bytes as f64 / 1_048_576.0,
            self.after_bytes as f64 / 1_048_576.0,
        )
    }
}
