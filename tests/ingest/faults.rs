//! Limits and faults: feeds that do not read, full tables and rings, channels that expire, addresses already taken.

use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::{Feed, PATIENCE, Stage, options, ping_until};
use socket2::{Domain, Socket, Type};
use tapecast::ingest::{Ingest, Options, RefusalCode, Stats};
use tapecast::record::FIRST;
use tapecast::ring::{Kind, Next};

#[test]
fn a_feed_that_does_not_read_its_answers_is_not_read_either() {
    const LINES: u64 = 300_000;
    let stage = Stage::start();
    let mut deaf = feed_with_little_room(&stage);
    let mut writer = deaf.stream.try_clone().expect("a second handle");
    let writing = std::thread::spawn(move || {
        let lines = "x\n".repeat(LINES as usize);
        std::io::Write::write_all(&mut writer, lines.as_bytes()).expect("a stage that reads again");
    });
    // It has come to a stop when so many pings of another feed see no progress.
    let mut other = stage.feed();
    let (mut refused, mut unchanged) = (0, 0);
    ping_until(&mut other, || {
        let now = stage.refused(RefusalCode::Malformed);
        unchanged = if now == refused && now > 0 { unchanged + 1 } else { 0 };
        refused = now;
        unchanged == 1_000
    });
    assert!(refused < LINES / 2, "{refused} lines were read of a feed that reads nothing");
    for line in 1..=LINES {
        assert_eq!(deaf.error(), format!("{line} malformed"));
    }
    writing.join().expect("every line taken in the end");
    assert_eq!(deaf.ping(), 0);
}

fn feed_with_little_room(stage: &Stage) -> Feed<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a small buffer");
    socket.connect(&stage.address.into()).expect("the TCP listener");
    let stream: TcpStream = socket.into();
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    Feed::new(stream, TcpStream::try_clone)
}

#[test]
fn a_full_table_refuses_new_channels_only() {
    let mut stage = Stage::with(Options { channels_max: 2, ..options() });
    let mut feed = stage.feed();
    feed.send("a@trade 1\nb@trade 1\nc@trade 1\na@trade 2\n");
    assert_eq!(feed.error(), "3 too_many_channels");
    assert_eq!(feed.ping(), 3);
    assert_eq!(stage.payloads().len(), 3);
    assert!(stage.catalogue.find("c@trade").is_none());
}

#[test]
fn a_full_ring_refuses_what_would_push_out_latest_records() {
    let stage = Stage::on_ring(Options { payload_bytes_max: 512, ..options() }, 64 * 1024);
    let mut feed = stage.feed();
    let payload = "x".repeat(500);
    for channel in 0..64 {
        feed.send(format!("c{channel}@trade \"{payload}\"\n"));
    }
    let accepted = feed.ping_after_errors();
    assert_eq!(accepted + stage.refused(RefusalCode::RingFull), 64);
    assert!(accepted > 8 && accepted < 64, "{accepted}");
    assert_eq!(stage.catalogue.len() as u64, accepted, "a channel exists from its first accepted record");
    feed.send("c0@trade 1\n");
    assert_eq!(feed.ping(), accepted + 1, "a channel that has a place goes on");
}

impl Feed<TcpStream> {
    fn ping_after_errors(&mut self) -> u64 {
        self.send("PING\n");
        loop {
            let answer = self.answer();
            if let Some(count) = answer.strip_prefix("+PONG ") {
                return count.parse().expect("a count");
            }
        }
    }
}

#[test]
fn a_silent_channel_expires_and_its_place_is_another_ones() {
    let mut stage =
        Stage::with(Options { expire_after: Duration::from_millis(500), channels_max: 1, ..options() });
    let mut feed = stage.feed();
    feed.send("a@trade 1\n");
    feed.ping();
    assert_eq!(stage.published().len(), 1);
    assert!(stage.catalogue.find("a@trade").is_some(), "not at once");
    ping_until(&mut feed, || stage.catalogue.find("a@trade").is_none());
    let Next::Entry(entry) = stage.reader.next() else { panic!("no entry of the end") };
    assert_eq!((entry.kind, entry.channel, entry.generation, entry.sequence), (Some(Kind::Expired), 0, 0, 1));
    assert!(stage.reader.ring().latest(0).is_none());
    feed.send("b@trade 1\n");
    assert_eq!(feed.ping(), 2);
    let Next::Entry(entry) = stage.reader.next() else { panic!("no record") };
    assert_eq!((entry.kind, entry.channel, entry.generation), (Some(Kind::Data), 0, 1));
    assert_eq!((entry.sequence, entry.flags), (2, FIRST), "a name's sequences never begin anew");
    assert!(stage.stats.expired.load(Ordering::Relaxed) >= 1);
}

#[test]
fn more_connections_than_allowed_are_closed() {
    let stage = Stage::with(Options { connections_max: 2, ..options() });
    let (mut one, mut two) = (stage.feed(), stage.unix_feed());
    assert_eq!((one.ping(), two.ping()), (0, 0));
    let mut three = stage.feed();
    assert_eq!(three.answer(), "");
    assert_eq!(stage.stats.connections_refused.load(Ordering::Relaxed), 1);
    drop(one);
    ping_until(&mut two, || stage.stats.connections.load(Ordering::Relaxed) == 1);
    assert_eq!(stage.feed().ping(), 0);
}

#[test]
fn a_taken_address_is_named() {
    let stage = Stage::start();
    let bind = |options| Ingest::bind(options, Arc::new(Stats::default())).expect_err("taken").to_string();
    let tcp = bind(Options { listen: Some(stage.address), unix: None, ..options() });
    assert!(tcp.contains(&stage.address.to_string()), "{tcp}");
    let unix = bind(Options { listen: None, unix: Some(stage.unix.clone()), ..options() });
    assert!(unix.contains(&*stage.unix.to_string_lossy()), "{unix}");
    assert_eq!(stage.unix_feed().ping(), 0, "and its holder undisturbed");
}

#[test]
fn a_stale_socket_file_is_taken_over() {
    let options = options();
    let path = options.unix.clone().expect("a path");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("a free path"));
    assert!(path.exists(), "left behind");
    assert_eq!(Stage::with(options).unix_feed().ping(), 0);
}
