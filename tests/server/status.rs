//! What a subscriber is told of the feeds behind its channels: gone, back, and what they skipped by their own count.

use crate::client::{Feed, Subscriber};
use crate::harness::Server;
use crate::native::{Gap, Record};

const STALE: &str = "feed.stale_after=200ms";

fn status(channel: &str, state: &str) -> String {
    format!(r#"{{"op":"status","ch":"{channel}","state":"{state}"}}"#)
}

#[test]
fn a_feed_that_is_gone_makes_its_channels_stale_until_it_returns() {
    let server = Server::start(2, &[STALE]);
    let mut first = Feed::connect(&server);
    first.publish("a@ticker", "1");
    first.publish("b@trade", "1");
    first.ping();
    let mut subscribers: Vec<_> = (0..4)
        .map(|_| {
            let mut subscriber = Subscriber::native(&server);
            subscriber.subscribe(1, &["a@ticker"]);
            assert_eq!(Record::read(&subscriber.text()).seq, 1);
            subscriber
        })
        .collect();
    let mut binance = Subscriber::connect(&server, "/ws/a@ticker");
    server.wait_until("the subscriptions", |metrics| metrics.shard("subscriptions") == 5);
    drop(first);
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.text(), status("a@ticker", "stale"));
    }
    // Who comes now is told, too, behind its acknowledgement.
    let mut late = Subscriber::native(&server);
    let answer = late.subscribe(1, &["a@ticker"]);
    assert!(answer.before.is_empty(), "{:?}", answer.before);
    let mut said = [late.text(), late.text()];
    said.sort();
    assert_eq!(Record::read(&said[0]).seq, 1);
    assert_eq!(said[1], status("a@ticker", "stale"));
    let mut second = Feed::connect(&server);
    second.publish("a@ticker", "2");
    second.ping();
    subscribers.push(late);
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.text(), status("a@ticker", "live"));
        assert_eq!(Record::read(&subscriber.text()).seq, 2);
    }
    assert_eq!(binance.text(), "2", "a dialect without a word for it hears records alone");
    server.wait_until_quiet(3);
}

#[test]
fn a_channel_of_two_feeds_is_stale_only_when_both_are_gone() {
    let server = Server::start(1, &[STALE]);
    let (mut a, mut b) = (Feed::connect(&server), Feed::connect(&server));
    for feed in [&mut a, &mut b] {
        feed.write(b"SESSION s\n");
    }
    a.publish("a@ticker#1", "1");
    a.ping();
    b.publish("a@ticker#1", "1");
    b.publish("a@ticker#2", "2");
    b.ping();
    a.publish("a@ticker#2", "2");
    a.publish("x@ticker#1", "1");
    a.ping();
    let mut subscriber = Subscriber::native(&server);
    subscriber.subscribe(1, &["a@ticker", "x@ticker"]);
    drop((subscriber.text(), subscriber.text()));
    drop(a);
    assert_eq!(subscriber.text(), status("x@ticker", "stale"), "its only feed is gone");
    b.publish("a@ticker#3", "3");
    b.ping();
    assert_eq!(Record::read(&subscriber.text()).seq, 3, "the other one carries on");
    drop(b);
    assert_eq!(subscriber.text(), status("a@ticker", "stale"));
}

#[test]
fn what_both_feeds_lost_is_told_by_their_own_numbers() {
    let server = Server::start(1, &[]);
    let mut subscriber = Subscriber::native(&server);
    subscriber.subscribe(1, &["a@trade"]);
    let (mut a, mut b) = (Feed::connect(&server), Feed::connect(&server));
    for feed in [&mut a, &mut b] {
        feed.write(b"SESSION s\n");
    }
    a.publish("a@trade#100", "1");
    a.publish("a@trade#101", "2");
    a.ping();
    b.publish("a@trade#101", "2");
    b.publish("a@trade#105", "3");
    b.ping();
    a.publish("a@trade#104", "9");
    a.publish("a@trade#106", "4");
    a.ping();
    for sequence in [1, 2] {
        assert_eq!(Record::read(&subscriber.text()).seq, sequence);
    }
    let text = subscriber.text();
    let gap = Gap { ch: "a@trade", from: 102, to: 104, reason: "feed" };
    assert_eq!(Gap::read(&text), Some(gap));
    for sequence in [3, 4] {
        assert_eq!(Record::read(&subscriber.text()).seq, sequence);
    }
    let metrics = server.wait_until_quiet(4);
    assert_eq!(metrics.get("tapecast_ingest_late_records_total"), 1, "{metrics}");
    assert_eq!(metrics.get("tapecast_ingest_feed_gap_records_total"), 3, "{metrics}");
}
