//! What does it cost to encode a record of 200 bytes in each shape, beside copying its payload?
//!
//! Base case: the payload alone, copied into a warm arena; the shapes come with the head of their frame. Outsider: the frame of
//! fastwebsockets around the payload, written into a warm buffer. A shard encodes a record once a shape a cycle, so this is paid by a
//! shape and not by a subscriber.

use std::hint::black_box;

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use fastwebsockets::{Frame, Payload};
use tapecast::dialect::Shape;
use tapecast::dialect::shape::{Label, Mark};
use tapecast::subscriber::frame::{self, Opcode};

const PAYLOAD: [u8; 200] = [b'7'; 200];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    copy(&mut group);
    for (name, shape) in
        [("payload", Shape::Payload), ("combined", Shape::Combined), ("native", Shape::Native)]
    {
        encode(&mut group, name, shape);
    }
    outsider(&mut group);
    group.finish();
    criterion.final_summary();
}

fn copy(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut arena = Vec::with_capacity(1024);
    group.bench_function("base: copy", |bencher| {
        bencher.iter(|| {
            arena.clear();
            arena.extend_from_slice(black_box(&PAYLOAD));
            black_box(arena.len())
        });
    });
}

fn encode(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, shape: Shape) {
    let label = Label {
        channel: "btcusdt@depth@100ms",
        sequence: 1_234_567,
        wall_us: 1_723_161_254_024_619,
        mark: Mark::Live,
        resume: None,
    };
    let (mut arena, mut opening) = (Vec::with_capacity(1024), Vec::with_capacity(256));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            arena.clear();
            opening.clear();
            shape.open(black_box(&label), &mut opening);
            let bytes = opening.len() + PAYLOAD.len() + shape.close().len();
            frame::write_head(Opcode::Text, bytes, &mut arena);
            arena.extend_from_slice(&opening);
            arena.extend_from_slice(black_box(&PAYLOAD));
            arena.extend_from_slice(shape.close());
            black_box(arena.len())
        });
    });
}

fn outsider(group: &mut BenchmarkGroup<'_, WallTime>) {
    let mut arena = Vec::with_capacity(1024);
    group.bench_function("outsider: fastwebsockets", |bencher| {
        bencher.iter(|| {
            let mut frame = Frame::text(Payload::Borrowed(black_box(&PAYLOAD)));
            black_box(frame.write(&mut arena).len())
        });
    });
}
