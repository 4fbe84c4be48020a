//! A burst against the bare peer: all of a tape arrives, and a stream that is not the expected one to the byte is no figure.
//!
//! Asserts what a reader of the figures relies on. Must not judge speed: a test's machine has none to promise.

#[expect(dead_code, reason = "others need its swarm")]
mod tool;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;
use tool::{Tool, addresses};

/// A part of a generated tape, with server and tools on one core: any machine has that.
const BURST: &str = "burst --generated --seconds 20 --subscribers 4 --server-core 0 --tools-core 0";
/// Bytes that pass a relay before it does harm: behind the answers, within the records.
const HARMLESS_BYTES: usize = 20_000;

fn loadtest(arguments: &str, server: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(arguments.split_whitespace())
        .args(["--server", server])
        .output()
        .expect("the tool starts");
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The number that stands before `words`.
fn number_before(line: &str, words: &str) -> u64 {
    let at = line.find(words).unwrap_or_else(|| panic!("no {words:?} in {line}"));
    let number = line[..at].rsplit(' ').next().expect("a word");
    number.parse().unwrap_or_else(|_| panic!("no number before {words:?} in {line}"))
}

#[test]
fn all_of_a_tape_arrives_at_each_speed() {
    let said = loadtest(&format!("{BURST} --speeds 20,0"), "bare");
    for title in ["burst 20x bare: ", "burst unpaced bare: "] {
        let line = said.lines().find_map(|line| line.strip_prefix(title)).expect(&said);
        let records = number_before(line, " records to 4 subscribers");
        assert!(records > 5_000, "{line}");
        assert!(line.contains(&format!(" {} of {} deliveries; ", records * 4, records * 4)), "{line}");
        assert!(line.contains(&format!("accepted {records}, refused 0; ")), "{line}");
        assert_eq!(line.contains("worst second at "), title.contains("20x"), "{line}");
    }
    assert!(!said.contains("VOID"), "{said}");
}

#[test]
fn a_stream_of_other_bytes_is_told_and_never_a_figure() {
    let (_peer, subscribers, ingest) = addresses(Tool::start("bare"));
    let relay = relay(subscribers.parse().expect("an address"));
    // What a server prints, from a command without white space in its arguments.
    let server = format!(r"printf listening\040subscribers\040{relay}\nlistening\040ingest\040{ingest}\n");
    let said = loadtest(&format!("{BURST} --speeds 0 --repeat 2"), &server);
    let lines: Vec<&str> = said.lines().collect();
    let void = "VOID: 0 closed, 2 with other bytes than due, the one compared from record ";
    assert!(lines[0].contains(void), "{said}");
    assert!(!lines[1].contains("VOID"), "the second round meets no harm: {said}");
    let median = lines.iter().find(|line| line.contains(" | records/s | median ")).expect("a median");
    let (_, spread) = median.split_once(" (").expect("a spread");
    let (low, high) = spread.split_once(')').expect("its end").0.split_once(" to ").expect("both ends");
    assert_eq!(low, high, "of one round: {median}");
}

#[test]
fn no_recording_is_an_error_that_says_what_to_do() {
    let said = loadtest("burst --recording nowhere.jsonl.gz", "bare");
    assert!(said.contains("FAILED: nowhere.jsonl.gz: "), "{said}");
}

/// Passes connections on to `to`; the first gets one byte changed, the second a ping more, the others what is sent.
fn relay(to: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for (number, client) in listener.incoming().map_while(Result::ok).enumerate() {
            let server = TcpStream::connect(to).expect("the peer listens");
            let (from, mut into) = (client.try_clone().expect("a copy"), server.try_clone().expect("a copy"));
            thread::spawn(move || std::io::copy(&mut { from }, &mut into));
            thread::spawn(move || pass(server, client, number));
        }
    });
    address
}

fn pass(mut server: TcpStream, mut client: TcpStream, number: usize) {
    let (mut chunk, mut passed) = ([0; 4096], 0);
    while let Ok(count @ 1..) = server.read(&mut chunk) {
        let is_due = passed <= HARMLESS_BYTES && HARMLESS_BYTES < passed + count;
        if is_due && number == 0 {
            chunk[count - 1] ^= 1;
        }
        let mut sent = client.write_all(&chunk[..count]);
        if is_due && number == 1 {
            sent = sent.and_then(|()| client.write_all(&[0x89, 0]));
        }
        if sent.is_err() {
            return;
        }
        passed += count;
    }
}
