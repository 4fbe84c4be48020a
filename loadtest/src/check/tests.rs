//! Subscribers against a server that lies: each lie is told, and the truth is not accused.
//!
//! The server is a script over a real socket. Invariant: scripts differ from the honest one in one thing.

use super::expected::{Expected, Spool};
use super::group::{End, Group};
use super::plan::{Role, Wish};
use super::report::Report;
use super::subscriber::Subscriber;
use super::tape::Tape;
use crate::clock;
use crate::frame;
use fastrand::Rng;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

/// What the script may say, made from a tape of three records of one channel.
struct Scene {
    expected: Arc<Expected>,
    name: String,
    payloads: Vec<String>,
    last: u64,
}

impl Scene {
    /// The first channel of a short generated tape, whose kind is `bookTicker`.
    fn new() -> Self {
        let tape = Tape::load(None, 9, 1.0, 0.05).expect("a tape");
        let spool = Spool::write(&tape).expect("a spool");
        let expected = Arc::new(Expected::open(spool.folder()).expect("read back"));
        let of_first = tape.records.iter().filter(|record| record.channel == 0);
        let payloads: Vec<String> =
            of_first.map(|record| String::from_utf8_lossy(tape.payload(record)).into_owned()).collect();
        assert!(payloads.len() > 3, "the tape has {} records of its first channel", payloads.len());
        Self { expected, name: tape.channels[0].clone(), last: payloads.len() as u64, payloads }
    }

    fn ack(&self, sequence: u64) -> String {
        format!(r#"{{"op":"ack","id":1,"channels":[{{"channel":"{}","seq":{sequence}}}]}}"#, self.name)
    }

    fn record(&self, sequence: u64, marks: &str) -> String {
        let payload = &self.payloads[sequence as usize - 1];
        format!(r#"{{"ch":"{}","seq":{sequence},"ts":1{marks},"data":{payload}}}"#, self.name)
    }

    fn gap(&self, from: u64, to: u64) -> String {
        format!(r#"{{"op":"gap","ch":"{}","from":{from},"to":{to},"reason":"slow"}}"#, self.name)
    }

    /// What the checker says of a server that says this.
    fn judge(&self, said: Vec<String>, every_ms: u64) -> Report {
        let to = serve(said);
        let role = if every_ms > 0 { Role::Rated } else { Role::Healthy };
        let wish = Wish { role, channels: vec![0], patterns: Vec::new(), every_ms };
        let subscriber = Subscriber::new(0, wish, Rng::with_seed(1), to, &self.expected);
        let mut group =
            Group::of(vec![subscriber], Arc::clone(&self.expected), (0, 1_000_000_000)).expect("a group");
        group.gather().expect("an acknowledgement");
        group.run(&End::new(clock::now_ns())).expect("a report")
    }
}

/// A server of one connection that says this after the subscription, and then waits for its client to go.
fn serve(said: Vec<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        let mut request = [0; 4096];
        assert!(socket.read(&mut request).expect("a request") > 0);
        socket.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").expect("answered");
        let mut wire = Vec::new();
        frame::append_server(&mut wire, frame::TEXT, br#"{"op":"hello","epoch":"e"}"#);
        socket.write_all(&wire).expect("greeted");
        assert!(socket.read(&mut request).expect("a subscription") > 0);
        wire.clear();
        said.iter().for_each(|text| frame::append_server(&mut wire, frame::TEXT, text.as_bytes()));
        socket.write_all(&wire).expect("said");
        // The client's end, or its reset: it has heard what it wanted.
        let _ = socket.read_to_end(&mut Vec::new());
    });
    address
}

#[test]
fn the_truth_is_not_accused() {
    let scene = Scene::new();
    let last = scene.last;
    let whole: Vec<String> =
        std::iter::once(scene.ack(0)).chain((1..=last).map(|sequence| scene.record(sequence, ""))).collect();
    let skips = vec![
        scene.ack(1),
        scene.record(1, r#","snap":true"#),
        scene.record(last, &format!(r#","skipped":{}"#, last - 2)),
    ];
    let gaps = vec![scene.ack(0), scene.gap(1, last - 1), scene.record(last, "")];
    for said in [whole, skips, gaps] {
        let report = scene.judge(said, 0);
        assert_eq!(report.violations, 0, "{:?}", report.first);
        assert_eq!(report.subscribers, 1);
    }
}

#[test]
fn every_lie_is_told() {
    let scene = Scene::new();
    let last = scene.last;
    let snap = |sequence| scene.record(sequence, r#","snap":true"#);
    let to_last = format!(r#","skipped":{}"#, last - 2);
    let end = scene.record(last, &to_last);
    let stranger = end.replace("s0usdt", "s1usdt");
    let late = vec![scene.ack(1), snap(1), end.clone()];
    let with = |at: usize, text: String| {
        let mut said = late.clone();
        said.insert(at, text);
        said
    };
    let wrong_value =
        scene.record(last, &to_last).replace(&scene.payloads[last as usize - 1], &scene.payloads[0]);
    let lies = [
        ("hole", vec![scene.ack(1), snap(1), scene.record(last, "")]),
        ("duplicate", with(3, end.clone())),
        ("second snapshot", with(2, snap(2))),
        ("no snapshot", vec![scene.ack(1), end.clone()]),
        ("value", vec![scene.ack(1), snap(1), wrong_value]),
        ("gap behind its end", with(2, scene.gap(3, 3))),
        ("channel of others", with(2, stranger)),
        ("before the acknowledgement", vec![snap(1), scene.ack(1), end.clone()]),
        ("recovered unasked", vec![scene.ack(1).replace("}]", r#","recovered":true}]"#), snap(1), end]),
        (
            "merged falsely",
            vec![scene.ack(1), snap(1), scene.record(last, &format!(r#"{to_last},"merged":true"#))],
        ),
        ("refused", with(2, r#"{"op":"error","code":"x"}"#.to_owned())),
        ("rubbish", with(2, "{".to_owned())),
    ];
    for (lie, said) in lies {
        assert!(scene.judge(said, 0).violations > 0, "{lie}");
    }
    let rushed = vec![
        scene.ack(0),
        scene.record(1, ""),
        scene.record(2, ""),
        scene.record(last, &format!(r#","skipped":{}"#, last - 3)),
    ];
    // Read in one go they might have come apart; that they came at all behind the acknowledgement bounds how far.
    assert!(scene.judge(rushed, 60_000).violations > 0, "rate");
}
