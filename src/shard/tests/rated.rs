//! Chosen rates, and channels whose waiting records are merged.

use super::*;
use crate::channel::{Delivery, Merge, Rule};
use crate::dialect::shape::Notice;
use crate::shard::worker::Phase;

fn rules(merge: Merge) -> DeliveryRules {
    DeliveryRules::new([("*".into(), Rule::new(Delivery::Merge(merge)))])
}

impl Bench {
    /// The first subscriber gets a channel at most once in this time.
    fn rate(&mut self, name: &str, every_ms: u32) {
        let slot = self.slot(name);
        self.shard.index.rate(slot, every_ms);
        self.shard.note_rates(FIRST);
    }

    /// Records of a channel of arrays, each with a symbol of its own.
    fn publish_arrays(&mut self, sequences: std::ops::RangeInclusive<u64>) {
        for sequence in sequences {
            let payload = format!(r#"[{{"s":"S{}","c":"{sequence}"}}]"#, sequence % 2);
            self.publish_payload("!m@arr", (1, 0), sequence, &payload);
        }
    }
}

#[test]
fn the_first_change_goes_at_once_and_the_last_one_at_the_end_of_the_window() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&["a@ticker"]);
    bench.rate("a@ticker", 250);
    bench.publish("a@ticker", (0, 0), 1, 1);
    bench.turn();
    assert_eq!(told(&mut client, 2), ["hello", "1"]);
    bench.publish("a@ticker", (0, 0), 2, 1);
    bench.turn_after(100);
    bench.publish("a@ticker", (0, 0), 3, 1);
    bench.turn_after(149);
    assert_eq!((bench.shard.ledger.delivered, bench.shard.ledger.pending), (1, 1), "the window is not over");
    bench.turn_after(1);
    assert_eq!(told(&mut client, 1), ["3+1"]);
    bench.turn_after(10_000);
    bench.publish("a@ticker", (0, 0), 4, 1);
    bench.turn();
    assert_eq!(told(&mut client, 1), ["4"], "after a quiet window");
    bench.publish("a@ticker", (0, 0), 5, 1);
    bench.turn_after(1);
    assert_eq!(bench.shard.ledger.pending, 1);
    bench.turn_after(249);
    assert_eq!(told(&mut client, 1), ["5"], "nothing follows it, and it is not left out");
    bench.assert_adds_up();
}

/// Thousands of them would else make one cycle last long; and what the fast path does not send takes no place there.
#[test]
fn what_rated_subscribers_get_counts_towards_the_cycles_bound_and_is_kept_by_nobody() {
    let mut bench = Bench::new();
    let _client = bench.subscriber(&["a@ticker"]);
    bench.rate("a@ticker", 250);
    (1..=3).for_each(|sequence| bench.publish("a@ticker", (0, 0), sequence, 1));
    bench.shard.drain();
    let fanout = &bench.shard.fanout;
    assert_eq!((fanout.appended(), fanout.records.len(), fanout.bytes(), fanout.dirty_len()), (3, 0, 0, 0));
    bench.shard.finish_cycle();
    bench.assert_adds_up();
}

#[test]
fn who_chose_a_rate_is_off_the_fast_path_until_it_chose_none() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&["a@ticker"]);
    bench.rate("a@ticker", 50);
    bench.turn_after(5000);
    assert_eq!((bench.shard.ledger.rated, bench.shard.ledger.slow), (1, 1));
    let other = bench.shard.members[FIRST as usize].cohort.unwrap();
    assert!(bench.shard.fanout.is_single(other));
    bench.rate("a@ticker", 0);
    bench.turn();
    assert_eq!((bench.shard.ledger.rated, bench.shard.ledger.slow), (0, 0));
    bench.publish("a@ticker", (0, 0), 1, 1);
    bench.turn();
    assert_eq!(told(&mut client, 2), ["hello", "1"]);
    bench.rate("a@ticker", 50);
    bench.shard.bury(FIRST, CloseReason::ClientVanished);
    assert_eq!((bench.shard.ledger.rated, bench.shard.ledger.slow), (0, 0));
}

#[test]
fn a_thousand_windows_leave_no_timers_behind() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&["a@ticker"]);
    text(&mut client);
    bench.rate("a@ticker", 10);
    for sequence in 1..=1000 {
        bench.publish("a@ticker", (0, 0), sequence, 4);
        bench.turn_after(5);
    }
    assert_eq!(bench.shard.wheel.len(), 2, "one to its window's end, one to its next ping");
    assert_eq!(told(&mut client, 3), ["1", "3+1", "5+1"]);
    assert!((480..=520).contains(&bench.shard.ledger.delivered), "{:?}", bench.shard.ledger);
    bench.assert_adds_up();
}

#[test]
fn what_waits_for_its_time_when_the_server_ends_is_sent_before_the_close() {
    let mut bench = Bench::new();
    let mut client = bench.subscriber(&["a@ticker"]);
    bench.rate("a@ticker", 60_000);
    for sequence in 1..=3 {
        bench.publish("a@ticker", (0, 0), sequence, 1);
        bench.turn();
    }
    bench.shard.phase = Phase::Draining { until: bench.now + 3000 };
    (0..2).for_each(|_| bench.turn_after(1));
    assert_eq!(told(&mut client, 3), ["hello", "1", "3+1"]);
    bench.turn_after(1);
    assert_eq!(close_code(&mut client), 1001);
    bench.assert_adds_up();
}

#[test]
fn a_rated_channel_is_encoded_for_nobody_else() {
    let mut bench = Bench::new();
    let _client = bench.subscriber(&["a@ticker"]);
    bench.rate("a@ticker", 250);
    (1..=50).for_each(|sequence| bench.publish("a@ticker", (0, 0), sequence, 2));
    bench.turn();
    assert_eq!((bench.shard.ledger.encoded, bench.shard.ledger.encoded_singly), (0, 1));
    assert_eq!((bench.shard.ledger.delivered, bench.shard.ledger.conflated), (1, 49));
}

#[test]
fn waiting_records_of_a_merging_channel_are_sent_as_one() {
    let mut bench = Bench::ruled(options(), rules(Merge::BinanceArray));
    let mut client = bench.subscriber(&["!m@arr"]);
    bench.publish_arrays(1..=2);
    bench.turn();
    assert_eq!(told(&mut client, 3), ["hello", "1", "2"], "who keeps up gets each");
    bench.block(FIRST);
    bench.publish_arrays(3..=7);
    bench.turn();
    assert_eq!(bench.shard.ledger.pending, 5);
    bench.unblock(FIRST);
    let merged = messages(&mut client, 1).remove(0);
    assert_eq!((&merged["seq"], &merged["skipped"], &merged["merged"]), (&7.into(), &4.into(), &true.into()));
    let symbols =
        |data: &Value| data.as_array().unwrap().iter().map(|one| one["c"].clone()).collect::<Vec<_>>();
    let mut values = symbols(&merged["data"]);
    values.sort_by_key(ToString::to_string);
    assert_eq!(values, ["6", "7"], "each symbol's newest");
    assert_eq!((bench.shard.ledger.merged, bench.shard.ledger.delivered), (4, 3));
    bench.assert_adds_up();
}

#[test]
fn a_long_run_is_merged_a_bounded_piece_at_a_time() {
    let mut bench = Bench::with(1 << 20, BODY_BYTES_MAX, options(), rules(Merge::BinanceArray));
    let mut client = bench.subscriber(&["!m@arr"]);
    bench.block(FIRST);
    bench.publish_arrays(1..=3000);
    while bench.shard.ledger.seen < 3000 {
        bench.turn();
    }
    bench.unblock(FIRST);
    bench.turn();
    assert_eq!(told(&mut client, 3), ["hello", "2048m2047", "3000m951"]);
    bench.assert_adds_up();
}

#[test]
fn what_of_a_run_has_left_the_ring_is_a_gap_and_the_rest_is_merged() {
    let mut bench = Bench::ruled(options(), rules(Merge::BinanceArray));
    let mut client = bench.subscriber(&["!m@arr"]);
    bench.block(FIRST);
    bench.publish_arrays(1..=5);
    bench.overwrite();
    bench.publish_arrays(6..=8);
    bench.turn();
    bench.unblock(FIRST);
    assert_eq!(told(&mut client, 3), ["hello", "1-4 slow", "8m3"], "the fifth was refreshed");
    assert_eq!(bench.shard.ledger.dropped, 4);
    bench.assert_adds_up();
}

#[test]
fn a_closed_bar_is_never_replaced_within_a_window() {
    let mut bench = Bench::ruled(options(), rules(Merge::BinanceKline));
    let mut client = bench.subscriber(&["a@kline_1m"]);
    bench.rate("a@kline_1m", 1000);
    for (sequence, is_closed) in (1..).zip([false, false, true, false, false]) {
        let payload = format!(r#"{{"k":{{"x":{is_closed}}}}}"#);
        bench.publish_payload("a@kline_1m", (0, 0), sequence, &payload);
        bench.turn();
    }
    assert_eq!(told(&mut client, 2), ["hello", "1"]);
    bench.turn_after(1000);
    assert_eq!(told(&mut client, 2), ["3+1", "5+1"]);
    assert_eq!((bench.shard.ledger.conflated, bench.shard.ledger.merged), (2, 0));
    bench.assert_adds_up();
}

/// However many came within a window, one record comes at its end, and holds what all of them said.
#[test]
fn a_long_window_ends_with_one_record() {
    let mut bench = Bench::with(1 << 20, BODY_BYTES_MAX, options(), rules(Merge::BinanceArray));
    let mut client = bench.subscriber(&["!m@arr"]);
    bench.rate("!m@arr", 1000);
    bench.publish_arrays(1..=1);
    bench.turn();
    bench.publish_arrays(2..=900);
    while bench.shard.ledger.seen < 900 {
        bench.turn();
    }
    bench.turn_after(1000);
    assert_eq!(told(&mut client, 3), ["hello", "1", "900m898"]);
    bench.assert_adds_up();
}

/// What came while it was looked for is replaced; what was told of the channel meanwhile is not a record.
#[test]
fn what_waits_to_be_told_is_not_replaced_by_the_newest_record() {
    let mut bench = Bench::ruled(options(), DeliveryRules::all(Delivery::Latest));
    let mut client = bench.subscriber(&["a@trade"]);
    bench.publish("a@trade", (1, 0), 1, 10);
    bench.turn();
    bench.rate("a@trade", 100);
    let slot = bench.slot("a@trade");
    bench.shard.tell_later(FIRST, slot, Notice::Stale);
    bench.shard.owe_newest(FIRST, slot, 0, 1);
    bench.turn_after(100);
    assert_eq!(told(&mut client, 4), ["hello", "1", "stale", "1"]);
    bench.assert_adds_up();
}
