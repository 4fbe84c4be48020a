//! Swarm and feed against the peers, over real sockets, as separate processes.
//!
//! Asserts what a user of the tools relies on: that all arrives is said when it does, and that one
//! record lost, doubled or moved is noticed; and what a fair comparison relies on: that a peer from npm, installed
//! where it is not, delivers everything in order and closes whoever is too far behind.
//! Must not wait by the clock: each step follows a printed line or an answer.

mod tool;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;
use tool::{Tool, addresses, swarm};

/// A peer and its two addresses. One from npm is installed first; a test of it is never left out.
fn peer(name: &str) -> (Tool, String, String) {
    let peer = match name {
        "bare" | "obvious" => Tool::start(name),
        npm => {
            Tool::start(&format!("install {npm}")).line(&format!("{npm}: installed"));
            match npm {
                "bun" => Tool::start_program("loadtest/peers/node_modules/.bin/bun", "loadtest/peers/bun.js"),
                _ => Tool::start_program("node", &format!("loadtest/peers/{npm}.js")),
            }
        }
    };
    addresses(peer)
}

#[test]
fn everything_arrives_from_each_peer() {
    let peers = ["bare", "obvious", "bun", "ws"].map(|name| (name, "binance"));
    for (name, dialect) in peers.into_iter().chain([("socketio", "socket-io")]) {
        let (_peer, subscribers, ingest) = peer(name);
        let mut swarm = swarm(
            &subscribers,
            &format!(
                "--subscribers 40 --channels-each 3 --of 10 --parse-one-in 4 --seconds 0.5 --seed 7 --dialect {dialect}"
            ),
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

/// What a subscriber says after the upgrade, each with what it waits for.
const BY_BINANCE: [(&str, &str); 1] =
    [(r#"{"method":"SUBSCRIBE","params":["s00000@trade"],"id":1}"#, r#"{"result":null,"id":1}"#)];
const BY_SOCKET_IO: [(&str, &str); 2] = [("40", "40{"), (r#"420["subscribe",["s00000@trade"]]"#, "430[]")];

#[test]
fn a_peer_from_npm_closes_whoever_is_too_far_behind_and_nobody_else() {
    for name in ["bun", "ws", "socketio"] {
        let (path, says) = match name {
            "socketio" => ("/socket.io/?EIO=4&transport=websocket", &BY_SOCKET_IO[..]),
            _ => ("/ws", &BY_BINANCE[..]),
        };
        let (_peer, subscribers, ingest) = peer(name);
        let mut stopped = subscribe(&subscribers, path, says);
        let mut reader = subscribe(&subscribers, path, says);
        let mut feed = BufReader::new(TcpStream::connect(&ingest).expect("the peer takes a feed"));
        for rounds in 1..=ROUNDS {
            publish(&mut feed, rounds);
            let read = read_to_end_or(&mut reader, ROUND_BYTES);
            assert!(read >= ROUND_BYTES, "{name}: one that reads got {read} bytes of round {rounds}");
        }
        let read = read_to_end_or(&mut stopped, ROUNDS * ROUND_BYTES);
        assert!(read < ROUNDS * ROUND_BYTES, "{name}: {read} bytes waited for one that did not read");
    }
}

/// Records of 64 KB. One round may wait for a reader; all of them are more than may wait and what two sockets hold.
const LINES: usize = 100;
const LINE_TEXT: usize = 64_000;
const ROUND_BYTES: usize = LINES * LINE_TEXT;
const ROUNDS: usize = 8;

/// Publishes a round and waits until the peer has taken it.
fn publish(feed: &mut BufReader<TcpStream>, rounds: usize) {
    let line = format!("s00000@trade {{\"x\":\"{}\"}}\n", "7".repeat(LINE_TEXT));
    for _ in 0..LINES {
        feed.get_mut().write_all(line.as_bytes()).expect("the peer reads");
    }
    feed.get_mut().write_all(b"PING\n").expect("the peer reads");
    let mut answer = String::new();
    feed.read_line(&mut answer).expect("the peer answers");
    assert_eq!(answer, format!("+PONG {}\n", rounds * LINES));
}

fn subscribe(to: &str, path: &str, says: &[(&str, &str)]) -> TcpStream {
    let mut socket = TcpStream::connect(to).expect("the peer listens");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a deadline");
    let upgrade = format!(
        "GET {path} HTTP/1.1\r\nHost: {to}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    socket.write_all(upgrade.as_bytes()).expect("the peer reads");
    read_until(&mut socket, "\r\n\r\n");
    for (text, answer) in says {
        // A client's text frame of less than 126 bytes; a mask of zeros changes nothing.
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        socket.write_all(&frame).expect("the peer reads");
        read_until(&mut socket, answer);
    }
    socket
}

/// Reads byte by byte, so that nothing behind `text` is taken.
fn read_until(socket: &mut TcpStream, text: &str) {
    let mut read = Vec::new();
    while !read.ends_with(text.as_bytes()) {
        let mut byte = [0];
        socket.read_exact(&mut byte).unwrap_or_else(|error| panic!("no {text:?} came: {error}"));
        read.push(byte[0]);
    }
}

/// Bytes until the peer closed the connection, or at least `enough` of them.
fn read_to_end_or(socket: &mut TcpStream, enough: usize) -> usize {
    let (mut total, mut buffer) = (0, vec![0; 1 << 20]);
    while total < enough {
        match socket.read(&mut buffer) {
            Ok(0) => break,
            Ok(bytes) => total += bytes,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("neither closed nor sent on after {total} bytes: {error}"),
        }
    }
    total
}
