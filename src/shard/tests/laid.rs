//! Whatever waits and wherever the kernel cuts it, a subscriber gets the same bytes, and the ledger the same terms.

use super::*;
use crate::channel::{Delivery, Merge, Rule};
use crate::dialect::shape::Notice;
use crate::shard::batch::{Batch, Laid};
use crate::subscriber::outbox::{Gap, Loss, Waiting};

/// A channel each for everything that can wait.
const CHANNELS: [&str; 6] = ["a@trade", "b@trade", "c@ticker", "d@ticker", "e@arr", "f@trade"];

fn rules() -> DeliveryRules {
    let latest = Rule::new(Delivery::Latest);
    let merging = Rule::new(Delivery::Merge(Merge::BinanceArray));
    DeliveryRules::new([("ticker".into(), latest), ("arr".into(), merging)])
}

/// One of everything waits for the only subscriber: control, notices, missed records, a gap, marks of each kind, a queue.
fn everything(shape: Shape) -> Bench {
    let mut bench = Bench::ruled(options(), rules());
    let mut client = bench.subscriber_in(shape, &CHANNELS);
    text(&mut client);
    bench.block(FIRST);
    (1..=3).for_each(|sequence| bench.publish("f@trade", (5, 0), sequence, 10));
    bench.turn();
    bench.shard.withdraw(FIRST, &[bench.slot("f@trade")]);
    if shape.can_tell() {
        let gap = Gap { slot: bench.slot("b@trade"), from: 1, to: 2, reason: GapReason::Slow };
        bench.outbox(FIRST).enqueue(Waiting::Gap(gap), 0, |_| Loss::Tell).unwrap();
    }
    let missed = bench.stretch("f@trade", 0, &[3]);
    bench.shard.owe_missed(FIRST, missed);
    for (index, name) in CHANNELS.iter().enumerate().take(4) {
        (1..=3).for_each(|sequence| bench.publish(name, (index as u32, 0), sequence, 10));
    }
    for sequence in 1..=3 {
        bench.publish_payload("e@arr", (4, 0), sequence, &format!(r#"[{{"s":"S{sequence}","c":"1"}}]"#));
    }
    bench.turn();
    let snapshot = bench.slot("d@ticker");
    bench.shard.owe_snapshot(FIRST, snapshot);
    let slot = bench.slot("a@trade");
    let outbox = bench.outbox(FIRST);
    outbox.push_control(&[0x89, 0]);
    if shape.can_tell() {
        outbox.tell(slot, Notice::Gap { from: 3, to: 4, reason: GapReason::Feed });
        outbox.tell(slot, Notice::Stale);
    }
    bench
}

/// Offers what waits to a kernel that takes so many bytes at a time.
fn taken_by(bench: &mut Bench, step: usize) -> Vec<u8> {
    let mut sent = Vec::new();
    let mut outbox = bench.shard.members[FIRST as usize].outbox.take().unwrap();
    loop {
        let mut batch = Batch::default();
        let laid = bench.shard.lay_out(FIRST, &mut outbox, &mut 1000, &mut batch);
        if batch.placed.is_empty() {
            assert_eq!(laid, Laid::All);
            break;
        }
        let taken = step.min(batch.bytes.len());
        sent.extend_from_slice(&batch.bytes[..taken]);
        let went = bench.shard.commit(FIRST, &mut outbox, &batch, taken);
        assert_eq!(went.is_ok(), taken == batch.bytes.len());
    }
    bench.shard.members[FIRST as usize].outbox = Some(outbox);
    assert_eq!((bench.shard.ledger.torn_bytes, bench.shard.ledger.queued_bytes), (0, 0));
    assert_eq!(bench.shard.ledger.pending, 0);
    bench.assert_adds_up();
    sent
}

#[test]
fn however_the_kernel_cuts_it_the_bytes_and_the_ledger_are_the_same() {
    for shape in [Shape::Native, Shape::Payload, Shape::Sse] {
        let mut whole = everything(shape);
        let expected = taken_by(&mut whole, usize::MAX);
        assert!(expected.len() > 150, "{} bytes", expected.len());
        for step in [1, 2, 3, 7, 50, 111] {
            let mut bench = everything(shape);
            assert_eq!(taken_by(&mut bench, step), expected, "{shape:?} {step} bytes at a time");
            let (one, other) = (&bench.shard.ledger, &whole.shard.ledger);
            let terms = |of: &stats::Ledger| [of.delivered, of.conflated, of.merged, of.dropped, of.gaps];
            assert_eq!(terms(one), terms(other));
        }
    }
}

#[test]
fn what_waits_goes_in_the_order_of_sending() {
    let mut bench = everything(Shape::Sse);
    let sent = String::from_utf8_lossy(&taken_by(&mut bench, usize::MAX)).into_owned();
    let order = [
        r#""op":"gap","ch":"a@trade","from":3,"to":4,"reason":"feed""#,
        r#""op":"status","ch":"a@trade","state":"stale""#,
        r#""ch":"f@trade","seq":1,"#,
        r#""ch":"f@trade","seq":3,"#,
        r#""op":"gap","ch":"b@trade","from":1,"to":2,"reason":"slow""#,
        r#""ch":"c@ticker","seq":3,"ts":0,"skipped":2,"#,
        r#""ch":"e@arr","seq":3,"ts":0,"skipped":2,"merged":true,"#,
        r#""ch":"d@ticker","seq":3,"ts":0,"snap":true,"#,
        r#""ch":"a@trade","seq":1,"#,
        r#""ch":"b@trade","seq":3,"#,
    ];
    let places: Vec<_> =
        order.iter().map(|part| sent.find(part).unwrap_or_else(|| panic!("{part}: {sent}"))).collect();
    assert!(places.is_sorted(), "{sent}");
}

#[test]
fn an_event_says_where_to_go_on_only_where_nothing_older_waits() {
    let mut bench = everything(Shape::Sse);
    let sent = String::from_utf8_lossy(&taken_by(&mut bench, usize::MAX)).into_owned();
    let events: Vec<_> = sent.split("\n\n").collect();
    let has_id =
        |part: &str| events.iter().find(|event| event.contains(part)).unwrap().contains("id: epoch:");
    assert!(
        has_id(r#""ch":"b@trade","seq":3"#) && has_id(r#""ch":"a@trade","seq":1"#),
        "the queue is in order"
    );
    assert!(
        !has_id(r#""ch":"c@ticker""#) && !has_id(r#""ch":"f@trade","seq":3"#),
        "older ones are queued: {sent}"
    );
}

/// A cycle with records, a gap before one, and a notice, cut everywhere.
#[test]
fn wherever_a_cycle_is_cut_nothing_of_it_is_lost_or_told_twice() {
    let cycle = || {
        let mut bench = Bench::ruled(options(), rules());
        text(&mut bench.subscriber(&["a@trade"]));
        bench.publish("a@trade", (0, 0), 1, 10);
        (2..=4).for_each(|sequence| bench.publish("b@trade", (1, 0), sequence, 10));
        bench.publish("a@trade", (0, 0), 4, 10);
        bench.shard.drain();
        bench.shard.tell(bench.slot("a@trade"), Notice::Live);
        bench
    };
    let frames = |bytes: &[u8]| {
        let mut frames = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let end = at + 2 + usize::from(bytes[at + 1]);
            frames.push(bytes[at..end].to_vec());
            at = end;
        }
        frames.sort();
        frames
    };
    let mut bench = cycle();
    let cohort = bench.shard.members[FIRST as usize].cohort.unwrap();
    let all = bench.shard.fanout.gather(cohort).to_vec();
    assert_eq!(frames(&all).len(), 4);
    for taken in 0..all.len() {
        let mut bench = cycle();
        let cohort = bench.shard.members[FIRST as usize].cohort.unwrap();
        bench.shard.ledger.matched += bench.shard.fanout.lane_records(cohort);
        bench.shard.cut_off(cohort, FIRST, taken);
        bench.shard.fanout.clear();
        let sent = [&all[..taken], &taken_by(&mut bench, usize::MAX)].concat();
        assert_eq!(frames(&sent), frames(&all), "cut at {taken}");
        assert_eq!((bench.shard.ledger.gaps, bench.shard.ledger.delivered), (1, 2), "cut at {taken}");
    }
}
