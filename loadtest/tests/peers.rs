//! Swarm and feed against the peers, over real sockets, as separate processes.
//!
//! Asserts what a user of the tools relies on: that all arrives is said when it does, and that one
//! record lost, doubled or moved is noticed. Must not wait by the clock: each step follows a printed line.

mod tool;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use tool::{Tool, peer, swarm};

#[test]
fn everything_arrives_from_either_peer() {
    for name in ["bare", "obvious"] {
        let (_peer, subscribers, ingest) = peer(name);
        let mut swarm = swarm(
            &subscribers,
            "--subscribers 40 --channels-each 3 --of 10 --parse-one-in 4 --seconds 0.5 --seed 7",
        );
        let mut feed = Tool::start(&format!("feed --to {ingest} --channels 10 --rate 2000 --seconds 0.8"));
        let fed = feed.line("feed: ");
        assert!(fed.contains("asked 1600, accepted 1600, refused 0"), "{name}: {fed}");
        let report = swarm.line("swarm: ");
        assert!(report.contains("missing 0 duplicates 0 swapped 0; closed 0;"), "{name}: {report}");
        assert!(report.contains("100.000 % of all 19200 "), "{name}: {report}");
        assert!(swarm.line("swarm: ").contains("10 connections parsed"));
    }
}

#[test]
fn a_planted_loss_a_duplicate_and_a_swap_are_noticed() {
    let (_peer, subscribers, ingest) = peer("bare");
    let mut swarm = swarm(&subscribers, "--subscribers 8 --bytes 57 --parse-one-in 2 --seconds 0.2");
    let mut feed = TcpStream::connect(&ingest).expect("the peer takes a feed");
    let mut sequences: Vec<u64> = (0..100).filter(|sequence| *sequence != 77).collect();
    sequences.insert(50, 49);
    sequences.swap(20, 21);
    for sequence in sequences {
        feed.write_all(record(sequence).as_bytes()).expect("the peer reads");
    }
    let report = swarm.line("swarm: ");
    // The swap is one record jumped over and one that came late; the loss is one more jumped over.
    assert!(report.contains("missing 8 duplicates 4 swapped 4;"), "{report}");
    assert!(
        report.contains("100.000 % of all 800 "),
        "the loss and the duplicate weigh each other out: {report}"
    );
}

#[test]
fn a_loss_shows_in_the_counted_connections_too() {
    let (_peer, subscribers, ingest) = peer("bare");
    let mut swarm = swarm(&subscribers, "--subscribers 8 --bytes 57 --parse-one-in 8 --seconds 0.2");
    let mut feed = TcpStream::connect(&ingest).expect("the peer takes a feed");
    for sequence in (0..100).filter(|sequence| *sequence != 77) {
        feed.write_all(record(sequence).as_bytes()).expect("the peer reads");
    }
    let report = swarm.line("swarm: ");
    assert!(report.contains("missing 1 duplicates 0 swapped 0;"), "{report}");
    assert!(report.contains("99.000 % of all 800 "), "{report}");
}

/// A record of 57 bytes, written out by hand: the layout is a promise between feed and swarm.
fn record(sequence: u64) -> String {
    format!("s00000@trade {{\"t\":\"00000000000000000001\",\"c\":\"00000\",\"n\":\"{sequence:010}\"}}\n")
}

#[test]
fn a_server_that_refuses_is_an_error_and_not_a_figure() {
    let (peer, _, ingest) = peer("obvious");
    let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["swarm", "--to", &ingest, "--subscribers", "1", "--bytes", "57"])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the swarm starts");
    drop(peer);
    let mut said = String::new();
    child.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
    assert!(!child.wait().expect("it ends").success());
    assert!(said.starts_with("loadtest: "), "{said}");
}
