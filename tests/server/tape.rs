//! A tape: the records of a recording, or generated ones where it is not there, and the feed that plays it.
//!
//! Runs on the test's thread. Payloads are kept as they stand in the file. Invariant: no two records of a tape have the same
//! payload, so a payload tells its record.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Feed;
use crate::harness::now;

/// The recording that issue and README name; 332,200 messages of 24 channels.
const RECORDING: &str = "binance_6inst_20240808.jsonl.gz";

/// What a build without optimization gets through in seconds.
const RECORDS_MAX: usize = if cfg!(debug_assertions) { 10_000 } else { usize::MAX };

pub(crate) struct Tape {
    pub(crate) channels: Vec<Channel>,
    pub(crate) records: Vec<Record>,
    bytes: Vec<u8>,
    by_payload: HashMap<u64, u32, foldhash::fast::FixedState>,
}

pub(crate) struct Channel {
    pub(crate) name: String,
    /// Its records, as places on the tape.
    pub(crate) records: Vec<u32>,
    pub(crate) payload_bytes: usize,
}

impl Channel {
    /// Delivered by the defaults as `latest`: of the kinds on a tape, only the best prices are.
    pub(crate) fn is_latest(&self) -> bool {
        self.name.ends_with("@bookTicker")
    }
}

pub(crate) struct Record {
    pub(crate) channel: usize,
    /// Its place among its channel's records.
    pub(crate) number: usize,
    at_ns: u64,
    span: Range<usize>,
}

#[derive(Deserialize)]
struct Line<'a> {
    t: u64,
    venue: &'a str,
    channel: Option<&'a str>,
    #[serde(borrow)]
    raw: &'a RawValue,
}

/// The exchange's combined envelope: the payload is inside it.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "stream")]
    _stream: &'a str,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Tape {
    /// The recording where it is there, else records generated from `seed`.
    pub(crate) fn load(seed: u64) -> Self {
        match File::open(recording()) {
            Ok(file) => Self::read(file),
            Err(_) => Self::generate(seed),
        }
    }

    fn empty() -> Self {
        Self { channels: Vec::new(), records: Vec::new(), bytes: Vec::new(), by_payload: HashMap::default() }
    }

    fn read(file: File) -> Self {
        let (mut tape, mut names) = (Self::empty(), HashMap::new());
        for line in BufReader::new(GzDecoder::new(file)).lines().take(RECORDS_MAX) {
            let line = line.unwrap();
            let Line { t, venue, channel, raw } = serde_json::from_str(&line).unwrap();
            let Some(channel) = channel else { continue };
            let payload = serde_json::from_str(raw.get()).map_or(raw, |Envelope { data, .. }| data);
            let name = format!("{venue}:{channel}");
            let channel = *names.entry(name).or_insert_with_key(|name| tape.add_channel(name));
            tape.push(channel, t, payload.get());
        }
        println!("tape: {} records of {} channels from {RECORDING}", tape.records.len(), tape.channels.len());
        tape
    }

    /// Bursts, sizes from 60 bytes to some thousands, few channels with most records: as a market is.
    fn generate(seed: u64) -> Self {
        const KINDS: [&str; 3] = ["bookTicker", "trade", "depth"];
        println!("tape: generated with seed {seed}");
        let (mut tape, mut random) = (Self::empty(), Random::new(seed));
        for number in 0..24 {
            tape.add_channel(&format!("generated:s{}usdt@{}", number / 3, KINDS[number % 3]));
        }
        let mut at_ns = 0;
        for number in 0..RECORDS_MAX.min(60_000) {
            let channel = random.below(24).min(random.below(24));
            let longest = [40, 80, 4000][channel % 3];
            let filling = "0123456789".repeat(1 + random.below(longest) / 10);
            let payload = format!(r#"{{"e":{channel},"E":{number},"p":"0.10","b":["{filling}"]}}"#);
            tape.push(channel, at_ns, &payload);
            at_ns += if random.below(10) == 0 { 10_000_000 } else { 50_000 };
        }
        tape
    }

    fn add_channel(&mut self, name: &str) -> usize {
        self.channels.push(Channel { name: name.to_owned(), records: Vec::new(), payload_bytes: 0 });
        self.channels.len() - 1
    }

    fn push(&mut self, channel: usize, at_ns: u64, payload: &str) {
        let place = self.records.len() as u32;
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload.as_bytes());
        let of = &mut self.channels[channel];
        let number = of.records.len();
        of.records.push(place);
        of.payload_bytes += payload.len();
        self.records.push(Record { channel, number, at_ns, span: start..self.bytes.len() });
        let before = self.by_payload.insert(hash(payload.as_bytes()), place);
        assert_eq!(before, None, "two records with the payload {payload}");
    }

    pub(crate) fn payload(&self, place: usize) -> &[u8] {
        &self.bytes[self.records[place].span.clone()]
    }

    /// The record that has this payload.
    pub(crate) fn find(&self, payload: &[u8]) -> Option<&Record> {
        let place = *self.by_payload.get(&hash(payload))? as usize;
        (self.payload(place) == payload).then(|| &self.records[place])
    }

    /// Publishes everything: at full speed, or so many times faster than it was recorded.
    pub(crate) fn play(&self, feed: &mut Feed, speed: Option<u32>) {
        let started = now();
        for (place, record) in self.records.iter().enumerate() {
            if let Some(speed) = speed {
                let since = Duration::from_nanos(record.at_ns - self.records[0].at_ns);
                wait_until(started + since / speed, feed);
            }
            feed.write(self.channels[record.channel].name.as_bytes());
            feed.write(b" ");
            feed.write(self.payload(place));
            feed.write(b"\n");
        }
        assert_eq!(feed.ping(), self.records.len() as u64);
    }
}

#[expect(clippy::disallowed_methods, reason = "the recording's own pace; no state is waited for")]
fn wait_until(due: Instant, feed: &mut Feed) {
    if let Some(early) = due.checked_duration_since(now()) {
        feed.flush();
        std::thread::sleep(early);
    }
}

#[expect(clippy::disallowed_methods, reason = "where the recordings lie is not the program's configuration")]
fn recording() -> PathBuf {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data").to_owned();
    let folder = std::env::var("TAPECAST_DATA").unwrap_or_else(|_| beside());
    PathBuf::from(folder).join(RECORDING)
}

fn hash(payload: &[u8]) -> u64 {
    use std::hash::BuildHasher as _;
    foldhash::fast::FixedState::default().hash_one(payload)
}

/// Numbers from a seed: splitmix64.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
