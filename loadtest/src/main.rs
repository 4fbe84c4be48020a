//! Load tools of Tapecast: one binary, one subcommand a tool.
//!
//! Owns the arguments and the exit code, nothing else. The tools measure a server from outside, over
//! its own protocols, and never share code with it: a fault in common would be seen by neither.
//!
//! `check` follows what subscribers are promised, `figures` measures what it costs.
//!
//! `payload`, `frame`, `mqtt`, `order`, `latency`, `schedule`, `search`, `spread`, `summary` and `verdict` are pure; `machine` is what it runs on; `feed`,
//! `swarm`, `peers`, `daemon`, `server` and `install` touch sockets and processes; `step`, `memory` and `limit` measure with
//! them, `run`, `versus` and others put together.

mod burst;
mod check;
mod clock;
mod curves;
mod daemon;
mod feed;
mod figures;
mod frame;
mod idle;
mod install;
mod latency;
mod limit;
mod machine;
mod memory;
mod mqtt;
mod order;
mod payload;
mod peers;
mod process_tree;
mod results;
mod run;
mod scenario;
mod schedule;
mod search;
mod server;
mod spread;
mod step;
mod subscription;
mod summary;
mod swarm;
mod target;
mod verdict;
mod versus;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "loadtest", about = "Load tools of Tapecast and the peers it is compared with")]
struct Arguments {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Subcommand)]
enum Tool {
    /// Publish stamped records at a rate over the line protocol
    Feed(feed::FeedArguments),
    /// Subscribe many times, count, check order, measure latency
    Swarm(swarm::SwarmArguments),
    /// Hold many silent connections, so that the server's memory can be read
    Idle(idle::IdleArguments),
    /// Run scenarios end to end against one server or several in turn
    Run(run::RunArguments),
    /// Play the recorded feed at several speeds to subscribers of all its channels
    Burst(burst::BurstArguments),
    /// Measure the same scenarios against Tapecast and its peers in turn, and print one table
    Versus(versus::VersusArguments),
    /// Check the ratios that RESULTS.md states against what their commands give now
    CheckResults(results::CheckResultsArguments),
    /// Play a tape to subscribers of every kind and follow every sequence of each
    Check(check::CheckArguments),
    /// Subscribers of a check in a process of their own
    #[command(hide = true)]
    CheckReader(check::ReaderArguments),
    /// Measure what keeping the promises costs
    Figures(figures::FiguresArguments),
    /// Install what peers need from the npm and Debian registries
    Install(install::InstallArguments),
    /// Measure sweeps and draw them
    Curves(curves::CurvesArguments),
    /// Peer: a daemon of a Debian package, configured for speed
    #[command(hide = true)]
    Daemon(daemon::DaemonArguments),
    /// A program that ends with the process that started it
    #[command(hide = true)]
    WithParent(daemon::WithParentArguments),
    /// Peer: a bare epoll loop that sends prepared frames (the roof)
    Bare(peers::PeerArguments),
    /// Peer: a task and a queue a connection over fastwebsockets
    Obvious(peers::PeerArguments),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().tool {
        Tool::Feed(arguments) => feed::main(&arguments),
        Tool::Swarm(arguments) => swarm::main(&arguments),
        Tool::Idle(arguments) => idle::main(&arguments),
        Tool::Run(arguments) => run::main(&arguments),
        Tool::Burst(arguments) => burst::main(&arguments),
        Tool::Versus(arguments) => versus::main(&arguments),
        Tool::CheckResults(arguments) => results::main(&arguments),
        Tool::Check(arguments) => check::main(&arguments),
        Tool::CheckReader(arguments) => check::reader_main(&arguments),
        Tool::Figures(arguments) => figures::main(&arguments),
        Tool::Install(arguments) => install::main(&arguments),
        Tool::Curves(arguments) => curves::main(&arguments),
        Tool::Daemon(arguments) => daemon::main(&arguments),
        Tool::WithParent(arguments) => daemon::with_parent(&arguments),
        Tool::Bare(arguments) => peers::bare::main(&arguments),
        Tool::Obvious(arguments) => peers::obvious::main(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}
