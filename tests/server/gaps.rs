//! Promise 3 for subscribers: who loses records is told exactly which, and is not cut off for it.
//!
//! The slow ones have small receive buffers; whether they are stopped, and what they lost, is read from the metrics and compared with
//! what they were told.

use crate::client::{CLOSE, Feed, Subscriber};
use crate::harness::Server;
use crate::native::{Gap, Stands};
use crate::slow::{RING, publish, stopped};

/// Reads until the channel has come to this sequence, gaps taken; how many gaps were told.
fn read_to(subscriber: &mut Subscriber, stands: &mut Stands, channel: &str, last: u64) -> u64 {
    let mut gaps = 0;
    while !stands.is_at(channel, last) {
        let text = subscriber.text();
        if stands.hear_gap(&text) {
            assert_eq!(Gap::read(&text).unwrap().reason, "slow");
            gaps += 1;
        } else {
            stands.hear(&text);
        }
    }
    gaps
}

#[test]
fn past_the_bound_the_oldest_are_dropped_and_told_as_one_gap() {
    let server = Server::start(1, &[RING, "outbox.bytes_max=1048576"]);
    let (mut subscriber, mut stands) = stopped(&server, &["a@trade"]);
    let (mut feed, mut last) = (Feed::connect(&server), 0);
    for _ in 0..3 {
        last = publish(&mut feed, "a@trade", last, 8000);
        let metrics = server.wait_until_seen(last);
        assert!(metrics.shard("dropped_records") > stands.lost, "nothing was dropped: {metrics}");
        assert!(metrics.shard("queued_bytes") <= 1 << 20, "{metrics}");
        assert_eq!(read_to(&mut subscriber, &mut stands, "a@trade", last), 1);
        let metrics = server.wait_until_quiet(last);
        assert_eq!(metrics.shard("dropped_records"), stands.lost, "what was told is what was counted");
        assert_eq!(metrics.shard("delivered_records"), stands.heard, "{metrics}");
        assert_eq!(metrics.shard("slow_subscribers"), 0, "it is on the fast path again: {metrics}");
    }
    assert_eq!(server.metrics().shard("gaps"), 3);
}

/// The channel's last records are among those dropped, and nothing newer of it comes: the gap is told all the same.
#[test]
fn a_gap_is_told_though_nothing_follows_it() {
    let server = Server::start(1, &[RING, "outbox.bytes_max=1048576"]);
    let (mut subscriber, mut stands) = stopped(&server, &["a@trade", "b@trade"]);
    let mut feed = Feed::connect(&server);
    let a = publish(&mut feed, "a@trade", 0, 3000);
    let b = publish(&mut feed, "b@trade", 0, 3000);
    server.wait_until_seen(a + b);
    read_to(&mut subscriber, &mut stands, "b@trade", b);
    assert!(stands.is_at("a@trade", a), "the end of the quiet channel was not told");
    assert!(stands.lost > 0);
    server.wait_until_quiet(a + b);
}

/// What waits is a position in the ring, and the ring goes on.
#[test]
fn what_was_overwritten_while_it_waited_is_told() {
    let ring = ["ring.bytes=4194304", "ingest.payload_bytes_max=4096", "outbox.bytes_max=134217728"];
    let server = Server::start(1, &ring);
    let (mut subscriber, mut stands) = stopped(&server, &["a@trade"]);
    let (mut feed, mut last) = (Feed::connect(&server), 0);
    while last < 9000 {
        last = publish(&mut feed, "a@trade", last, 100);
        server.wait_until_seen(last);
    }
    assert!(read_to(&mut subscriber, &mut stands, "a@trade", last) >= 1);
    assert!(stands.lost > 1000, "{} were overwritten", stands.lost);
    let metrics = server.wait_until_quiet(last);
    assert_eq!(
        (metrics.shard("dropped_records"), metrics.shard("delivered_records")),
        (stands.lost, stands.heard),
        "{metrics}"
    );
}

/// Binance's clients have no word for a gap: they are closed, unless the operator says otherwise.
#[test]
fn who_has_no_word_for_a_gap_is_closed_or_skips_as_configured() {
    for (on_gap, closes) in [("dialect.on_gap=close", true), ("dialect.on_gap=skip", false)] {
        let server = Server::start(1, &[RING, "outbox.bytes_max=1048576", on_gap]);
        let mut subscriber = Subscriber::connect_with_room(&server, "/ws/a@trade", 4096);
        server.wait_until("the subscription", |metrics| metrics.shard("subscriptions") == 1);
        let mut feed = Feed::connect(&server);
        let last = publish(&mut feed, "a@trade", 0, 8000);
        let metrics = server.wait_until_seen(last);
        let (mut heard, mut skipped, mut at) = (0, 0, 0);
        let code = loop {
            let frame = subscriber.next().expect("records or a close frame");
            if frame.opcode == CLOSE {
                break Some(frame.close().0);
            }
            let number: u64 = frame.text()[1..].split(',').next().unwrap().parse().unwrap();
            assert!(number > at, "{number} behind {at}");
            (heard, skipped, at) = (heard + 1, skipped + number - at - 1, number);
            if at == last {
                break None;
            }
        };
        assert_eq!(code, closes.then_some(1008));
        assert_eq!(skipped > 0, !closes, "{metrics}");
        if !closes {
            let metrics = server.wait_until_quiet(last);
            assert_eq!(
                (metrics.shard("dropped_records"), metrics.shard("delivered_records")),
                (skipped, heard)
            );
        }
    }
}
