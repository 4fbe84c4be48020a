//! What was lost to a lap: told in its place, on the fast path and off it, or who cannot be told is closed.

use super::*;
use crate::channel::{Delivery, Merge};

impl Bench {
    /// Records up to `last` of `a@trade` come, all of them and much more while the shard sleeps; it goes on until it has caught up.
    fn lap_trades(&mut self, first: u64, last: u64, noise: u64) {
        (first..=last).for_each(|sequence| self.publish("a@trade", (1, 0), sequence, 10));
        self.lap((0, 0), noise);
        let lapped = self.shard.ledger.lapped;
        while self.shard.ledger.lapped == lapped || self.shard.walk.is_some() {
            self.turn();
        }
    }
}

#[test]
fn a_native_reader_on_the_fast_path_is_told_before_the_next_record() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&["a@trade"]);
    bench.publish("a@trade", (1, 0), 1, 10);
    bench.turn();
    bench.lap_trades(2, 5, 1);
    assert_eq!(told(&mut client, 4), ["hello", "1", "2-4 lapped", "5"]);
    let ledger = &bench.shard.ledger;
    assert_eq!((ledger.gaps, ledger.delivered, ledger.slow, ledger.encoded_singly), (1, 2, 0, 0));
    bench.assert_adds_up();
}

#[test]
fn a_native_reader_off_the_fast_path_is_told_in_order() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&["a@trade", "b@trade"]);
    bench.block(FIRST);
    (1..=3).for_each(|sequence| bench.publish("a@trade", (1, 0), sequence, 10));
    bench.turn();
    bench.lap_trades(4, 6, 1);
    bench.publish("b@trade", (2, 0), 1, 10);
    bench.turn();
    bench.unblock(FIRST);
    assert_eq!(told(&mut client, 5), ["hello", "1-3 slow", "4-5 lapped", "6", "1"]);
    assert_eq!((bench.shard.ledger.gaps, bench.shard.ledger.queued_bytes), (2, 0));
    bench.assert_adds_up();
}

#[test]
fn a_run_that_waits_is_lost_with_what_a_lap_took_behind_it() {
    let rules = DeliveryRules::all(Delivery::Merge(Merge::BinanceDepth));
    let mut bench = Bench::ruled(options(), rules);
    let mut client = bench.subscriber(&["a@trade"]);
    bench.block(FIRST);
    (1..=3).for_each(|sequence| bench.publish("a@trade", (1, 0), sequence, 10));
    bench.turn();
    bench.lap_trades(4, 6, 1);
    bench.unblock(FIRST);
    assert_eq!(told(&mut client, 3), ["hello", "1-5 lapped", "6"]);
    assert_eq!(bench.shard.ledger.dropped, 3);
    bench.assert_adds_up();
}

#[test]
fn who_cannot_be_told_is_closed_some_time_within_ten_seconds() {
    let mut bench = Bench::new();
    let mut fast = bench.subscriber_in(Shape::Combined, &["a@trade"]);
    text(&mut fast);
    let mut native = bench.subscriber(&["a@trade"]);
    bench.lap_trades(1, 3, 1);
    assert_eq!(told(&mut native, 3), ["hello", "1-2 lapped", "3"], "others are not closed for it");
    bench.turn_after(10_001);
    assert_eq!(close_code(&mut fast), 1012);
    bench.assert_adds_up();
}

#[test]
fn who_cannot_be_told_goes_on_behind_the_gap_where_the_configuration_says_so() {
    let skipping = Options { on_gap: OnGap::Skip, ..options() };
    let mut bench = Bench::ruled(skipping, DeliveryRules::default());
    let mut client = bench.subscriber_in(Shape::Payload, &["a@trade"]);
    text(&mut client);
    bench.lap_trades(1, 3, 1);
    assert_eq!(text(&mut client), "7777777773");
    bench.assert_adds_up();
}

#[test]
fn who_is_told_no_sequences_loses_nothing_where_a_channel_is_numbered_on() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber_in(Shape::Payload, &["a@trade"]);
    text(&mut client);
    bench.publish("a@trade", (1, 0), 1, 10);
    bench.turn();
    let slot = bench.slot("a@trade");
    bench.publish("a@trade", (1, 0), 2, 10);
    let entry = bench.shard.reader.ring().latest(1).unwrap();
    let again = ring::Entry { sequence: 9, ..entry };
    bench.shard.fan_out(&again, slot, 7, GapReason::Expired).unwrap();
    bench.shard.finish_cycle();
    assert_eq!(text(&mut client), "7777777771");
    assert_eq!(text(&mut client), "7777777772");
    assert_eq!(bench.shard.ledger.closed, [0; CloseReason::ALL.len()]);
}

/// The shard lags: what it reads for a snapshot stands ahead of its cursor.
#[test]
fn who_leaves_and_joins_again_on_a_lagging_shard_is_sent_nothing_twice() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&[]);
    (1..=3).for_each(|sequence| bench.publish("a@trade", (1, 0), sequence, 10));
    bench.shard.obey(FIRST, br#"{"op":"subscribe","channels":["a@trade"]}"#);
    bench.shard.serve(FIRST, &mut 100);
    bench.shard.obey(FIRST, br#"{"op":"unsubscribe","channels":["a@trade"]}"#);
    bench.shard.obey(FIRST, br#"{"op":"subscribe","channels":["a@trade"],"snapshot":false}"#);
    bench.turn();
    bench.publish("a@trade", (1, 0), 4, 10);
    bench.turn();
    assert_eq!(told(&mut client, 3), ["hello", "3s", "4"]);
    assert_eq!(bench.shard.ledger.slow, 0, "nothing is kept once the cursor has passed");
    bench.assert_adds_up();
}

/// While the walk goes on, newer records are queued before the older ones that it finds.
#[test]
fn no_event_is_gone_on_from_while_one_that_the_walk_found_waits_behind_it() {
    let mut bench = Bench::ruled(Options { on_gap: OnGap::Skip, ..options() }, DeliveryRules::default());
    let mut client = bench.subscriber_in(Shape::Sse, &["a@trade", "b@trade"]);
    text(&mut client);
    bench.publish("b@trade", (2, 0), 1, 10);
    bench.turn();
    bench.block(FIRST);
    bench.publish("a@trade", (1, 0), 1, 10);
    bench.lap((0, 0), 1);
    bench.shard.cycle();
    bench.publish("b@trade", (2, 0), 2, 10);
    bench.shard.cycle();
    bench.turn();
    assert!(bench.shard.walk.is_none() && bench.outbox(FIRST).queued(2).is_none());
    let mut outbox = bench.shard.members[FIRST as usize].outbox.take().unwrap();
    let mut batch = batch::Batch::default();
    bench.shard.lay_out(FIRST, &mut outbox, &mut 100, &mut batch);
    let sent = String::from_utf8_lossy(&batch.bytes).into_owned();
    let [newer, older] = ["b@trade", "a@trade"].map(|name| sent.find(name).unwrap());
    assert!(newer < older && !sent.contains("id: "), "{sent}");
}

/// What was encoded of a record before the publisher took the rest away belongs to nobody.
#[test]
fn a_record_that_is_overwritten_while_it_is_encoded_leaves_nothing_in_what_is_sent() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&["a@trade", "b@trade"]);
    (1..=2).for_each(|sequence| bench.publish("a@trade", (1, 0), sequence, 10));
    bench.shard.drain();
    let gone = bench.shard.reader.ring().latest(1).unwrap();
    bench.publish("b@trade", (2, 0), 1, 10);
    bench.shard.drain();
    bench.lap((0, 0), 1);
    let slot = bench.slot("a@trade");
    let gone = ring::Entry { sequence: 9, ..gone };
    assert!(bench.shard.fan_out(&gone, slot, 6, GapReason::Lapped).is_err());
    bench.publish("b@trade", (2, 0), 2, 10);
    let last = bench.shard.reader.ring().latest(2).unwrap();
    let slot = bench.slot("b@trade");
    bench.shard.fan_out(&last, slot, 0, GapReason::Lapped).unwrap();
    bench.shard.finish_cycle();
    assert_eq!(told(&mut client, 5), ["hello", "1", "2", "1", "2"]);
}
