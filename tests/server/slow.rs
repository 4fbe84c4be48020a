//! Promises 1, 2, 4 and 6: who does not read holds up neither the feed nor other subscribers, costs a bounded amount of
//! memory, and gets what is right once it reads again.
//!
//! The slow ones have small receive buffers, so that little is enough to stop them; whether they are stopped is read from the metrics.

use std::time::Duration;

use crate::client::{CLOSE, Feed, Frame, Subscriber};
use crate::crowd::{Crowd, Listener};
use crate::harness::{Server, now};
use crate::native::{Stands, filled, publish_as};

pub(crate) const RING: &str = "ring.bytes=134217728";
const PAYLOAD_BYTES: usize = 1000;

/// Publishes `records` more on one channel, whose last sequence was `last`; the sequence it has then.
pub(crate) fn publish(feed: &mut Feed, channel: &str, last: u64, records: u64) -> u64 {
    publish_as(feed, channel, last, records, |sequence| filled(sequence, PAYLOAD_BYTES))
}

/// A native subscriber to these channels that reads nothing but the acknowledgement, and that from here on.
pub(crate) fn stopped(server: &Server, channels: &[&str]) -> (Subscriber, Stands) {
    let (mut subscriber, mut stands) =
        (Subscriber::connect_with_room(server, "/v1/ws", 4096), Stands::default());
    subscriber.text();
    stands.join(&subscriber.subscribe(1, channels).text);
    (subscriber, stands)
}

/// Reads records until the close frame, answers it, and sees the connection end between two frames.
fn read_until_closed(subscriber: &mut Subscriber, stands: &mut Stands) -> Frame {
    loop {
        let frame = subscriber.next().expect("a close frame");
        if frame.opcode == CLOSE {
            subscriber.send(CLOSE, &frame.payload);
            assert_eq!(subscriber.next(), None);
            return frame;
        }
        stands.hear(frame.text());
    }
}

/// Expects a channel's records from the first, as they are.
struct All {
    records: u64,
    heard: u64,
}

impl Listener for All {
    fn hear(&mut self, message: &[u8]) {
        self.heard += 1;
        assert!(
            message == filled(self.heard, PAYLOAD_BYTES).as_bytes(),
            "{} is not {}",
            message.len(),
            self.heard
        );
    }

    fn is_done(&self) -> bool {
        self.heard == self.records
    }

    fn state(&self) -> String {
        format!("{} of {} records", self.heard, self.records)
    }
}

/// Subscribers that read, and expect so many records.
fn healthy(server: &Server, channel: &str, count: usize, records: u64) -> Crowd<All> {
    let listeners = (0..count).map(|_| (format!("/ws/{channel}"), All { records, heard: 0 }));
    Crowd::gather(server, listeners.collect(), Duration::from_secs(120))
}

#[test]
fn one_that_never_reads_disturbs_neither_the_feed_nor_the_others() {
    const RECORDS: u64 = 10_000;
    let server = Server::start(1, &[RING, "outbox.bytes_max=134217728"]);
    let crowd = healthy(&server, "a@trade", 10, RECORDS);
    let _stopped = stopped(&server, &["a@trade"]);
    server.wait_until("the subscriptions", |metrics| metrics.shard("subscriptions") == 11);
    let mut feed = Feed::connect(&server);
    let (mut last, mut longest) = (0, Duration::ZERO);
    while last < RECORDS {
        let asked = now();
        last = publish(&mut feed, "a@trade", last, 100);
        longest = longest.max(asked.elapsed());
    }
    // A feed that waited for a reader would wait for ever: the bound only has to tell that from a busy machine.
    assert!(longest < Duration::from_secs(5), "a ping of the feed was answered after {longest:?}");
    let _open = crowd.finish();
    let metrics =
        server.wait_until("the others to be served", |metrics| metrics.shard("slow_subscribers") == 1);
    assert_eq!(metrics.closed_by_any(), 0, "{metrics}");
    assert!(metrics.shard("queued_bytes") > 1_000_000, "nobody was slow: {metrics}");
    metrics.assert_adds_up();
}

#[test]
fn on_a_latest_channel_it_gets_the_newest_and_is_told_what_was_skipped() {
    let server = Server::start(1, &[RING]);
    let (mut subscriber, mut stands) = stopped(&server, &["a@bookTicker"]);
    let mut feed = Feed::connect(&server);
    let last = publish(&mut feed, "a@bookTicker", 0, 5000);
    let metrics = server.wait_until_seen(last);
    let conflated = metrics.shard("conflated_records");
    assert!(conflated > 0 && metrics.shard("slow_subscribers") == 1, "{metrics}");
    assert_eq!(metrics.shard("queued_bytes"), 0, "a latest channel queues nothing: {metrics}");
    while stands.hear(&subscriber.text()) < last {}
    assert_eq!(stands.skipped, conflated, "what was told is what was counted");
    let quick = server.wait_until("it to be quick again", |metrics| metrics.shard("slow_subscribers") == 0);
    assert_eq!(quick.shard("delivered_records"), stands.heard, "{quick}");
    let last = publish(&mut feed, "a@bookTicker", last, 1);
    assert_eq!(stands.hear(&subscriber.text()), last);
    assert_eq!(stands.skipped, conflated, "nothing was skipped on the fast path");
    server.wait_until_quiet(last);
}

#[test]
fn on_an_every_channel_it_gets_all_of_it_within_the_bound() {
    let server = Server::start(1, &[RING, "outbox.bytes_max=33554432"]);
    let (mut subscriber, mut stands) = stopped(&server, &["a@trade"]);
    let mut feed = Feed::connect(&server);
    let mut last = 0;
    for _ in 0..3 {
        last = publish(&mut feed, "a@trade", last, 5000);
        let metrics = server.wait_until_seen(last);
        assert!(metrics.shard("queued_bytes") > 1_000_000, "it was not slow: {metrics}");
        while stands.hear(&subscriber.text()) < last {}
        server.wait_until("it to be quick again", |metrics| metrics.shard("slow_subscribers") == 0);
        let metrics = server.wait_until_quiet(last);
        assert_eq!(
            (metrics.shard("delivered_records"), metrics.shard("queued_bytes")),
            (last, 0),
            "{metrics}"
        );
    }
}

#[test]
fn on_an_every_channel_it_is_closed_past_the_bound_between_two_frames() {
    const BYTES_MAX: u64 = 1 << 20;
    let close = r#"delivery=[{kind="trade",delivery="every",slow="close"}]"#;
    let server = Server::start(1, &[RING, "outbox.bytes_max=1048576", "limits.close_timeout=60s", close]);
    let (mut subscriber, mut stands) = stopped(&server, &["a@trade"]);
    server.wait_until("the subscription", |metrics| metrics.shard("subscriptions") == 1);
    let (mut feed, mut last) = (Feed::connect(&server), 0);
    let mut most = 0;
    while server.metrics().shard("subscriptions") == 1 {
        last = publish(&mut feed, "a@trade", last, 50);
        let metrics = server.wait_until_seen(last);
        metrics.assert_adds_up();
        most = most.max(metrics.shard("queued_bytes"));
    }
    assert!((BYTES_MAX / 2..=BYTES_MAX).contains(&most), "{most} bytes were queued");
    let close = read_until_closed(&mut subscriber, &mut stands);
    assert_eq!(close.close(), (1008, "too slow: an every-record channel outgrew the queue"));
    let metrics = server.wait_until("its end", |metrics| metrics.closed("slow") == 1);
    metrics.assert_adds_up();
    assert_eq!(metrics.shard("delivered_records"), stands.heard, "{metrics}");
    assert_eq!((metrics.shard("queued_bytes"), metrics.shard("torn_bytes")), (0, 0), "{metrics}");
}

/// What waits is a position in the ring, and the ring goes on: a reader that comes too late for it is closed, and is sent nothing from
/// behind the hole.
#[test]
fn what_was_overwritten_while_it_waited_ends_it_at_the_hole() {
    let ring = ["ring.bytes=4194304", "ingest.payload_bytes_max=4096", "outbox.bytes_max=134217728"];
    let close = r#"delivery=[{kind="trade",delivery="every",slow="close"}]"#;
    let server = Server::start(1, &[&ring[..], &[close]].concat());
    let (mut subscriber, mut stands) = stopped(&server, &["a@trade"]);
    let (mut feed, mut last) = (Feed::connect(&server), 0);
    while last < 4500 {
        last = publish(&mut feed, "a@trade", last, 100);
        server.wait_until_seen(last);
    }
    let close = read_until_closed(&mut subscriber, &mut stands);
    assert_eq!(close.close().0, 1008);
    let metrics = server.wait_until("its end", |metrics| metrics.closed("slow") == 1);
    assert_eq!(
        (metrics.shard("missed_records"), metrics.shard("delivered_records")),
        (0, stands.heard),
        "{metrics}"
    );
    metrics.assert_adds_up();
}

#[test]
fn the_rests_of_torn_frames_are_bounded_for_the_whole_shard() {
    const POOL_BYTES: u64 = 65_536;
    let pool = "outbox.torn_pool_bytes_max=65536";
    let server = Server::start(1, &[RING, pool, "ingest.payload_bytes_max=65536"]);
    let slow: Vec<_> = (0..20).map(|_| stopped(&server, &["a@bookTicker"])).collect();
    let mut quick = Subscriber::native(&server);
    let mut stands = Stands::default();
    stands.join(&quick.subscribe(1, &["a@bookTicker"]).text);
    let mut feed = Feed::connect(&server);
    for sequence in 1..=100 {
        feed.publish("a@bookTicker", &filled(sequence, 60_000));
        feed.ping();
        while stands.hear(&quick.text()) < sequence {}
        let metrics = server.metrics();
        assert!(metrics.shard("torn_bytes") <= POOL_BYTES, "{metrics}");
        metrics.assert_adds_up();
    }
    let metrics = server.wait_until_seen(100);
    assert!((1..20).contains(&metrics.closed("torn_pool_full")), "{metrics}");
    drop(slow);
    let metrics = server.wait_until("the slow ones to be gone", |metrics| metrics.shard("subscribers") == 1);
    metrics.assert_adds_up();
    assert_eq!((metrics.shard("torn_bytes"), metrics.shard("pending_records")), (0, 0), "{metrics}");
}

#[test]
fn half_of_four_hundred_stopped_cost_little_memory() {
    const RECORDS: u64 = 3000;
    /// What the outboxes hold for each queued record, with room for how a queue grows; and the arenas, once.
    const BYTES_MAX: u64 = 200 * RECORDS * 2 * 32 + (32 << 20);
    let server = Server::start(2, &[RING, "outbox.bytes_max=4194304"]);
    let crowd = healthy(&server, "a@trade", 200, RECORDS);
    let mut slow: Vec<_> =
        (0..200).map(|_| Subscriber::connect_with_room(&server, "/ws/a@trade/a@bookTicker", 4096)).collect();
    server.wait_until("the subscriptions", |metrics| metrics.shard("subscriptions") == 600);
    let before = server.resident_bytes();
    let mut feed = Feed::connect(&server);
    for sequence in 1..=RECORDS {
        feed.publish("a@trade", &filled(sequence, PAYLOAD_BYTES));
        feed.publish("a@bookTicker", &filled(sequence, PAYLOAD_BYTES));
    }
    feed.ping();
    let _open = crowd.finish();
    let metrics = server.wait_until("all to be seen", |metrics| {
        metrics.shard("seen_records") == 4 * RECORDS && metrics.shard("slow_subscribers") == 200
    });
    metrics.assert_adds_up();
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown <= BYTES_MAX, "{grown} bytes for 200 that do not read: {metrics}");
    println!("{grown} bytes for 200 that do not read");
    assert_eq!(metrics.closed_by_any(), 0, "{metrics}");
    let waiting = metrics.shard("queued_bytes");
    assert!(waiting > 200 * 1_000_000, "they were not slow: {metrics}");
    slow.truncate(100);
    server
        .wait_until("half of them to be gone", |metrics| metrics.shard("subscribers") == 300)
        .assert_adds_up();
}

/// A name's sequences go on when its channel expired: what waited for the old one is skipped, and said to be.
#[test]
fn a_channel_that_expired_meanwhile_goes_on() {
    let server = Server::start(1, &[RING, "channel.expire_after=1s"]);
    let (mut subscriber, mut stands) = stopped(&server, &["a@bookTicker"]);
    let mut feed = Feed::connect(&server);
    let last = publish(&mut feed, "a@bookTicker", 0, 5000);
    server.wait_until_seen(last);
    server.wait_until("its end", |metrics| metrics.get("tapecast_ingest_expired_channels_total") == 1);
    let newest = publish(&mut feed, "a@bookTicker", last, 10);
    server.wait_until_seen(newest);
    while stands.hear(&subscriber.text()) != newest {}
    publish(&mut feed, "a@bookTicker", newest, 1);
    assert_eq!(stands.hear(&subscriber.text()), newest + 1);
    server.wait_until_quiet(newest + 1);
}
