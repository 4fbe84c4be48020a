//! How long a resume takes: from the request to the last of the missed records.
//!
//! One thread, the caller's. Must not measure the connection's opening: who resumes has greeted before it asks. Invariant: a try
//! counts only if every missed record came, in order.

use super::crowd::Crowd;
use crate::check::{Heard, ServerArguments};
use crate::clock;
use crate::latency::{Duration, Latencies};
use clap::Args;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

const CHANNEL: &str = "resumed@trade";
const DONE_WITHIN_NS: u64 = 10_000_000_000;

/// How many, how often.
#[derive(Debug, Clone, Args)]
pub(crate) struct ResumeArguments {
    /// Records missed
    #[arg(long, default_value_t = 1_000)]
    records: u64,
    /// Times it is tried
    #[arg(long, default_value_t = 100)]
    tries: usize,
    /// Bytes of a payload, about
    #[arg(long, default_value_t = 200)]
    bytes: usize,
    /// Records of other channels that lie between two of the missed
    #[arg(long, default_value_t = 0)]
    between: u64,
    #[command(flatten)]
    server: ServerArguments,
}

/// The `figures resume` tool.
pub(super) fn main(arguments: &ResumeArguments) -> io::Result<()> {
    let server = arguments.server.start(&[])?;
    let last = arguments.records + 100;
    publish(arguments, server.ingest, last)?;
    let mut latencies = Latencies::new();
    for _ in 0..arguments.tries {
        latencies.record(resume(arguments, server.subscribers, last)?);
    }
    let summary = latencies.summary();
    println!(
        "resume: {} records of {} bytes, {} others between two: from request to the last, {} tries: median {}, p99 {}, max {}",
        arguments.records,
        arguments.bytes,
        arguments.between,
        summary.count,
        Duration(summary.p50),
        Duration(summary.p99),
        Duration(summary.max)
    );
    Ok(())
}

fn publish(arguments: &ResumeArguments, to: SocketAddr, last: u64) -> io::Result<()> {
    let mut socket = TcpStream::connect(to)?;
    let filling = "x".repeat(arguments.bytes.saturating_sub(20));
    let mut lines = String::new();
    for record in 1..=last {
        for other in 0..arguments.between {
            lines += &format!("other{}@trade {{\"n\":{record}}}\n", other % 100);
        }
        lines += &format!("{CHANNEL} {{\"n\":{record},\"x\":\"{filling}\"}}\n");
        if lines.len() > 1 << 16 {
            socket.write_all(lines.as_bytes())?;
            lines.clear();
        }
    }
    socket.write_all(lines.as_bytes())?;
    socket.write_all(b"PING\n")?;
    let mut answer = String::new();
    BufReader::new(&socket).read_line(&mut answer)?;
    match answer.trim_end() == format!("+PONG {}", last * (arguments.between + 1)) {
        true => Ok(()),
        false => Err(io::Error::other(format!("the server says {answer:?}"))),
    }
}

/// One try; how long it took, ns.
fn resume(arguments: &ResumeArguments, to: SocketAddr, last: u64) -> io::Result<u64> {
    // The greeting of a first connection tells the epoch that the second resumes in; both are of one server.
    let epoch = epoch(to)?;
    let mut crowd = Crowd::gather(to, 1)?;
    let from = last - arguments.records;
    let sequences = serde_json::json!({ CHANNEL: from });
    let request = serde_json::json!({
        "op": "subscribe", "id": 1, "channels": [CHANNEL], "resume": { "epoch": epoch, "seq": sequences },
    });
    let asked_ns = clock::now_ns();
    crowd.send(0, &request.to_string())?;
    let (mut reached, mut done_ns) = (from, 0);
    while reached < last {
        let mut is_torn = clock::now_ns() > asked_ns + DONE_WITHIN_NS;
        crowd.turn(100_000_000, |_, heard| match heard {
            Heard::Record(record) => {
                is_torn |= record.sequence != reached + 1;
                reached = record.sequence;
            }
            Heard::Word(word) => is_torn |= word["op"] == "gap" || word["channels"][0]["recovered"] == false,
            Heard::Wrong(_) => {}
        })?;
        done_ns = clock::now_ns();
        if is_torn {
            return Err(io::Error::other(format!(
                "the resume of {from} to {last} was at {reached}: not whole"
            )));
        }
    }
    Ok(done_ns - asked_ns)
}

fn epoch(to: SocketAddr) -> io::Result<String> {
    let mut connection = crate::check::Connection::open(to, None)?;
    let (mut scratch, mut epoch) = (vec![0; 4096], None);
    let deadline_ns = clock::now_ns() + DONE_WITHIN_NS;
    while epoch.is_none() && clock::now_ns() < deadline_ns {
        connection.read(&mut scratch, |heard| {
            if let Heard::Word(word) = heard {
                epoch = word["epoch"].as_str().map(str::to_owned);
            }
        });
        clock::sleep_until(clock::now_ns() + 100_000)?;
    }
    epoch.ok_or_else(|| io::Error::other("no greeting"))
}
