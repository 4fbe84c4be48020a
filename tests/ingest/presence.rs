//! What is told of channels whose feeds come and go: stale, live, and the holes in what came.
//!
//! What is not told is shown by what is: channels are judged in the order in which they were made, so a later one's
//! `stale` says that an earlier one was looked at and left alone.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::harness::{Stage, options};
use crate::{http, websocket};
use tapecast::ingest::{Options, RefusalCode};
use tapecast::ring::{Kind, Next};

const SOON: Duration = Duration::from_millis(200);

fn stage() -> Stage {
    Stage::with(Options { stale_after: SOON, ..options() })
}

fn counts(stage: &Stage) -> [u64; 3] {
    let stats = &stage.stats;
    [&stats.stale_channels, &stats.told_stale, &stats.told_live].map(|count| count.load(Ordering::Relaxed))
}

#[test]
fn a_channel_is_stale_when_both_its_feeds_are_gone_and_live_when_one_is_back() {
    let mut stage = stage();
    let (mut other, mut a, mut b) = (stage.feed(), stage.feed(), stage.unix_feed());
    a.send("SESSION m\nboth@trade#1 1\nonly-a@trade#1 1\n");
    assert_eq!(a.ping(), 2);
    b.send("SESSION m\nboth@trade#1 1\n");
    assert_eq!(b.ping(), 0, "it has published the channel, though never first");
    drop(a);
    let said = stage.said_until(&mut other, "only-a@trade stale");
    assert_eq!(said, ["both@trade 1", "only-a@trade 1", "only-a@trade stale"]);
    assert!(stage.is_stale("only-a@trade") && !stage.is_stale("both@trade"));
    b.send("both@trade#2 2\nboth@trade#4 4\n");
    assert_eq!(b.ping(), 2);
    drop(b);
    let said = stage.said_until(&mut other, "both@trade stale");
    assert_eq!(said, ["both@trade 2", "both@trade gap 3-3", "both@trade 3", "both@trade stale"]);
    assert_eq!(counts(&stage), [2, 2, 0]);
    let mut again = stage.feed();
    again.send("SESSION m\nonly-a@trade#1 1\nboth@trade#5 5\nboth@trade#6 6\n");
    assert_eq!(again.ping(), 2);
    let said = ["only-a@trade live", "both@trade live", "both@trade 4", "both@trade 5"];
    assert_eq!(stage.said(), said, "a feed that says the same again is back too");
    assert!(!stage.is_stale("only-a@trade") && !stage.is_stale("both@trade"));
    assert_eq!(counts(&stage), [0, 2, 2]);
}

#[test]
fn either_feed_may_die_restart_or_run_late_and_each_hole_is_told_once() {
    let mut stage = Stage::start();
    let (mut a, mut b) = (stage.feed(), stage.feed());
    a.send("SESSION m\nx@trade#10 10\nx@trade#11 11\nx@trade#13 13\n");
    assert_eq!(a.ping(), 3);
    b.send("SESSION m\nx@trade#10 10\nx@trade#11 11\nx@trade#12 12\n");
    assert_eq!(b.ping(), 0, "b runs late: what it has of a's hole was already told");
    drop(a);
    b.send("x@trade#13 13\nx@trade#14 14\nx@trade#17 17\n");
    assert_eq!(b.ping(), 2);
    let mut a = stage.feed();
    a.send("SESSION m\nx@trade#15 15\nx@trade#17 17\nx@trade#18 18\nx@trade#1 1\nx@trade#2 2\n");
    assert_eq!(a.ping(), 1, "numbers below are late, whoever sends them");
    drop(b);
    a.send("x@trade#20 20\n");
    assert_eq!(a.ping(), 2);
    let mut anew = stage.feed();
    anew.send("SESSION n\nx@trade#1 1\nx@trade#2 2\n");
    assert_eq!(anew.ping(), 2, "a new name starts the comparison anew");
    let said = [
        ["x@trade 1", "x@trade 2", "x@trade gap 12-12", "x@trade 3"].as_slice(),
        &["x@trade 4", "x@trade gap 15-16", "x@trade 5"],
        &["x@trade 6", "x@trade gap 19-19", "x@trade 7", "x@trade 8", "x@trade 9"],
    ];
    assert_eq!(stage.said(), said.concat());
    let stats = &stage.stats;
    let counts =
        [&stats.feed_gaps, &stats.late, &stats.duplicates].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts, [4, 4, 4]);
}

#[test]
fn a_posted_channel_is_stale_so_long_after_its_last_record() {
    let mut stage = stage();
    let mut other = stage.feed();
    assert_eq!(post(&stage, "m", &[7, 8]), r#"{"accepted":2}"#);
    let said = stage.said_until(&mut other, "a@trade stale");
    assert_eq!(said, ["a@trade 1", "a@trade 2", "a@trade stale"]);
    assert!(stage.is_stale("a@trade"));
    assert_eq!(post(&stage, "m", &[8, 11]), r#"{"accepted":1}"#, "its session was idle, and is found again");
    let said = stage.said_until(&mut other, "a@trade stale");
    assert_eq!(said, ["a@trade live", "a@trade gap 9-10", "a@trade 3", "a@trade stale"]);
}

/// Posts records of one channel under these sequences, all at once; what it is answered.
fn post(stage: &Stage, session: &str, sequences: &[u64]) -> String {
    let envelope = |sequence| format!(r#"{{"channel":"a@trade","data":1,"seq":{sequence}}}"#);
    let body = format!("[{}]", sequences.iter().map(envelope).collect::<Vec<_>>().join(","));
    let head = format!("POST /publish?session={session} HTTP/1.1");
    http::ask(stage, &head, body.as_bytes()).1
}

#[test]
fn stale_comes_no_sooner_than_it_should() {
    let mut stage = stage();
    let mut other = stage.feed();
    post(&stage, "m", &[1]);
    let mut times = Vec::new();
    crate::harness::ping_until(&mut other, || {
        while let Next::Entry(entry) = stage.reader.next() {
            times.push((entry.kind, entry.monotonic_ns));
        }
        times.len() == 2
    });
    let [(Some(Kind::Data), record_ns), (Some(Kind::Status), stale_ns)] = times[..] else {
        panic!("not expected: {times:?}")
    };
    assert!(u128::from(stale_ns - record_ns) >= SOON.as_nanos(), "{record_ns} {stale_ns}");
}

#[test]
fn a_websocket_is_here_for_as_long_as_it_is_open() {
    let mut stage = stage();
    let mut other = stage.feed();
    let mut socket = websocket::connect(&stage, "/ingest");
    websocket::ask(&mut socket, r#"[{"channel":"ws@trade","data":1},{"channel":"both@trade","data":1}]"#);
    for channel in ["both", "post"] {
        let body = format!(r#"{{"channel":"{channel}@trade","data":1}}"#);
        http::ask(&stage, "POST /publish HTTP/1.1", body.as_bytes());
    }
    let said = stage.said_until(&mut other, "post@trade stale");
    assert_eq!(said, ["ws@trade 1", "both@trade 1", "both@trade 2", "post@trade 1", "post@trade stale"]);
    drop(socket);
    let said = stage.said_until(&mut other, "both@trade stale");
    assert_eq!(said, ["ws@trade stale", "both@trade stale"]);
}

#[test]
fn a_connected_feed_that_says_nothing_is_told_where_that_is_asked_for() {
    let options = Options { silence_after: SOON, stale_after: Duration::ZERO, ..options() };
    let mut stage = Stage::with(options);
    let (mut other, mut feed) = (stage.feed(), stage.feed());
    feed.send("a@trade 1\n");
    assert_eq!(stage.said_until(&mut other, "a@trade stale"), ["a@trade 1", "a@trade stale"]);
    feed.send("a@trade 2\n");
    assert_eq!(feed.ping(), 2);
    let said = stage.said_until(&mut other, "a@trade stale");
    assert_eq!(said, ["a@trade live", "a@trade 2", "a@trade stale"]);
}

#[test]
fn a_channel_whose_record_the_full_ring_refuses_is_stale_until_one_comes_through() {
    let options = Options { payload_bytes_max: 512, stale_after: SOON, ..options() };
    let mut stage = Stage::on_ring(options, 64 * 1024);
    let (mut other, mut feed) = (stage.feed(), stage.feed());
    // So that what is left of the ring's quarter is less than one of these.
    let large = "x".repeat(480);
    feed.send("small@trade#1 1\n");
    (0..60).for_each(|number| feed.send(format!("c{number}@trade \"{large}\"\n")));
    feed.send(format!("small@trade#3 \"{large}\"\nsmall@trade#4 \"{large}\"\n"));
    other.ping();
    let mut said = stage.said_until(&mut other, "small@trade stale");
    said.retain(|line| line.starts_with("small"));
    assert_eq!(said, ["small@trade 1", "small@trade stale"], "told once, and no gap for what did not come");
    let refused = stage.refused(RefusalCode::RingFull);
    feed.send("small@trade#1 1\nsmall@trade#5 5\nPING\n");
    while !feed.answer().starts_with("+PONG") {}
    assert_eq!(stage.said(), ["small@trade live", "small@trade gap 2-4", "small@trade 2"]);
    assert_eq!(stage.refused(RefusalCode::RingFull), refused);
    assert!(refused > 2, "{refused}");
}

#[test]
fn a_stale_channel_that_expires_is_stale_no_more() {
    let options = Options { stale_after: SOON / 4, expire_after: 5 * SOON, ..options() };
    let mut stage = Stage::with(options);
    let mut other = stage.feed();
    post(&stage, "m", &[1]);
    assert_eq!(stage.said_until(&mut other, "a@trade stale"), ["a@trade 1", "a@trade stale"]);
    crate::harness::ping_until(&mut other, || stage.catalogue.is_empty());
    assert_eq!(counts(&stage), [0, 1, 0]);
    let Next::Entry(entry) = stage.reader.next() else { panic!("no entry of the end") };
    assert_eq!(entry.kind, Some(Kind::Expired));
    post(&stage, "m", &[9]);
    let said = stage.said_until(&mut other, "a@trade stale");
    assert_eq!(said, ["a@trade 2", "a@trade stale"], "a new one begins live, and knows of no gap");
}
