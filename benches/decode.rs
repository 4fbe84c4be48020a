//! What does it cost to read one record of 200 bytes, from the socket's bytes to a channel and a checked payload?
//!
//! Base: finding the ends of the lines and nothing else. Outsider: serde_json reading the payload into a `Value`, the
//! obvious way to check it; where the channel must be looked for in the JSON, serde_json and simd-json reading all of it into a tree.
//! There the base is a copy of the text, without which simd-json reads nothing. Throughput is in records, so that the figures compare with "records a second".

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use simd_json::prelude::ValueObjectAccessAsScalar;
use tapecast::ingest::decode::Decoder;
use tapecast::ingest::envelope;
use tapecast::ingest::line::{self, Line, Parsed, Splitter};

const RECORDS: usize = 1_000;
const PAYLOAD_BYTES: usize = 200;

/// A trade of 200 bytes, as the exchange writes one, with its length made up by the last field.
fn payload(number: usize) -> String {
    let symbol = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT"][number % 4];
    let mut text = format!(
        r#"{{"e":"trade","E":{},"s":"{symbol}","t":{},"p":"61837.63000000","q":"0.02000000","T":{},"m":true,"M":true,"x":""#,
        1_723_161_255_343 + number,
        3_735_683_259 + number,
        1_723_161_255_342 + number,
    );
    text.extend(std::iter::repeat_n('0', PAYLOAD_BYTES - text.len() - 2));
    text.push_str("\"}");
    text
}

fn lines(name: impl Fn(usize) -> String) -> Vec<u8> {
    (0..RECORDS)
        .map(|number| format!("{} {}\n", name(number), payload(number)))
        .collect::<String>()
        .into_bytes()
}

/// Feeds all lines through a splitter, 64 KiB at a time as a socket would, and returns how many were `good`.
fn split(splitter: &mut Splitter, mut feed: &[u8], good: impl Fn(&[u8]) -> bool) -> usize {
    let mut count = 0;
    while !feed.is_empty() {
        let room = splitter.room();
        let bytes = room.len().min(feed.len());
        room[..bytes].copy_from_slice(&feed[..bytes]);
        splitter.filled(bytes);
        feed = &feed[bytes..];
        while let Some(line) = splitter.next_line() {
            count += usize::from(matches!(line, Line::Whole(line) if good(line)));
        }
    }
    count
}

fn line_records(c: &mut Criterion) {
    let mut group = c.benchmark_group("line");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let plain = lines(|number| format!("s{}usdt@trade", number % 200));
    let sequenced = lines(|number| format!("s{}usdt@trade#{number}", number % 200));
    let mut splitter = Splitter::new(1 << 20);
    let mut all =
        |feed: &[u8], good: fn(&[u8]) -> bool| assert_eq!(split(&mut splitter, feed, good), RECORDS);
    group.bench_function("base: split only", |b| b.iter(|| all(&plain, |line| !line.is_empty())));
    let is_record = |line: &[u8]| matches!(line::parse(black_box(line)), Ok(Parsed::Record(_)));
    group.bench_function("split, parse, validate", |b| b.iter(|| all(&plain, is_record)));
    group.bench_function("split, parse, validate, with sequences", |b| b.iter(|| all(&sequenced, is_record)));
    let as_value = |line: &[u8]| {
        let payload = line.splitn(2, |byte| *byte == b' ').nth(1).unwrap_or(b"");
        serde_json::from_slice::<serde_json::Value>(payload).is_ok()
    };
    group.bench_function("outsider: serde_json::Value", |b| b.iter(|| all(&plain, as_value)));
    group.finish();
}

fn envelopes(c: &mut Criterion) {
    let mut group = c.benchmark_group("envelope");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let combined: Vec<String> = (0..RECORDS)
        .map(|number| format!(r#"{{"stream":"btcusdt@trade","data":{}}}"#, payload(number)))
        .collect();
    group.bench_function("combined form", |b| {
        b.iter(|| assert!(combined.iter().all(|text| envelope::parse(black_box(text)).is_ok())));
    });
    let as_value = |text: &String| {
        let value: serde_json::Value = serde_json::from_str(black_box(text)).expect("it is JSON");
        value["stream"].is_string() && value["data"].is_object()
    };
    group
        .bench_function("outsider: serde_json::Value", |b| b.iter(|| assert!(combined.iter().all(as_value))));
    copies(&mut group, &combined);
    group.finish();
}

fn copies(group: &mut BenchmarkGroup<'_, WallTime>, texts: &[String]) {
    let mut copy = Vec::with_capacity(1024);
    group.bench_function("base: copy", |b| {
        b.iter(|| {
            for text in texts {
                copy.clear();
                copy.extend_from_slice(black_box(text).as_bytes());
            }
        });
    });
}

fn derivation(c: &mut Criterion) {
    let mut group = c.benchmark_group("channel of a raw event");
    group.throughput(Throughput::Elements(RECORDS as u64));
    let events: Vec<String> = (0..RECORDS).map(payload).collect();
    let mut decoder = Decoder::default();
    group.bench_function("trade", |b| {
        b.iter(|| assert!(events.iter().all(|event| decoder.channel(black_box(event)).is_some())));
    });
    copies(&mut group, &events);
    let mut copy = Vec::with_capacity(1024);
    group.bench_function("trade, outsider: simd_json tree", |b| {
        b.iter(|| {
            for event in &events {
                copy.clear();
                copy.extend_from_slice(black_box(event).as_bytes());
                let tree = simd_json::to_borrowed_value(&mut copy).expect("it is JSON");
                assert!(tree.get_str("s").is_some() && tree.get_str("e").is_some());
            }
        });
    });
    let kline =
        r#"{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":1,"T":2,"s":"BTCUSDT","i":"1m","o":"1","c":"1"}}"#;
    group.bench_function("kline", |b| {
        b.iter(|| assert!((0..RECORDS).all(|_| decoder.channel(black_box(kline)).is_some())));
    });
    group.finish();
}

criterion_group!(benches, line_records, envelopes, derivation);
criterion_main!(benches);
