//! The commands: each takes what was typed to what runs, and back to an exit code.
//!
//! The process's first thread. A command holds no logic of its own: it resolves, starts, prints where things listen,
//! and waits. Invariant: stdout holds what the command is for, stderr everything else.

use std::fmt::Display;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use tokio::sync::watch;

use super::args::{self, Demo, Replay, Serve, Simulate, Tail};
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

/// What the demo shows: enough that a watch list looks alive, little enough to be left running.
const DEMO_MARKET: feed::market::Options = feed::market::Options { symbols: 100, rate: 400, seed: 1 };

/// Runs a server with the simulated market as its feed, and prints the one address that matters. Feeds and operators get
/// ports that are free, so that only the subscribers' one can be taken.
pub(super) fn demo(demo: &Demo) -> Result<(), Failure> {
    let listen = format!("subscribers.listen={}", demo.listen);
    let settings = [
        &listen,
        "ingest.listen=127.0.0.1:0",
        "admin.listen=127.0.0.1:0",
        "shards=1",
        "ring.bytes=67108864",
        "shutdown.drain=0s",
    ];
    let config = Config::from_settings(&settings)?;
    let shutdown = shutdown::on_signals().map_err(running)?;
    let on_listening = |role: &str, address: SocketAddr| match role {
        // Fails when nobody reads stdout any more, which must not end a server.
        "subscribers" => drop(say(&format!("open http://{}/", reachable(address)))),
        _ => {
            tracing::info!(role, %address, "listening");
            if role == "ingest" {
                start_market(address, shutdown.clone());
            }
        }
    };
    server::run(config, on_listening, shutdown.clone()).map_err(|error| match error {
        server::Error::Listen(_, cause) if cause.kind() == io::ErrorKind::AddrInUse => taken(demo.listen),
        other => running(other),
    })
}

/// An address that a browser can open: one that stands for all of a machine's is none.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn taken(listen: SocketAddr) -> Failure {
    let other = SocketAddr::new(listen.ip(), listen.port().checked_add(10).unwrap_or(9011));
    running(format!(
        "{listen} is in use, perhaps by another demo or tapecast serve: end that, or choose another address: \
         tapecast demo --listen {other}"
    ))
}

/// The market's own thread, so that it is a feed like any other: it knows the server by its socket alone.
fn start_market(ingest: SocketAddr, shutdown: watch::Receiver<bool>) {
    let options = feed::simulate::Options {
        to: ingest.to_string(),
        token: None,
        market: DEMO_MARKET,
        shows_progress: false,
    };
    let market = move || match on_runtime(feed::simulate::run(options, told(shutdown))) {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::error!(%error, "the built-in feed ended"),
        Err(error) => tracing::error!(%error, "the built-in feed could not start"),
    };
    if let Err(error) = std::thread::Builder::new().name("market".to_owned()).spawn(market) {
        tracing::error!(%error, "the built-in feed could not start");
    }
}

/// Publishes a simulated market until a signal ends it; the summary goes to stdout.
pub(super) fn simulate(simulate: Simulate) -> Result<(), Failure> {
    let shutdown = shutdown::on_signals().map_err(running)?;
    let summary = on_runtime(feed::simulate::run(simulate.into(), told(shutdown))).map_err(running)?;
    // A closed stdout changes nothing about what was published.
    let _ = say(&summary.map_err(running)?.to_string());
    Ok(())
}

/// Sends a recording to a server.
pub(super) fn replay(replay: Replay) -> Result<(), Failure> {
    let shutdown = shutdown::on_signals().map_err(running)?;
    let played = on_runtime(feed::replay::run(replay.into(), told(shutdown))).map_err(running)?;
    played.map(drop).map_err(running)
}

async fn told(mut shutdown: watch::Receiver<bool>) {
    // A sender that is gone can never say more: that is an end too.
    let _ = shutdown.wait_for(|stop| *stop).await;
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
