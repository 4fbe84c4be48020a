//! Records a second that a server accepts, without subscribers.
//!
//! The driver's thread runs the feed. Must not count what was only written: the server's own word
//! (`+PONG <accepted>`, or what its protocol has), given after all records before it, ends the clock.
//! Invariant: accepted and refused together are what was sent, or the line says so.

use super::{Figure, Outcome, RunArguments, Standing};
use crate::feed::{self, FeedArguments};
use crate::latency::Duration;
use crate::scenario::Name;
use crate::server::Server;
use crate::target::Target;
use crate::verdict::SATURATED;
use std::io;
use std::sync::atomic::AtomicU64;

/// Runs the scenario once.
pub(super) fn run(target: &Target, arguments: &RunArguments) -> io::Result<Outcome> {
    let server = Server::start(&target.command, &arguments.step.cores.server_cores)?;
    let publish = FeedArguments {
        to: server.ingest,
        channels: Name::Ingest.scenario().channels,
        rate: arguments.rate.unwrap_or(0.0),
        bytes: arguments.step.bytes,
        seconds: arguments.step.seconds,
        seed: arguments.step.seed,
        kind: "trade".to_owned(),
        tick_us: 250,
        protocol: target.feed,
    };
    let before = server.usage();
    let report = feed::run(&publish, &AtomicU64::new(0))?;
    let used = server.usage().since(before);
    let accepted = report.accepted.ok_or_else(|| io::Error::other("the server answered no PING"))?;
    let rate = accepted as f64 / report.elapsed_ns as f64 * 1e9;
    let server_cpu_ns = used.cpu_ns as f64;
    let elapsed_ns = report.elapsed_ns as f64;
    let (server_cpu, feed_cpu) = (server_cpu_ns / elapsed_ns, report.cpu_ns as f64 / elapsed_ns);
    let (told, standing) = match accepted + report.refused == report.published {
        true if feed_cpu >= SATURATED && server_cpu < SATURATED => ("; saturated: feed", Standing::AtLeast),
        true => ("", Standing::Held),
        false => (" SOME UNACCOUNTED FOR", Standing::NotHeld),
    };
    let line = format!(
        "{:.3} M records/s of {} bytes accepted; {accepted} of {} sent, refused {}{told}; server {:.0} %, {:.0} ns a \
         record, {:.1} MiB; feed {:.0} %, blocked {}",
        rate / 1e6,
        arguments.step.bytes,
        report.published,
        report.refused,
        server_cpu * 100.0,
        server_cpu_ns / accepted as f64,
        server.resident_bytes() as f64 / 1_048_576.0,
        feed_cpu * 100.0,
        Duration(report.blocked_ns),
    );
    Ok(Outcome { line, standing, figures: vec![Figure { name: "records M/s", value: rate / 1e6 }] })
}
