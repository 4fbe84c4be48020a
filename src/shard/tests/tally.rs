//! Each subscriber's own ledger, after whatever happened to it.
//!
//! Single-threaded, over real sockets. Invariant: no test waits for a time.

use std::io::Write as _;

use proptest::prelude::*;

use super::super::census::{Query, Sort};
use super::super::member::Life;
use super::*;
use crate::shard::tally::Fate;
use crate::subscriber::outbox::Pace;

const CHANNELS: [&str; 3] = ["a@trade", "b@ticker", "c@ticker"];
const SUBSCRIBERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Publish { channel: usize, bytes: usize, times: usize },
    Subscribe { who: usize, channel: usize },
    Unsubscribe { who: usize, channel: usize },
    Read { who: usize, bytes: usize },
    Turn,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (who, channel) = (0..SUBSCRIBERS, 0..CHANNELS.len());
    let step = prop_oneof![
        4 => (channel.clone(), 20..900_usize, 1..40_usize)
            .prop_map(|(channel, bytes, times)| Step::Publish { channel, bytes, times }),
        1 => (who.clone(), channel.clone()).prop_map(|(who, channel)| Step::Subscribe { who, channel }),
        1 => (who.clone(), channel).prop_map(|(who, channel)| Step::Unsubscribe { who, channel }),
        2 => (who, 1..200_000_usize).prop_map(|(who, bytes)| Step::Read { who, bytes }),
        4 => Just(Step::Turn),
    ];
    prop::collection::vec(step, 1..150)
}

/// Reads so many bytes, as far as they are there.
fn read(client: &mut TcpStream, bytes: usize) {
    let mut buffer = vec![0; bytes];
    // Nothing there, or nobody any more: either is as good here.
    let _ = client.read(&mut buffer);
}

/// Every subscriber's ledger adds up, and all of them together are the shard's.
fn assert_each_adds_up(bench: &Bench) {
    let shard = &bench.shard;
    let mut sum = Tally::default();
    for (id, member) in shard.members.iter() {
        let of = member.tally.tally();
        if matches!(member.life, Life::Open) {
            let pending = member.outbox.as_ref().map_or(0, |outbox| outbox.pending());
            assert_eq!(of.matched, of.settled() + pending, "subscriber {id}: {of:?}");
        }
        sum.matched += of.matched;
        sum.delivered += of.delivered;
        sum.conflated += of.conflated;
        sum.merged += of.merged;
        sum.dropped += of.dropped;
        sum.withdrawn += of.withdrawn;
    }
    if shard.members.len() == SUBSCRIBERS {
        let of = &shard.ledger;
        let all = Tally {
            matched: of.matched,
            delivered: of.delivered,
            conflated: of.conflated,
            merged: of.merged,
            dropped: of.dropped,
            withdrawn: of.withdrawn,
        };
        assert_eq!(sum, all);
    }
}

fn take_step(bench: &mut Bench, clients: &mut [TcpStream], sequences: &mut [u64; 3], step: &Step) {
    let ask = |client: &mut TcpStream, op: &str, channel: usize| {
        let message = format!(r#"{{"op":"{op}","channels":["{}"]}}"#, CHANNELS[channel]);
        let frame = [&[0x81, 0x80 | message.len() as u8, 0, 0, 0, 0], message.as_bytes()].concat();
        // It may have been closed for being slow.
        let _ = client.write_all(&frame);
    };
    match *step {
        Step::Publish { channel, bytes, times } => {
            for _ in 0..times {
                sequences[channel] += 1;
                bench.publish(CHANNELS[channel], (channel as u32, 0), sequences[channel], bytes);
            }
        }
        Step::Subscribe { who, channel } => ask(&mut clients[who], "subscribe", channel),
        Step::Unsubscribe { who, channel } => ask(&mut clients[who], "unsubscribe", channel),
        Step::Read { who, bytes } => read(&mut clients[who], bytes),
        Step::Turn => bench.turn(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is published, subscribed, read and left lying: matched = delivered + conflated + merged + dropped + withdrawn + pending.
    #[test]
    fn every_subscribers_ledger_adds_up(steps in steps()) {
        let mut bench = Bench::of(1 << 20, BODY_BYTES_MAX);
        let mut clients: Vec<_> = (0..SUBSCRIBERS).map(|_| bench.subscriber(&CHANNELS)).collect();
        clients.iter().for_each(|client| client.set_nonblocking(true).unwrap());
        let mut sequences = [0; 3];
        for step in &steps {
            take_step(&mut bench, &mut clients, &mut sequences, step);
            assert_each_adds_up(&bench);
        }
        for _ in 0..20 {
            clients.iter_mut().for_each(|client| read(client, 1 << 20));
            bench.turn();
            assert_each_adds_up(&bench);
        }
        bench.assert_adds_up();
    }
}

/// A torn frame, marks and a queue: what each of them has waited for is known.
#[test]
fn the_census_knows_who_waits_longest() {
    let mut bench = Bench::new();
    let _clients: Vec<_> = (0..4).map(|_| bench.subscriber(&["a@trade", "b@ticker"])).collect();
    bench.shard.now = 1000;
    for (id, now_ms) in [(1, 300), (2, 100)] {
        bench.shard.leave_fast_path(id);
        let outbox = bench.shard.members[id as usize].outbox.as_mut().unwrap();
        outbox.blocked = true;
        outbox.newest(1, 0, 1, Pace { every_ms: 0, now: now_ms });
        outbox.newest(0, 0, 1, Pace { every_ms: 0, now: 900 });
        bench.shard.ledger.pending += 2;
    }
    bench.shard.members[3].tally.note(Fate::Conflated, 7);
    let first = |bench: &Bench, sort, limit| {
        let mut rows = bench.shard.census(Query { sort, limit });
        rows.sort_by_key(|row| std::cmp::Reverse(row.key));
        rows.into_iter().map(|row| (row.serial, row.key)).collect::<Vec<_>>()
    };
    let serial = |id: usize| bench.shard.members[id].serial;
    assert_eq!(first(&bench, Sort::Lag, 2), [(serial(2), 900), (serial(1), 700)]);
    assert_eq!(first(&bench, Sort::Conflated, 1), [(serial(3), 7)]);
    assert_eq!(first(&bench, Sort::Age, 1000).len(), 4);
    let (closed, other) = (serial(2), serial(1));
    assert!(bench.shard.evict(closed));
    assert!(!bench.shard.evict(closed), "it is closed already");
    assert_eq!(first(&bench, Sort::Lag, 2)[0], (other, 700));
    assert_eq!(first(&bench, Sort::Age, 1000).len(), 3);
    assert_eq!(bench.shard.census(Query { sort: Sort::Age, limit: 9 })[0].patterns, 0);
    bench.shard.obey(0, br#"{"op":"subscribe","channels":["*@trade"]}"#);
    let mut rows = bench.shard.census(Query { sort: Sort::Age, limit: 9 }).into_iter();
    assert!(rows.any(|row| row.patterns == 1 && row.channels == 2));
}
