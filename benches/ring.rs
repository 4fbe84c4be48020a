//! What does it cost to move one record of 250 bytes from the writer to a reader?
//!
//! `cargo bench --bench ring`; once through, unmeasured: `cargo bench --bench ring -- --test`.
//!
//! One thread publishes a batch and then reads it, so the figures are work per record, without the cache traffic
//! between two cores. Every contender takes the same 32 bytes of record head and 250 of payload in two pieces, and
//! every reader copies the 282 out into the same buffer. The base copies them into a `Vec` and out of it: what is left
//! above it is the price of sharing. `tapecast` is measured with its default size, where each record meets cold
//! memory, and with the footprint that the others have, where none does.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use disruptor::{BusySpin, Producer};
use std::cell::RefCell;
use std::hint::black_box;
use std::time::Duration;
use tapecast::ring::{self, Kind, Next, Options, Stamp};

const HEAD: [u8; 32] = [7; 32];
const PAYLOAD: [u8; 250] = [9; 250];
const RECORD_BYTES: usize = HEAD.len() + PAYLOAD.len();

/// Records published before they are read.
const BATCH: u64 = 256;
/// Places of those contenders that count in records.
const PLACES: usize = 1024;

/// Which part of the way is timed.
#[derive(Clone, Copy)]
enum Part {
    Publish,
    Read,
    Both,
}

/// A record as those contenders take it that move values of one size.
#[derive(Clone, Copy, Debug)]
struct Slot {
    bytes: [u8; 288],
    used: usize,
}

impl Slot {
    const EMPTY: Self = Self { bytes: [0; 288], used: 0 };

    fn fill(&mut self, head: &[u8], payload: &[u8]) {
        let (first, second) = self.bytes.split_at_mut(head.len());
        first.copy_from_slice(head);
        second[..payload.len()].copy_from_slice(payload);
        self.used = head.len() + payload.len();
    }

    fn filled(head: &[u8], payload: &[u8]) -> Self {
        let mut slot = Self::EMPTY;
        slot.fill(head, payload);
        slot
    }

    fn copy_out(&self, out: &mut Vec<u8>) {
        copy_out(&self.bytes[..self.used], out);
    }
}

fn copy_out(bytes: &[u8], out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(bytes);
}

fn all(criterion: &mut Criterion) {
    for (name, part) in [("publish", Part::Publish), ("read", Part::Read), ("publish_and_read", Part::Both)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(1));
        base(&mut group, part);
        tapecast(&mut group, part, "tapecast_512KiB", 1 << 19);
        tapecast(&mut group, part, "tapecast_256MiB", 1 << 28);
        tokio_broadcast(&mut group, part);
        crossbeam_bounded(&mut group, part);
        disruptor_poller(&mut group, part);
        group.finish();
    }
}

fn base(group: &mut BenchmarkGroup<'_, WallTime>, part: Part) {
    let records = RefCell::new(vec![Vec::with_capacity(RECORD_BYTES); BATCH as usize]);
    let mut place = 0;
    let publish = |head: &[u8], payload: &[u8]| {
        let record = &mut records.borrow_mut()[place % BATCH as usize];
        place += 1;
        copy_out(head, record);
        record.extend_from_slice(payload);
    };
    let drain = |out: &mut Vec<u8>| {
        for record in records.borrow().iter() {
            copy_out(record, out);
            black_box(&out);
        }
    };
    measure(group, "base", part, publish, drain);
}

fn tapecast(group: &mut BenchmarkGroup<'_, WallTime>, part: Part, name: &str, bytes: usize) {
    let options = Options { bytes, channels_max: 1024, body_bytes_max: 4096, readers: 1 };
    let (mut publisher, ring) = ring::new(&options).expect("the sizes fit");
    let mut reader = ring.reader(0);
    let mut ordinal = 0;
    let publish = |head: &[u8], payload: &[u8]| {
        ordinal += 1;
        // 200 channels in turn: a refresh now and then for each, and a table that is used.
        let (kind, channel, generation) = (Kind::Data, (ordinal % 200) as u32, 1);
        let stamp =
            Stamp { kind, flags: 0, channel, generation, sequence: ordinal, ordinal, monotonic_ns: ordinal };
        publisher.publish(&stamp, &[head, payload]).expect("the ring takes it");
    };
    let drain = |out: &mut Vec<u8>| {
        while let Next::Entry(entry) = reader.next() {
            out.clear();
            ring.copy_body(&entry, 0, out).expect("a batch laps nobody");
            black_box(&out);
        }
    };
    measure(group, name, part, publish, drain);
}

fn tokio_broadcast(group: &mut BenchmarkGroup<'_, WallTime>, part: Part) {
    let (sender, mut receiver) = tokio::sync::broadcast::channel(PLACES);
    let publish = |head: &[u8], payload: &[u8]| {
        sender.send(Slot::filled(head, payload)).expect("there is a receiver");
    };
    let drain = |out: &mut Vec<u8>| {
        while let Ok(slot) = receiver.try_recv() {
            slot.copy_out(out);
            black_box(&out);
        }
    };
    measure(group, "tokio_broadcast", part, publish, drain);
}

fn crossbeam_bounded(group: &mut BenchmarkGroup<'_, WallTime>, part: Part) {
    let (sender, receiver) = crossbeam_channel::bounded(PLACES);
    let publish = |head: &[u8], payload: &[u8]| {
        sender.try_send(Slot::filled(head, payload)).expect("there is room");
    };
    let drain = |out: &mut Vec<u8>| {
        while let Ok(slot) = receiver.try_recv() {
            slot.copy_out(out);
            black_box(&out);
        }
    };
    measure(group, "crossbeam_bounded", part, publish, drain);
}

fn disruptor_poller(group: &mut BenchmarkGroup<'_, WallTime>, part: Part) {
    let builder = disruptor::build_single_producer(PLACES, || Slot::EMPTY, BusySpin);
    let (mut poller, builder) = builder.new_event_poller();
    let mut producer = builder.build();
    let publish = |head: &[u8], payload: &[u8]| producer.publish(|slot| slot.fill(head, payload));
    let drain = |out: &mut Vec<u8>| {
        for slot in &mut poller.poll().expect("a batch was published") {
            slot.copy_out(out);
            black_box(&out);
        }
    };
    measure(group, "disruptor", part, publish, drain);
}

/// Publishes and drains batch after batch; counts the time of the part asked for, a record.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    part: Part,
    mut publish: impl FnMut(&[u8], &[u8]),
    mut drain: impl FnMut(&mut Vec<u8>),
) {
    let mut out = Vec::with_capacity(RECORD_BYTES);
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|records| {
            let batches = records.div_ceil(BATCH);
            let time: Duration = (0..batches).map(|_| batch(part, &mut publish, &mut drain, &mut out)).sum();
            assert_eq!(out.len(), RECORD_BYTES);
            time.mul_f64(records as f64 / (batches * BATCH) as f64)
        });
    });
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn batch(
    part: Part,
    publish: &mut impl FnMut(&[u8], &[u8]),
    drain: &mut impl FnMut(&mut Vec<u8>),
    out: &mut Vec<u8>,
) -> Duration {
    let start = std::time::Instant::now();
    for _ in 0..BATCH {
        publish(black_box(&HEAD), black_box(&PAYLOAD));
    }
    let published = start.elapsed();
    drain(out);
    let both = start.elapsed();
    match part {
        Part::Publish => published,
        Part::Read => both - published,
        Part::Both => both,
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
