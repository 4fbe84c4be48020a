//! The servers that are known by name, as command lines.
//!
//! Pure but for the name of our own program. Must not start anything.
//! Invariant: a command begins with a program, so it can be started.

use crate::feed::Protocol;
use crate::subscription::Dialect;
use std::io;

/// A server and how it is started. Paths are relative to the repository's root.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    /// What its subscribers speak, where it speaks nothing else.
    pub(crate) dialect: Option<Dialect>,
    /// What its ingest listener understands.
    pub(crate) feed: Protocol,
}

const TAPECAST: &str = "target/release/tapecast serve --shards 1 --listen 127.0.0.1:0 --ingest-listen 127.0.0.1:0 \
     --admin-listen 127.0.0.1:0 --set limits.connections_per_address=0 --set limits.connections=20000";
const BUN: &str = "loadtest/peers/node_modules/.bin/bun loadtest/peers/bun.js";
const WS: &str = "node loadtest/peers/ws.js";
const SOCKETIO: &str = "node loadtest/peers/socketio.js";

impl Target {
    /// A known name, or a command line whose words are divided by white space.
    pub(crate) fn named(name: &str) -> io::Result<Self> {
        let command = match name {
            "tapecast" => words(TAPECAST),
            "bun" => words(BUN),
            "ws" => words(WS),
            "socketio" => words(SOCKETIO),
            "bare" | "obvious" => own(&[name])?,
            "nats" | "nchan" | "mosquitto" => own(&["daemon", name])?,
            line => words(line),
        };
        if command.is_empty() {
            return Err(io::Error::other("a server's command is empty"));
        }
        let (dialect, feed) = protocols(name);
        Ok(Self { name: name.to_owned(), command, dialect, feed })
    }
}

/// What the peers that have protocols of their own speak.
fn protocols(name: &str) -> (Option<Dialect>, Protocol) {
    match name {
        "socketio" => (Some(Dialect::SocketIo), Protocol::Lines),
        "nats" => (Some(Dialect::Nats), Protocol::Nats),
        "nchan" => (Some(Dialect::Nchan), Protocol::Nchan),
        "mosquitto" => (Some(Dialect::Mqtt), Protocol::Mqtt),
        _ => (None, Protocol::Lines),
    }
}

/// This program, as one of its tools.
fn own(arguments: &[&str]) -> io::Result<Vec<String>> {
    let program = std::env::current_exe()?.to_string_lossy().into_owned();
    Ok(std::iter::once(program).chain(arguments.iter().map(|word| (*word).to_owned())).collect())
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
