//! What does it cost to fan a cycle's records out to its subscribers, sockets left aside?
//!
//! The load tool's scenarios in small; a cycle of 64 records of 200 bytes; throughput is in deliveries. Base: the plain loop, which
//! encodes each record once, appends its frame to a `Vec` of each subscriber of its channel, and offers each `Vec` at the cycle's end.
//! Outsider: `tokio::sync::broadcast`, a channel each and a receiver for each subscription; each frame is offered by itself, as the
//! obvious task a subscriber does. All offer to the same connections, which take everything and keep nothing: the kernel's share of
//! the work is not here. `tapecast` also reads the records out of its ring, counts each fate and times them.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use tapecast::subscriber::frame::{self, Opcode};
use tapecast::subscriber::sim::{self, SimClient, SimPipe};
use tokio::sync::broadcast::{self, Receiver, Sender};

mod rig;
#[path = "rig/scenario.rs"]
mod scenario;

use rig::{PAYLOAD, RECORDS_A_CYCLE, Rig};
use scenario::{SCENARIOS, Scenario};

fn all(criterion: &mut Criterion) {
    for scenario in &SCENARIOS {
        let mut group = criterion.benchmark_group(format!("cycle/{}", scenario.name));
        group.throughput(Throughput::Elements(1));
        measure(&mut group, "base", Lists::new(scenario));
        measure(&mut group, "outsider: tokio broadcast", Receivers::new(scenario));
        measure(&mut group, "tapecast", Rig::new(scenario));
        group.finish();
    }
}

/// Who fans records out.
trait Contender {
    /// What is before a cycle, and not timed.
    fn publish(&mut self) {}
    /// One cycle; how many deliveries it made.
    fn cycle(&mut self) -> u64;
}

impl Contender for Rig {
    fn publish(&mut self) {
        Self::publish(self);
    }

    fn cycle(&mut self) -> u64 {
        Self::cycle(self)
    }
}

/// Runs cycle after cycle; counts the time of a delivery.
#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn measure(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, mut contender: impl Contender) {
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|deliveries| {
            let (mut made, mut time) = (0, Duration::ZERO);
            while made < deliveries {
                contender.publish();
                let start = std::time::Instant::now();
                made += contender.cycle();
                time += start.elapsed();
            }
            time.mul_f64(deliveries as f64 / made as f64)
        });
    });
}

fn connect() -> (SimPipe, SimClient) {
    let (pipe, client) = sim::pipe();
    client.swallow();
    (pipe, client)
}

fn encode(out: &mut Vec<u8>) {
    frame::write_head(Opcode::Text, PAYLOAD.len(), out);
    out.extend_from_slice(black_box(&PAYLOAD));
}

fn offer(pipe: &SimPipe, bytes: &[u8]) {
    let taken = pipe.try_write(black_box(bytes)).expect("it takes everything");
    assert_eq!(taken, bytes.len());
}

/// The base: who wants each channel, and what each one gets in this cycle.
struct Lists {
    subscribers: Vec<Vec<usize>>,
    outboxes: Vec<(Vec<u8>, SimPipe, SimClient)>,
    next: usize,
}

impl Lists {
    fn new(scenario: &Scenario) -> Self {
        let mut subscribers = vec![Vec::new(); scenario.channels];
        for (subscriber, channels) in scenario.subscriptions().iter().enumerate() {
            channels.iter().for_each(|&channel| subscribers[channel].push(subscriber));
        }
        let outbox = |_| {
            let (pipe, client) = connect();
            (Vec::new(), pipe, client)
        };
        Self { subscribers, outboxes: (0..scenario.subscribers).map(outbox).collect(), next: 0 }
    }
}

impl Contender for Lists {
    fn cycle(&mut self) -> u64 {
        let (mut made, mut frame) = (0, Vec::new());
        for _ in 0..RECORDS_A_CYCLE {
            frame.clear();
            encode(&mut frame);
            for &subscriber in &self.subscribers[self.next] {
                self.outboxes[subscriber].0.extend_from_slice(&frame);
                made += 1;
            }
            self.next = (self.next + 1) % self.subscribers.len();
        }
        for (bytes, pipe, _) in self.outboxes.iter_mut().filter(|(bytes, ..)| !bytes.is_empty()) {
            offer(pipe, bytes);
            bytes.clear();
        }
        made
    }
}

/// The outsider: a sender a channel, and each subscriber's receivers.
struct Receivers {
    senders: Vec<Sender<Bytes>>,
    subscribers: Vec<(Vec<Receiver<Bytes>>, SimPipe, SimClient)>,
    next: usize,
}

impl Receivers {
    fn new(scenario: &Scenario) -> Self {
        let senders: Vec<_> = (0..scenario.channels).map(|_| broadcast::channel(RECORDS_A_CYCLE).0).collect();
        let subscriber = |channels: Vec<usize>| {
            let (pipe, client) = connect();
            (channels.iter().map(|&channel| senders[channel].subscribe()).collect(), pipe, client)
        };
        let subscribers = scenario.subscriptions().into_iter().map(subscriber).collect();
        Self { senders, subscribers, next: 0 }
    }
}

impl Contender for Receivers {
    fn cycle(&mut self) -> u64 {
        for _ in 0..RECORDS_A_CYCLE {
            let mut frame = Vec::with_capacity(PAYLOAD.len() + 4);
            encode(&mut frame);
            // It fails where nobody subscribes to the channel.
            let _ = self.senders[self.next].send(frame.into());
            self.next = (self.next + 1) % self.senders.len();
        }
        let mut made = 0;
        for (receivers, pipe, _) in &mut self.subscribers {
            for receiver in receivers {
                while let Ok(frame) = receiver.try_recv() {
                    offer(pipe, &frame);
                    made += 1;
                }
            }
        }
        made
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
