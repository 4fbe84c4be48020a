//! A shard that the publisher overtook: what is lost is counted and told, and nothing comes from behind a hole.
//!
//! A burst of several rings at once, for ingest wakes a shard that sleeps once it has published all that it read. Whether the shard was overtaken is
//! read from the metrics, and the burst is repeated until it was.

use crate::client::{CLOSE, Feed, Subscriber};
use crate::harness::Server;
use crate::native::Stands;

const SETTINGS: [&str; 2] = ["ring.bytes=65536", "ingest.payload_bytes_max=512"];

/// Records of each of the channels that somebody reads in a burst: few, so that no socket is ever full.
const BURST: u64 = 500;
/// Records that nobody reads between two of them. A burst is about 1 MB in the ring.
const NOISE: u64 = 18;

#[test]
fn a_lap_is_counted_and_told() {
    let server = Server::start(1, &SETTINGS);
    // Its dialect has no word for a gap.
    let (mut every, mut seen) = (Subscriber::connect(&server, "/ws/a@trade"), 0);
    server.wait_until("its subscription", |metrics| metrics.shard("subscriptions") == 1);
    let (mut latest, mut stands) = (Subscriber::native(&server), Stands::default());
    stands.join(&latest.subscribe(1, &["a@bookTicker", "quiet@bookTicker"]).text);
    let mut feed = Feed::connect(&server);
    feed.publish("quiet@bookTicker", "1");
    feed.ping();
    assert_eq!(stands.hear(&latest.text()), 1);
    let mut last = 0;
    let mut publish = |records: u64| {
        for sequence in last + 1..=last + records {
            feed.publish("a@trade", &sequence.to_string());
            feed.publish("a@bookTicker", &sequence.to_string());
            (0..NOISE).for_each(|_| feed.publish("noise@trade", "0"));
        }
        last += records;
        assert_eq!(feed.ping(), 1 + (2 + NOISE) * last);
        last
    };
    let mut last = loop {
        let mut last = publish(BURST);
        // What a lap took is counted with the record that comes next.
        while server.metrics().shard("ordinal") < 1 + (2 + NOISE) * last {
            last = publish(1);
        }
        if server.metrics().shard("lapped") > 0 {
            break last;
        }
        while seen < last {
            seen += 1;
            assert_eq!(every.text(), seen.to_string());
        }
        while !stands.is_at("a@bookTicker", last) {
            stands.hear(&latest.text());
        }
    };
    // One more record, so that the last thing that was lost is behind.
    last = publish(1).max(last);
    let metrics = server.wait_until_seen(1 + (2 + NOISE) * last);
    assert!(metrics.shard("missed_records") > 0, "{metrics}");
    while !stands.is_at("a@bookTicker", last) {
        stands.hear(&latest.text());
    }
    assert!(stands.skipped > 0, "the lap was not told");
    let close = loop {
        let frame = every.next().expect("a close frame");
        if frame.opcode == CLOSE {
            break frame;
        }
        seen += 1;
        assert_eq!(frame.text(), seen.to_string(), "nothing comes from behind a hole");
    };
    assert_eq!(close.close(), (1012, "server lost records; reconnect"));
    every.send(CLOSE, &close.payload);
    let metrics = server.wait_until("its end", |metrics| metrics.closed("lapped") == 1);
    metrics.assert_adds_up();
    assert_eq!(metrics.shard("delivered_records"), stands.heard + seen, "{metrics}");
}
