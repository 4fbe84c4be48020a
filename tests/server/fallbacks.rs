//! The same records, sequences and promises without WebSocket: event streams and polls of the whole server.
//!
//! The feeds of these tests publish, as a record's payload, the sequence that it will have in its channel.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::Signal;
use serde_json::Value;

use crate::client::{Feed, Subscriber};
use crate::events::{Event, Events, get};
use crate::harness::{PATIENCE, Server, now};
use crate::native::filled;
use crate::scene::SMALL;

/// Publishes up to this sequence.
fn publish(feed: &mut Feed, channel: &str, sequences: std::ops::RangeInclusive<u64>) {
    sequences.for_each(|sequence| feed.publish(channel, &sequence.to_string()));
    feed.ping();
}

/// A record of a default event: its channel, sequence, and whether it is a snapshot.
fn record(event: &Event) -> (String, u64, bool) {
    let record = event.json();
    assert_eq!(record["data"], record["seq"], "the payload of another record: {record}");
    (record["ch"].as_str().unwrap().to_owned(), record["seq"].as_u64().unwrap(), record["snap"] == true)
}

#[test]
fn a_stream_begins_with_snapshots_and_every_record_follows() {
    let server = Server::start(2, &SMALL);
    let mut feed = Feed::connect(&server);
    publish(&mut feed, "a@trade", 1..=3);
    let mut events = Events::connect(&server, "channels=a@trade,new@trade", None);
    assert_eq!(record(&events.message()), ("a@trade".into(), 3, true));
    publish(&mut feed, "a@trade", 4..=500);
    publish(&mut feed, "new@trade", 1..=500);
    let mut ordinal = 0;
    for (channel, sequence) in (4..=500).map(|n| ("a@trade", n)).chain((1..=500).map(|n| ("new@trade", n))) {
        let event = events.message();
        assert_eq!(record(&event), (channel.into(), sequence, false));
        if let Some(id) = event.ordinal() {
            assert!(id > ordinal, "ids rise: {event:?}");
            ordinal = id;
        }
    }
    assert_eq!(ordinal, 1000, "the last one, below which nothing waits, says where to go on");
    let metrics = server.wait_until_quiet(1000);
    assert_eq!((metrics.get("tapecast_front_streams"), metrics.shard("subscribers")), (1, 1));
}

#[test]
fn a_payload_of_several_lines_is_one_event() {
    let server = Server::start(1, &SMALL);
    let mut events = Events::connect(&server, "channels=a@trade", None);
    let payload = "{\r\n \"a\": [1,\n2],\r \"b\": \"x\\ny\"\n}";
    let body = format!(r#"{{"channel":"a@trade","data":{payload}}}"#);
    let mut post = TcpStream::connect(server.address("ingest")).unwrap();
    write!(post, "POST /publish HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    let sent: Value = serde_json::from_str(payload).unwrap();
    assert_eq!(events.message().json()["data"], sent);
    // The same once more, off the fast path: as a snapshot.
    let mut later = Events::connect(&server, "channels=a@trade", None);
    assert_eq!(later.message().json()["data"], sent);
}

#[test]
fn a_silent_stream_has_a_heartbeat_and_owes_no_pong() {
    let settings = ["heartbeat.ping_every=100ms", "heartbeat.pong_timeout=300ms"];
    let server = Server::start(1, &[&SMALL[..], &settings].concat());
    let mut feed = Feed::connect(&server);
    let mut events = Events::connect(&server, "channels=a@trade", None);
    // Long after a WebSocket without a pong would have been cut.
    let begun = now();
    while now() - begun < std::time::Duration::from_secs(1) {
        std::thread::yield_now();
    }
    publish(&mut feed, "a@trade", 1..=1);
    assert_eq!(record(&events.message()), ("a@trade".into(), 1, false));
    assert!(events.comments >= 3, "{} heartbeats", events.comments);
    drop(events);
    server.wait_until("the client's end to be found", |metrics| metrics.shard("subscribers") == 0);
    server.wait_until("its connection to end", |metrics| metrics.get("tapecast_front_connections") == 0);
    assert_eq!(server.metrics().closed("client_vanished"), 1);
}

#[test]
fn what_only_a_shard_can_refuse_ends_the_stream() {
    let settings = ["limits.channels=2", "limits.pattern_channels=2"];
    let server = Server::start(1, &[&SMALL[..], &settings].concat());
    let (status, answer) = get(&server, "/v1/sse?channels=a@b,c@d,e@f");
    assert_eq!((status, answer["code"].as_str()), (400, Some("too_many_channels")));
    let mut feed = Feed::connect(&server);
    ["a@trade", "b@trade", "c@trade"].into_iter().for_each(|channel| publish(&mut feed, channel, 1..=1));
    let mut events = Events::connect(&server, "channels=*@trade", None);
    let error = events.next().unwrap();
    assert_eq!((error.name.as_str(), error.json()["code"].as_str()), ("error", Some("too_many_channels")));
    let close = events.next().unwrap();
    assert_eq!((close.name.as_str(), close.json()["code"].as_u64()), ("close", Some(1008)));
    assert_eq!(events.next(), None);
}

#[test]
fn a_client_that_never_reads_costs_a_bounded_amount_and_nobody_notices() {
    const BOUND: u64 = 256 * 1024;
    let server = Server::start(1, &["ring.bytes=134217728", &format!("outbox.bytes_max={BOUND}")]);
    let mut feed = Feed::connect(&server);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&server.address("subscribers").into()).unwrap();
    let mut stuck = Events::over(socket.into(), "channels=a@trade", None);
    let mut healthy = Subscriber::native(&server);
    healthy.subscribe(1, &["a@trade"]);
    let before = server.resident_bytes();
    let mut sequence = 0;
    // Twenty megabytes: more than every buffer on the way.
    while sequence < 20_000 {
        for _ in 0..200 {
            sequence += 1;
            feed.publish("a@trade", &filled(sequence, 1000));
        }
        feed.ping();
        for expected in sequence - 199..=sequence {
            let text = healthy.text();
            assert!(text.starts_with(&format!(r#"{{"ch":"a@trade","seq":{expected},"#)), "{text:.100}");
        }
        assert!(server.metrics().shard("queued_bytes") <= BOUND);
    }
    // What waits is the outbox, the pipe, a chunk, hyper's and the kernel's buffers; the ring was touched at start.
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes");
    explained(&mut stuck, sequence);
}

/// Reads a stream that was stuck: each step is explained, up to the last record or the reason of the end.
fn explained(stuck: &mut Events, last: u64) {
    let mut at = 0;
    while at < last {
        let event = stuck.next().expect("no end without a reason");
        let told = event.json();
        if event.name == "close" {
            assert_eq!(told["code"], 1008, "{told}");
            assert_eq!(stuck.next(), None);
            assert!(stuck.ended, "the answer is whole");
            return;
        }
        let (first, end) = match told["op"].as_str() {
            Some("gap") => (told["from"].as_u64().unwrap(), told["to"].as_u64().unwrap()),
            _ => (told["seq"].as_u64().unwrap(), told["seq"].as_u64().unwrap()),
        };
        assert_eq!(first, at + 1, "{:.200}", event.data);
        at = end;
    }
}

#[test]
fn a_stream_is_resumed_without_a_hole() {
    let server = Server::start(2, &SMALL);
    let mut feed = Feed::connect(&server);
    let query = "channels=a@trade,b@bookTicker";
    let mut at: HashMap<String, u64> = HashMap::from([("a@trade".into(), 0), ("b@bookTicker".into(), 0)]);
    let mut events = Events::connect(&server, query, None);
    let mut published = 0;
    for round in 0..5 {
        for sequence in published + 1..=published + 50 {
            feed.publish("a@trade", &sequence.to_string());
            feed.publish("b@bookTicker", &sequence.to_string());
        }
        published += 50;
        feed.ping();
        // It goes before it has read all, and comes back with the last id that it saw.
        let mut id = None;
        while id.is_none() || at.values().any(|at| *at + 20 < published) {
            let event = events.message();
            let (channel, sequence, snap) = record(&event);
            let skipped = event.json()["skipped"].as_u64().unwrap_or(0);
            let before = at.insert(channel, sequence).unwrap();
            assert!(!snap && sequence == before + 1 + skipped, "round {round}, behind {before}: {event:?}");
            id = event.id.or(id);
        }
        let ordinal: u64 = id.as_ref().unwrap().rsplit_once(':').unwrap().1.parse().unwrap();
        // What it has behind that id comes again.
        at.insert("a@trade".into(), ordinal.div_ceil(2));
        at.insert("b@bookTicker".into(), ordinal / 2);
        events = Events::connect(&server, query, id.as_deref());
    }
}

#[test]
fn another_epoch_or_a_rubbish_id_begins_with_a_snapshot() {
    let server = Server::start(1, &SMALL);
    let mut feed = Feed::connect(&server);
    publish(&mut feed, "a@trade", 1..=7);
    for id in ["rubbish", "other:3", "e:-1", "::", "99999999999999999999"] {
        let mut events = Events::connect(&server, "channels=a@trade", Some(id));
        assert_eq!(record(&events.message()), ("a@trade".into(), 7, true), "{id}");
    }
}

#[test]
fn a_chosen_rate_and_patterns_hold_for_streams() {
    let server = Server::start(1, &SMALL);
    let mut feed = Feed::connect(&server);
    publish(&mut feed, "a@bookTicker", 1..=1);
    let mut events = Events::connect(&server, "channels=*@bookTicker&every_ms=1000", None);
    assert_eq!(record(&events.message()), ("a@bookTicker".into(), 1, true));
    publish(&mut feed, "a@bookTicker", 2..=200);
    publish(&mut feed, "late@bookTicker", 1..=200);
    let mut at = HashMap::from([("a@bookTicker".to_owned(), 1), ("late@bookTicker".to_owned(), 0)]);
    let mut heard = 0;
    while at.values().any(|at| *at < 200) {
        let event = events.message();
        let (channel, sequence, _) = record(&event);
        let skipped = event.json()["skipped"].as_u64().unwrap_or(0);
        let before = at.insert(channel, sequence).unwrap();
        assert_eq!(sequence, before + 1 + skipped, "{event:?}");
        heard += 1;
    }
    assert!(heard <= 12, "{heard} records of 400");
}

#[test]
fn the_shutdown_ends_streams_with_a_reason() {
    let mut server = Server::start(2, &[&SMALL[..], &["shutdown.drain=0s"]].concat());
    let mut feed = Feed::connect(&server);
    let mut streams: Vec<_> = (0..5).map(|_| Events::connect(&server, "channels=a@trade", None)).collect();
    server.wait_until("all to subscribe", |metrics| metrics.shard("subscriptions") == 5);
    publish(&mut feed, "a@trade", 1..=300);
    let waiting = TcpStream::connect(server.address("subscribers")).unwrap();
    waiting.set_read_timeout(Some(PATIENCE)).unwrap();
    let (_, begun) = get(&server, "/v1/poll?channels=a@trade");
    let cursor = begun["cursor"].as_str().unwrap();
    write!(
        &waiting,
        "GET /v1/poll?channels=a@trade&cursor={cursor}&wait_ms=60000 HTTP/1.1\r\nHost: t\r\n\r\n"
    )
    .unwrap();
    server.wait_until("the poll to wait", |metrics| metrics.get("tapecast_front_polls") == 1);
    server.signal(Signal::TERM);
    for events in &mut streams {
        for sequence in 1..=300 {
            assert_eq!(record(&events.message()).1, sequence);
        }
        let close = events.next().unwrap();
        assert_eq!((close.name.as_str(), close.json()["code"].as_u64()), ("close", Some(1001)));
        assert_eq!(events.next(), None);
        assert!(events.ended, "the answer is whole");
    }
    let mut answer = String::new();
    (&waiting).read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(&format!(r#"{{"cursor":"{cursor}","records":[]}}"#)), "{answer}");
    assert_eq!(server.wait_for_end().code(), Some(0));
}

/// Tells a feed to end when it goes.
struct Stopping<'a>(&'a AtomicBool);

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn polls_see_each_record_once_while_the_feed_runs() {
    let server = Server::start(1, &["ring.bytes=134217728", "resume.records_max=1000000"]);
    let (stop, heard) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let feed = scope.spawn(|| {
            let mut feed = Feed::connect(&server);
            let mut last = 0;
            while !stop.load(Ordering::Relaxed) {
                // No further ahead than the ring's history reaches: else a poll tells, rightly, what it lost.
                if last > heard.load(Ordering::Relaxed) + 20_000 {
                    std::thread::yield_now();
                    continue;
                }
                last += 1;
                (0..20).for_each(|channel| feed.publish(&format!("c{channel}@trade"), &last.to_string()));
                if last % 4 == 0 {
                    feed.ping();
                }
            }
            feed.ping();
            last
        });
        // Also where an assertion fails: else the scope would wait for the feed for ever.
        let stopping = Stopping(&stop);
        let target = "/v1/poll?channels=c0@trade,c1@trade,c2@trade,*7@trade,c19@trade";
        let (mut cursor, mut at) = (String::new(), HashMap::<String, u64>::new());
        let mut polls = 0;
        let mut poll = |at: &mut HashMap<String, u64>, wait_ms: u32| {
            let (status, answer) = get(&server, &format!("{target}&wait_ms={wait_ms}&cursor={cursor}"));
            assert_eq!(status, 200, "{answer}");
            cursor = answer["cursor"].as_str().unwrap().to_owned();
            let records = answer["records"].as_array().unwrap();
            for record in records {
                let (channel, sequence) =
                    (record["ch"].as_str().unwrap(), record["seq"].as_u64().expect("a record"));
                let before = at.insert(channel.to_owned(), sequence);
                let follows = before.map_or(record["snap"] == true || sequence == 1, |at| sequence == at + 1);
                assert!(follows, "behind {before:?}: {record}");
            }
            records.len()
        };
        while polls < 200 || at.len() < 6 {
            poll(&mut at, 20_000);
            heard.store(at.values().copied().min().unwrap_or(0), Ordering::Relaxed);
            polls += 1;
        }
        drop(stopping);
        let last = feed.join().unwrap();
        while poll(&mut at, 0) > 0 {}
        assert_eq!((at.len(), at.values().all(|at| *at == last)), (6, true), "{last}: {at:?}");
        println!("{polls} polls, {last} records a channel");
    });
}
