//! The commands: each takes what was typed to what runs, and back to an exit code.
//!
//! The process's first thread. A command holds no logic of its own: it resolves, starts, prints where things listen,
//! and waits. Invariant: stdout holds what the command is for, stderr everything else.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use tokio::sync::watch;

use super::args::{self, Replay, Serve, Tail};
use super::config::{Config, Problems, Sources};
use super::{Failure, shutdown};
use crate::{feed, server};

/// Runs the server until a signal ends it.
pub(super) fn serve(serve: &Serve) -> Result<(), Failure> {
    let environment = args::environment();
    for stranger in environment.strangers() {
        tracing::warn!("{stranger}");
    }
    let (file, set, flags) = (serve.config.as_deref(), &serve.set, serve.flags());
    let (config, in_force) = Config::load(Sources { file, environment, set, flags })?;
    if serve.print_config {
        return say(in_force.to_string().trim_end()).map_err(running);
    }
    warn_of_open_ingest(&config);
    let shutdown = shutdown::on_signals().map_err(running)?;
    server::run(config, print_listening, shutdown).map_err(running)
}

fn warn_of_open_ingest(config: &Config) {
    let open = config.ingest.listen.filter(|listen| !listen.ip().is_loopback());
    if let (Some(listen), None) = (open, &config.ingest.token) {
        tracing::warn!(%listen, "anybody who reaches this address may publish; set ingest.token");
    }
}

/// `listening <role> <address>`, for people and for tests that listen on port 0.
fn print_listening(role: &str, address: SocketAddr) {
    // Fails when nobody reads stdout any more, which must not end a server.
    let _ = say(&format!("listening {role} {address}"));
}

/// Runs a server that only this machine reaches, with the built-in market as its feed.
pub(super) fn demo() -> Result<(), Failure> {
    let settings = ["subscribers.listen=127.0.0.1:9001", "ring.bytes=67108864", "shutdown.drain=0s"];
    let config = Config::from_settings(&settings)?;
    let shutdown = shutdown::on_signals().map_err(running)?;
    let on_listening = |role: &str, address: SocketAddr| {
        print_listening(role, address);
        match role {
            "subscribers" => print_ways_in(address),
            "ingest" => start_market(address, shutdown.clone()),
            _ => {}
        }
    };
    server::run(config, on_listening, shutdown.clone()).map_err(running)
}

fn print_ways_in(address: SocketAddr) {
    let _ = say(&format!(
        "open ws://{address}/stream?streams=btcusdt@trade/ethusdt@ticker with any WebSocket client"
    ));
    let _ = say(&format!("or run: tapecast tail {address} btcusdt@trade ethusdt@ticker"));
}

/// The market's own thread, so that it is a feed like any other: it knows the server by its socket alone.
fn start_market(ingest: SocketAddr, shutdown: watch::Receiver<bool>) {
    let market = move || match on_runtime(feed::market::run(ingest, shutdown)) {
        Ok(()) => {}
        Err(error) => tracing::error!(%error, "the built-in feed could not start"),
    };
    if let Err(error) = std::thread::Builder::new().name("market".to_owned()).spawn(market) {
        tracing::error!(%error, "the built-in feed could not start");
    }
}

/// Sends a recording to a server.
pub(super) fn replay(replay: Replay) -> Result<(), Failure> {
    let played = on_runtime(feed::replay::run(replay.into())).map_err(running)?;
    played.map(drop).map_err(running)
}

/// Prints what a server sends to a subscriber.
pub(super) fn tail(tail: Tail) -> Result<(), Failure> {
    on_runtime(feed::tail::run(tail.into())).map_err(running)?.map_err(running)
}

/// Says what is wrong with a configuration, or `ok`.
pub(super) fn check(file: &Path) -> Result<(), Failure> {
    let found = Config::from_file(file);
    let text = found.as_ref().map_or_else(Problems::to_string, |_| "ok".to_owned());
    say(&text).map_err(running)?;
    found.map(drop).map_err(|_| Failure::Told)
}

fn on_runtime<F: Future>(future: F) -> io::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}

fn say(line: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()
}

fn running(error: impl Display) -> Failure {
    Failure::Running(error.to_string())
}
