//! The servers that are known by name, as command lines.
//!
//! Pure but for the name of our own program. Must not start anything.
//! Invariant: a command begins with a program, so it can be started.

use crate::subscription::Dialect;
use std::io;

/// A server and how it is started. Paths are relative to the repository's root.
#[derive(Clone)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) command: Vec<String>,
    /// What its subscribers speak, where it speaks nothing else.
    pub(crate) dialect: Option<Dialect>,
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
            "bare" | "obvious" => {
                let own = std::env::current_exe()?;
                vec![own.to_string_lossy().into_owned(), name.to_owned()]
            }
            line => words(line),
        };
        if command.is_empty() {
            return Err(io::Error::other("a server's command is empty"));
        }
        let dialect = (name == "socketio").then_some(Dialect::SocketIo);
        Ok(Self { name: name.to_owned(), command, dialect })
    }
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}
