//! Polls against a small ring: whatever is published between the steps of a poll, each step of a sequence is explained, and nothing
//! comes twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::channel::{Catalogue, ChannelId, ChannelName, DeliveryRules};
use crate::record::{Format, Head};
use crate::ring::{Kind, Options, Publisher, Stamp};

const CHANNELS: usize = 6;

/// A feed of a few channels, each payload its record's sequence and something that fills.
struct Feed {
    publisher: Publisher,
    market: Market,
    infos: Vec<ChannelInfo>,
    sequences: Vec<u64>,
    ordinal: u64,
    fill: String,
}

impl Feed {
    fn new(ring_bytes: usize, payload_bytes: usize) -> Self {
        let body_bytes_max = Head::BYTES + payload_bytes + 32;
        let options = Options { bytes: ring_bytes, channels_max: 16, body_bytes_max, readers: 0 };
        let (publisher, ring) = crate::ring::new(&options).unwrap();
        let catalogue = Arc::new(Catalogue::new(DeliveryRules::default()));
        let market = Market::new(ring, catalogue, "e".into());
        let fill = "x".repeat(payload_bytes);
        Self { publisher, market, infos: Vec::new(), sequences: vec![0; CHANNELS], ordinal: 0, fill }
    }

    /// Publishes on a channel, which exists from then on.
    fn publish(&mut self, channel: usize) {
        if self.sequences[channel] == 0 {
            let name = ChannelName::parse(&format!("c{channel}@trade")).unwrap();
            self.market.catalogue.insert(&name, ChannelId { index: channel as u32, generation: 0 });
            self.infos.push(self.market.catalogue.find(name.as_str()).unwrap());
        }
        self.sequences[channel] += 1;
        self.ordinal += 1;
        let (sequence, ordinal) = (self.sequences[channel], self.ordinal);
        let stamp = Stamp {
            kind: Kind::Data,
            flags: 0,
            channel: channel as u32,
            generation: 0,
            sequence,
            ordinal,
            monotonic_ns: ordinal,
        };
        let head = Head { wall_us: 7, feed_sequence: None, payload_hash: 0, format: Format::Text, epoch: 0 }
            .to_bytes();
        let payload = format!(r#"[{sequence},"{}"]"#, self.fill);
        self.publisher.publish(&stamp, &[&head, payload.as_bytes()]).unwrap();
    }

    fn publish_all(&mut self, channels: &[usize]) {
        channels.iter().for_each(|&channel| self.publish(channel));
    }
}

/// A client that polls, and checks what it gets.
#[derive(Default)]
struct Client {
    cursor: Option<u64>,
    at: HashMap<String, u64>,
    /// Channels that the first answer was too short for: they begin where that ended.
    cut: HashSet<String>,
    records: usize,
    snapshots: usize,
    gaps: usize,
}

impl Client {
    fn take(&mut self, records: &[u8]) {
        let records: Vec<Value> =
            serde_json::from_str(&format!("[{}]", String::from_utf8_lossy(records))).unwrap();
        for record in records {
            let name = record["ch"].as_str().unwrap().to_owned();
            let begins = self.cut.contains(&name) && !self.at.contains_key(&name);
            let at = self.at.entry(name).or_default();
            if record["op"] == "gap" {
                assert!(begins || record["from"].as_u64() == Some(*at + 1), "behind {at}: {record}");
                *at = record["to"].as_u64().unwrap();
                self.gaps += 1;
                continue;
            }
            let sequence = record["seq"].as_u64().unwrap();
            assert_eq!(record["data"][0].as_u64(), Some(sequence), "the payload of another record");
            if record["snap"] == true {
                assert!(sequence > *at, "behind {at}: {record}");
                self.snapshots += 1;
            } else {
                assert!(begins || sequence == *at + 1, "behind {at}: {record}");
            }
            *at = sequence;
            self.records += 1;
        }
    }
}

/// One poll, with something published before each of its steps.
fn poll(feed: &mut Feed, client: &mut Client, between: [&[usize]; 3], limits: (usize, usize)) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    feed.publish_all(between[0]);
    let upto = newest(&feed.market, &feed.infos).max(client.cursor.unwrap_or(0));
    feed.publish_all(between[1]);
    let infos = feed.infos.clone();
    let haul = runtime.block_on(Haul::of(&feed.market, &infos, (client.cursor, upto), limits));
    feed.publish_all(between[2]);
    let mut out = Vec::new();
    let is_first = client.cursor.is_none();
    client.cursor = Some(runtime.block_on(haul.write(&feed.market, &infos, &mut out)));
    client.take(&out);
    if is_first && client.cursor < Some(upto) {
        let names = infos.iter().map(|info| info.name.as_str().to_owned());
        client.cut = names.filter(|name| !client.at.contains_key(name)).collect();
    }
}

fn busy() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..CHANNELS, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// A ring of a few hundred records, laps included; and with nothing more to come, everybody has the last of everything.
    #[test]
    fn every_step_is_explained(
        polls in prop::collection::vec((busy(), busy(), busy()), 1..20),
        ring_bytes in prop::sample::select(vec![1_usize << 14, 1 << 15, 1 << 18]),
        records_max in prop::sample::select(vec![1_usize, 7, 1000]),
        bytes_max in prop::sample::select(vec![1_usize, 300, 1 << 20]),
    ) {
        let (mut feed, mut client) = (Feed::new(ring_bytes, 40), Client::default());
        for (first, second, third) in &polls {
            poll(&mut feed, &mut client, [first, second, third], (records_max, bytes_max));
        }
        while client.cursor != Some(feed.ordinal) {
            let before = client.cursor;
            poll(&mut feed, &mut client, [&[]; 3], (records_max, bytes_max));
            prop_assert!(client.cursor > before, "a poll that goes no further");
        }
        for (channel, sequence) in feed.sequences.iter().enumerate().filter(|(_, sequence)| **sequence > 0) {
            prop_assert_eq!(client.at.get(&format!("c{channel}@trade")), Some(sequence));
        }
    }
}

#[test]
fn what_the_ring_holds_comes_whole() {
    let (mut feed, mut client) = (Feed::new(1 << 20, 10), Client::default());
    poll(&mut feed, &mut client, [&[0, 0, 1], &[0], &[1]], (1000, 1 << 20));
    assert_eq!((client.records, client.snapshots, client.cursor), (2, 2, Some(3)));
    poll(&mut feed, &mut client, [&[2], &[], &[0]], (1000, 1 << 20));
    assert_eq!(
        (client.records, client.snapshots, client.cursor),
        (5, 2, Some(6)),
        "the new channel's first is live"
    );
    poll(&mut feed, &mut client, [&[0; 100], &[], &[]], (1000, 1 << 20));
    assert_eq!((client.records, client.snapshots, client.gaps), (106, 2, 0));
}

#[test]
fn who_missed_more_than_the_limit_gets_a_snapshot() {
    let (mut feed, mut client) = (Feed::new(1 << 20, 10), Client::default());
    poll(&mut feed, &mut client, [&[0, 1], &[], &[]], (5, 1 << 20));
    poll(&mut feed, &mut client, [&[0, 0, 0, 0, 0], &[], &[]], (5, 1 << 20));
    assert_eq!((client.records, client.snapshots), (7, 2), "as many as the limit come");
    poll(&mut feed, &mut client, [&[0, 0, 0, 0, 0, 0, 1], &[], &[]], (5, 1 << 20));
    assert_eq!((client.records, client.snapshots), (9, 3), "one more, and the newest stands for all");
}

#[test]
fn what_is_overtaken_before_it_is_written_is_told() {
    let (mut feed, mut client) = (Feed::new(1 << 14, 40), Client::default());
    poll(&mut feed, &mut client, [&[0, 1], &[], &[]], (1000, 1 << 20));
    poll(&mut feed, &mut client, [&[0, 0, 0, 1], &[], &[0; 300]], (1000, 1 << 20));
    assert_eq!((client.gaps, client.at["c0@trade"]), (3, 4), "a gap a record");
    assert_eq!(client.at["c1@trade"], 2, "the latest of a quiet channel is never lost");
    poll(&mut feed, &mut client, [&[], &[], &[]], (1000, 1 << 20));
    assert_eq!(client.at["c0@trade"], 304);
}

#[test]
fn an_answer_holds_the_oldest_and_the_next_one_goes_on() {
    let (mut feed, mut client) = (Feed::new(1 << 23, 1), Client::default());
    poll(&mut feed, &mut client, [&[0, 1], &[], &[]], (1 << 20, 1 << 30));
    let many: Vec<usize> = (0..3 * RECORDS_MAX).map(|number| number % 2).collect();
    poll(&mut feed, &mut client, [&many, &[], &[]], (1 << 20, 1 << 30));
    assert_eq!((client.records, client.cursor), (2 + RECORDS_MAX, Some(2 + RECORDS_MAX as u64)));
    for _ in 0..2 {
        poll(&mut feed, &mut client, [&[]; 3], (1 << 20, 1 << 30));
    }
    assert_eq!((client.records, client.snapshots, client.gaps), (2 + 3 * RECORDS_MAX, 2, 0));
}
