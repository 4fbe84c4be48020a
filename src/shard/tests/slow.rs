//! Who does not keep up: what it is told, and when it is closed.

use super::*;
use crate::channel::{Delivery, OnSlow, Rule};

/// Room for a few records of 100 bytes.
const OUTBOX_BYTES: usize = 1000;

fn small(on_gap: OnGap) -> Options {
    Options { outbox_bytes_max: OUTBOX_BYTES, on_gap, ..options() }
}

/// A subscriber whose socket is full while 20 records of `a@trade` come.
fn overrun(options: Options, rules: DeliveryRules, shape: Shape) -> (Bench, TcpStream) {
    let mut bench = Bench::ruled(options, rules);
    let mut client = bench.subscriber_in(shape, &["a@trade", "b@trade"]);
    text(&mut client);
    bench.block(FIRST);
    (1..=20).for_each(|sequence| bench.publish("a@trade", (0, 0), sequence, 100));
    bench.turn();
    bench.assert_adds_up();
    (bench, client)
}

#[test]
fn a_native_reader_is_told_exactly_what_it_was_too_slow_for() {
    let (mut bench, mut client) = overrun(small(OnGap::Close), DeliveryRules::default(), Shape::Native);
    bench.publish("b@trade", (1, 0), 1, 100);
    bench.turn();
    let dropped = bench.shard.ledger.dropped;
    assert!(dropped > 10 && bench.outbox(FIRST).queued_bytes() <= OUTBOX_BYTES);
    bench.unblock(FIRST);
    let rest = (dropped + 1..=20).map(|sequence| sequence.to_string());
    let expected: Vec<_> =
        [format!("1-{dropped} slow")].into_iter().chain(rest).chain(["1".to_owned()]).collect();
    assert_eq!(told(&mut client, expected.len()), expected);
    assert_eq!((bench.shard.ledger.gaps, bench.shard.ledger.slow), (1, 0), "and is on the fast path again");
    bench.assert_adds_up();
}

#[test]
fn a_rule_may_close_who_is_slow_instead() {
    let closing = Rule { delivery: Delivery::Every, on_slow: OnSlow::Close };
    let rules = DeliveryRules::new([("trade".into(), closing)]);
    let (mut bench, mut client) = overrun(small(OnGap::Skip), rules, Shape::Native);
    bench.unblock(FIRST);
    assert_eq!(close_code(&mut client), 1008);
    assert_eq!((bench.shard.ledger.dropped, bench.shard.ledger.gaps), (0, 0));
    bench.assert_adds_up();
}

#[test]
fn a_shape_without_words_is_closed() {
    let (mut bench, mut client) = overrun(small(OnGap::Close), DeliveryRules::default(), Shape::Payload);
    bench.unblock(FIRST);
    assert_eq!(close_code(&mut client), 1008);
    bench.assert_adds_up();
}

#[test]
fn a_shape_without_words_goes_on_behind_the_gap_where_the_configuration_says_so() {
    let (mut bench, mut client) = overrun(small(OnGap::Skip), DeliveryRules::default(), Shape::Payload);
    let dropped = bench.shard.ledger.dropped;
    bench.unblock(FIRST);
    for sequence in dropped + 1..=20 {
        assert!(text(&mut client).ends_with(&format!("7{sequence}")));
    }
    assert_eq!((bench.shard.ledger.gaps, bench.shard.ledger.slow), (0, 0));
    bench.assert_adds_up();
}

#[test]
fn queued_records_that_leave_the_ring_are_told_but_the_last_one_that_was_refreshed() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&["a@trade"]);
    text(&mut client);
    bench.block(FIRST);
    (1..=3).for_each(|sequence| bench.publish("a@trade", (1, 0), sequence, 10));
    bench.overwrite();
    bench.publish("a@trade", (1, 0), 4, 10);
    bench.turn();
    bench.unblock(FIRST);
    assert_eq!(told(&mut client, 2), ["1-3 slow", "4"], "the third is no longer the latest");
    bench.block(FIRST);
    (5..=6).for_each(|sequence| bench.publish("a@trade", (1, 0), sequence, 10));
    bench.overwrite();
    bench.unblock(FIRST);
    assert_eq!(told(&mut client, 2), ["5-5 slow", "6"]);
    assert_eq!(bench.shard.ledger.queued_bytes, 0);
    bench.assert_adds_up();
}

#[test]
fn a_channel_that_expires_while_its_newest_record_waits_is_told_as_a_gap() {
    let mut bench = Bench::new();
    bench.publish("a@ticker", (0, 0), 1, 1);
    let mut client = bench.subscriber(&["a@ticker"]);
    assert_eq!(told(&mut client, 2), ["hello", "1s"]);
    bench.block(FIRST);
    (2..=4).for_each(|sequence| bench.publish("a@ticker", (0, 0), sequence, 1));
    bench.turn();
    let expired = bench.stamp(Kind::Expired, (0, 0), 4);
    bench.publisher.publish(&expired, &[]).unwrap();
    bench.turn();
    bench.unblock(FIRST);
    assert_eq!(told(&mut client, 1), ["2-4 expired"]);
    bench.assert_adds_up();
}

#[test]
fn missed_records_come_in_order_before_what_is_newer() {
    let mut bench = Bench::with(1 << 20, BODY_BYTES_MAX, options(), DeliveryRules::default());
    let mut client = bench.subscriber(&["a@trade"]);
    text(&mut client);
    (1..=600).for_each(|sequence| bench.publish("a@trade", (0, 0), sequence, 10));
    let missed = bench.stretch("a@trade", 10, &[256, 512, 600]);
    let (channel, stop) = (ChannelId { index: 0, generation: 0 }, missed.stops[2]);
    bench.shard.owe_missed(FIRST, missed);
    bench.outbox(FIRST).set_after(channel, 0, stop);
    bench.publish("a@trade", (0, 0), 601, 10);
    while bench.shard.ledger.slow > 0 {
        bench.turn();
    }
    let expected: Vec<_> = (11..=601).map(|sequence| sequence.to_string()).collect();
    assert_eq!(told(&mut client, expected.len()), expected);
    bench.assert_adds_up();
}

#[test]
fn missed_records_that_leave_the_ring_before_they_are_sent_are_told() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&["a@trade"]);
    text(&mut client);
    bench.block(FIRST);
    (1..=5).for_each(|sequence| bench.publish("a@trade", (1, 0), sequence, 10));
    let missed = bench.stretch("a@trade", 2, &[5]);
    let (channel, stop) = (ChannelId { index: 1, generation: 0 }, missed.stops[0]);
    bench.outbox(FIRST).set_after(channel, 0, stop);
    bench.shard.owe_missed(FIRST, missed);
    bench.overwrite();
    bench.publish("a@trade", (1, 0), 6, 10);
    bench.turn();
    bench.unblock(FIRST);
    assert_eq!(told(&mut client, 2), ["3-5 slow", "6"]);
    bench.assert_adds_up();
}
