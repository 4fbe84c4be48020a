//! Going on where a connection was cut: exactly, or with a snapshot and the word that it is one. Over any shard.
//!
//! Invariant of every test: what is acknowledged as recovered follows without a hole, from the record behind the last one.

use crate::client::{Feed, Subscriber};
use crate::harness::Server;
use crate::native::{Record, Stands, publish};

const ROOMY: [&str; 3] =
    ["ring.bytes=16777216", "limits.messages_per_second=0", "ingest.payload_bytes_max=65536"];

/// A native connection and the epoch it was greeted with.
fn connect(server: &Server) -> (Subscriber, String) {
    let mut subscriber = Subscriber::connect(server, "/v1/ws");
    let hello: serde_json::Value = serde_json::from_str(&subscriber.text()).unwrap();
    (subscriber, hello["epoch"].as_str().unwrap().to_owned())
}

fn request(channels: &str, more: &str, epoch: &str, sequences: &str) -> String {
    format!(
        r#"{{"op":"subscribe","id":1,"channels":[{channels}]{more},"resume":{{"epoch":"{epoch}","seq":{{{sequences}}}}}}}"#
    )
}

#[test]
fn what_was_missed_follows_in_order_over_any_shard() {
    let server = Server::start(2, &ROOMY);
    let mut feed = Feed::connect(&server);
    let mut last = publish(&mut feed, "a@trade", 0, 10);
    let mut at = 10;
    // Each connection goes to the least loaded shard; those that stay make the next one go to the other.
    let mut stay = Vec::new();
    for round in 0..6 {
        last = publish(&mut feed, "a@trade", last, 1000);
        let (mut subscriber, epoch) = connect(&server);
        let answer = subscriber.ask(1, &request(r#""a@trade""#, "", &epoch, &format!(r#""a@trade":{at}"#)));
        assert!(answer.before.is_empty(), "nothing comes before the acknowledgement: {:?}", answer.before);
        let expected = format!(r#"{{"channel":"a@trade","seq":{last},"recovered":true}}"#);
        assert!(answer.text.contains(&expected), "{}", answer.text);
        let mut stands = Stands::default();
        stands.stand_at("a@trade", at);
        last = publish(&mut feed, "a@trade", last, 100);
        while stands.hear(&subscriber.text()) < last {}
        at = last - round;
        stay.push(subscriber);
    }
    // They read no more, so something may wait for them as long as they are there.
    drop(stay);
    let metrics = server.wait_until_quiet(last);
    assert_eq!(metrics.shard("recovered_channels"), 6, "{metrics}");
}

#[test]
fn a_subscriber_that_missed_nothing_gets_nothing() {
    let server = Server::start(1, &ROOMY);
    let mut feed = Feed::connect(&server);
    let last = publish(&mut feed, "a@trade", 0, 10);
    let (mut subscriber, epoch) = connect(&server);
    let answer = subscriber.ask(1, &request(r#""a@trade""#, "", &epoch, r#""a@trade":10"#)).text;
    assert!(answer.contains(r#""seq":10,"recovered":true"#), "{answer}");
    publish(&mut feed, "a@trade", last, 1);
    assert_eq!(Record::read(&subscriber.text()).seq, 11);
}

#[test]
fn what_cannot_be_recovered_begins_anew_with_a_snapshot_even_unasked() {
    let settings = [&ROOMY[..], &["resume.records_max=100"]].concat();
    let server = Server::start(1, &settings);
    let mut feed = Feed::connect(&server);
    let last = publish(&mut feed, "a@trade", 0, 1000);
    let (_, epoch) = connect(&server);
    for (epoch, sequence) in [
        ("another", "999"),
        (epoch.as_str(), "899"),
        (epoch.as_str(), "1001"),
        (epoch.as_str(), "0"),
        (epoch.as_str(), "18446744073709551615"),
    ] {
        let (mut subscriber, _) = connect(&server);
        let asked =
            request(r#""a@trade""#, r#","snapshot":false"#, epoch, &format!(r#""a@trade":{sequence}"#));
        let answer = subscriber.ask(1, &asked).text;
        assert!(answer.contains(r#""recovered":false"#), "{epoch} {sequence}: {answer}");
        let text = subscriber.text();
        let record = Record::read(&text);
        assert!(record.snap && record.seq == last, "{text}");
    }
    let (mut subscriber, _) = connect(&server);
    let answer = subscriber.ask(1, &request(r#""a@trade""#, "", &epoch, r#""a@trade":900"#)).text;
    assert!(answer.contains(r#""recovered":true"#), "as many as may be: {answer}");
    let mut stands = Stands::default();
    stands.stand_at("a@trade", 900);
    while stands.hear(&subscriber.text()) < last {}
}

#[test]
fn history_that_left_the_ring_is_not_recovered() {
    let server = Server::start(1, &["ring.bytes=1048576", "ingest.payload_bytes_max=4096"]);
    let mut feed = Feed::connect(&server);
    publish(&mut feed, "a@trade", 0, 10);
    let filler = format!("\"{}\"", "x".repeat(4000));
    for number in 0..1000 {
        feed.publish("noise@trade", &filler);
        if number % 50 == 0 {
            feed.ping();
        }
    }
    let last = publish(&mut feed, "a@trade", 10, 5);
    let (mut subscriber, epoch) = connect(&server);
    let answer = subscriber.ask(1, &request(r#""a@trade""#, "", &epoch, r#""a@trade":8"#)).text;
    assert!(answer.contains(r#""recovered":false"#), "{answer}");
    assert_eq!(Record::read(&subscriber.text()).seq, last);
}

#[test]
fn many_channels_resume_in_one_message_patterns_included() {
    const CHANNELS: u64 = 1000;
    let server = Server::start(1, &ROOMY);
    let mut feed = Feed::connect(&server);
    for number in 0..CHANNELS {
        for sequence in 1..=5 {
            feed.publish(&format!("c{number}@trade"), &sequence.to_string());
        }
    }
    feed.ping();
    let (mut subscriber, epoch) = connect(&server);
    let named: Vec<_> = (0..CHANNELS / 2).map(|number| format!(r#""c{number}@trade""#)).collect();
    let channels = format!(r#"{},"c*@trade""#, named.join(","));
    let sequences: Vec<_> = (0..CHANNELS).map(|number| format!(r#""c{number}@trade":3"#)).collect();
    let answer = subscriber.ask(1, &request(&channels, "", &epoch, &sequences.join(","))).text;
    assert_eq!(answer.matches(r#""recovered":true"#).count() as u64, CHANNELS, "{answer:.300}");
    assert!(answer.contains(&format!(r#"{{"pattern":"c*@trade","count":{CHANNELS}}}"#)), "{answer:.300}");
    let mut stands = Stands::default();
    (0..CHANNELS).for_each(|number| stands.stand_at(&format!("c{number}@trade"), 3));
    for _ in 0..2 * CHANNELS {
        stands.hear(&subscriber.text());
    }
    assert!((0..CHANNELS).all(|number| stands.is_at(&format!("c{number}@trade"), 5)));
    server.wait_until_quiet(5 * CHANNELS);
}

#[test]
fn rubbish_is_answered_and_nobody_else_notices() {
    let server = Server::start(1, &ROOMY);
    let mut feed = Feed::connect(&server);
    publish(&mut feed, "a@trade", 0, 10);
    let mut neighbour = Subscriber::native(&server);
    neighbour.subscribe(1, &["a@trade"]);
    assert_eq!(Record::read(&neighbour.text()).seq, 10);
    let (mut subscriber, epoch) = connect(&server);
    for resume in [
        r#""x""#,
        "[]",
        r#"{"seq":{}}"#,
        r#"{"epoch":1,"seq":{}}"#,
        r#"{"epoch":"e"}"#,
        r#"{"epoch":"e","seq":{"a@trade":-1}}"#,
        r#"{"epoch":"e","seq":{"a@trade":1.5}}"#,
        r#"{"epoch":"e","seq":{"a@trade":"1"}}"#,
        r#"{"epoch":"e","seq":{"a@trade":18446744073709551616}}"#,
    ] {
        let request = format!(r#"{{"op":"subscribe","id":1,"channels":["a@trade"],"resume":{resume}}}"#);
        let answer = subscriber.ask(1, &request).text;
        assert!(answer.contains(r#""code":"invalid_request""#), "{resume}: {answer}");
    }
    // Sequences of channels that were not asked for mean nothing.
    let answer = subscriber.ask(1, &request(r#""a@trade""#, "", &epoch, r#""b@trade":7,"a@trade":9"#)).text;
    assert!(answer.contains(r#""recovered":true"#) && !answer.contains("b@trade"), "{answer}");
    publish(&mut feed, "a@trade", 10, 1);
    assert_eq!(Record::read(&neighbour.text()).seq, 11);
}
