//! Many silent connections, held so that the server's memory can be read.
//!
//! One thread, the caller's. Must not publish. Invariant: "up" is said only when all are subscribed.

use crate::subscription::Dialect;
use crate::swarm::{Swarm, SwarmArguments};
use clap::Args;
use rustix::process::{Signal, set_parent_process_death_signal};
use std::io::{self, Write};
use std::net::SocketAddr;

/// How many connections, with what, for how long.
#[derive(Debug, Clone, Args)]
pub(crate) struct IdleArguments {
    /// The server's subscriber listener
    #[arg(long)]
    pub(crate) to: SocketAddr,
    /// Connections
    #[arg(long, default_value_t = 10_000)]
    pub(crate) subscribers: usize,
    /// Channels each connection subscribes to
    #[arg(long, default_value_t = 10)]
    pub(crate) channels_each: u32,
    /// Channels there are
    #[arg(long, default_value_t = 200)]
    pub(crate) of: u32,
    /// How long to hold them
    #[arg(long, default_value_t = 30.0)]
    pub(crate) seconds: f64,
    /// What to speak
    #[arg(long, value_enum, default_value_t = Dialect::Binance)]
    pub(crate) dialect: Dialect,
    /// Choice of the channels
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Kind of the channels
    #[arg(long, default_value = "trade")]
    pub(crate) kind: String,
    /// End with the process that started this one: who is stopped could not see it go
    #[arg(long, hide = true)]
    pub(crate) with_parent: bool,
}

impl IdleArguments {
    /// The swarm that holds them: all parsed, so that every ping is answered.
    pub(crate) fn swarm(&self) -> SwarmArguments {
        SwarmArguments {
            to: self.to,
            subscribers: self.subscribers,
            channels_each: self.channels_each,
            of: self.of,
            kind: self.kind.clone(),
            bytes: 200,
            seconds: self.seconds,
            warmup: 0.0,
            wait: 0.0,
            dialect: self.dialect,
            by_url: false,
            seed: self.seed,
            parse_one_in: 1,
            pause_us: 0,
        }
    }
}

/// The `idle` tool.
pub(crate) fn main(arguments: &IdleArguments) -> io::Result<()> {
    if arguments.with_parent {
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    let mut swarm = Swarm::connect(&arguments.swarm())?;
    println!("idle: {} up", arguments.subscribers);
    io::stdout().flush()?;
    swarm.hold(arguments.seconds)?;
    println!("idle: held {} s, {} closed", arguments.seconds, swarm.closed());
    Ok(())
}
