//! What does it cost to subscribe, to unsubscribe, and to find who gets a record?
//!
//! Base: a `Vec` of subscribers a channel, searched to take one out. Outsider: the standard library's map from names to sets, as a
//! server has it that is written in an afternoon. `tapecast` sorts each subscriber among those with the same channels on the way, so
//! that a cycle gathers once for all of them: that is the price of its subscribing, `fanout` shows what it buys. In `hot` and `all`
//! everybody has the same channels, in `dash` and `wide` nobody has. Subscribing and unsubscribing count a subscriber with all its
//! channels, finding counts a record.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use tapecast::channel::{ChannelId, ChannelInfo, ChannelName, Delivery, Rule};
use tapecast::shard::drive::LoneIndex;

#[path = "rig/scenario.rs"]
mod scenario;

use scenario::SCENARIOS;

/// Of the subscribers, one in so many leaves in a round and comes again.
const CHANGING_ONE_IN: usize = 10;
/// Records in a round.
const RECORDS: usize = 200;

/// Which part of a round is timed.
#[derive(Clone, Copy)]
enum Part {
    Subscribe,
    Unsubscribe,
    Find,
}

/// Who keeps who wants what. Subscribers and channels go by their numbers.
trait Contender {
    fn subscribe(&mut self, subscriber: u32, channels: &[usize]);
    fn unsubscribe(&mut self, subscriber: u32, channels: &[usize]);
    /// Looks at each that gets a record of a channel; how many there are.
    fn find(&mut self, channel: usize) -> usize;
}

/// Lists by the channel's number.
struct Lists(Vec<Vec<u32>>);

impl Contender for Lists {
    fn subscribe(&mut self, subscriber: u32, channels: &[usize]) {
        channels.iter().for_each(|&channel| self.0[channel].push(subscriber));
    }

    fn unsubscribe(&mut self, subscriber: u32, channels: &[usize]) {
        for &channel in channels {
            let list = &mut self.0[channel];
            let place = list.iter().position(|&other| other == subscriber).expect("it had subscribed");
            list.swap_remove(place);
        }
    }

    fn find(&mut self, channel: usize) -> usize {
        self.0[channel].iter().map(black_box).count()
    }
}

/// Sets by the channel's name.
struct Sets {
    names: Vec<String>,
    sets: HashMap<String, HashSet<u32>>,
}

impl Contender for Sets {
    fn subscribe(&mut self, subscriber: u32, channels: &[usize]) {
        for &channel in channels {
            self.sets.entry(self.names[channel].clone()).or_default().insert(subscriber);
        }
    }

    fn unsubscribe(&mut self, subscriber: u32, channels: &[usize]) {
        for &channel in channels {
            let set = self.sets.get_mut(&self.names[channel]).expect("it had subscribed");
            set.remove(&subscriber);
            if set.is_empty() {
                self.sets.remove(&self.names[channel]);
            }
        }
    }

    fn find(&mut self, channel: usize) -> usize {
        self.sets.get(&self.names[channel]).map_or(0, |set| set.iter().map(black_box).count())
    }
}

/// Ours.
struct Cohorts {
    index: LoneIndex,
    channels: Vec<ChannelInfo>,
    /// The cohort where each subscriber is.
    cohorts: Vec<u32>,
}

impl Contender for Cohorts {
    fn subscribe(&mut self, subscriber: u32, channels: &[usize]) {
        let channels: Vec<_> = channels.iter().map(|&channel| self.channels[channel].clone()).collect();
        self.cohorts[subscriber as usize] = self.index.subscribe(subscriber, &channels);
    }

    fn unsubscribe(&mut self, subscriber: u32, _channels: &[usize]) {
        self.index.unsubscribe(subscriber, self.cohorts[subscriber as usize]);
    }

    fn find(&mut self, channel: usize) -> usize {
        let mut count = 0;
        self.index.find(self.channels[channel].id, |subscriber| {
            black_box(subscriber);
            count += 1;
        });
        count
    }
}

fn name(place: usize) -> String {
    format!("s{place}usdt@trade")
}

fn info(place: usize) -> ChannelInfo {
    let name = ChannelName::parse(&name(place)).expect("a name");
    let id = ChannelId { index: place as u32, generation: 0 };
    ChannelInfo { name, id, rule: Rule::new(Delivery::Every), stale: false }
}

fn all(criterion: &mut Criterion) {
    for scenario in &SCENARIOS {
        let wanted = scenario.subscriptions();
        let parts =
            [("subscribe", Part::Subscribe), ("unsubscribe", Part::Unsubscribe), ("find", Part::Find)];
        for (name_of_part, part) in parts {
            let mut group = criterion.benchmark_group(format!("{name_of_part}/{}", scenario.name));
            group.throughput(Throughput::Elements(1));
            measure(&mut group, "base", part, &wanted, Lists(vec![Vec::new(); scenario.channels]));
            let names = (0..scenario.channels).map(name).collect();
            measure(&mut group, "outsider: sets", part, &wanted, Sets { names, sets: HashMap::new() });
            let channels = (0..scenario.channels).map(info).collect();
            let cohorts = vec![0; scenario.subscribers];
            let ours = Cohorts { index: LoneIndex::default(), channels, cohorts };
            measure(&mut group, "tapecast", part, &wanted, ours);
            group.finish();
        }
    }
}

/// Everybody comes; then round after round some leave, come again, and records are on all channels in turn. Counts the time of the
/// part asked for.
fn measure(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    part: Part,
    wanted: &[Vec<usize>],
    mut contender: impl Contender,
) {
    for (subscriber, channels) in (0..).zip(wanted) {
        contender.subscribe(subscriber, channels);
    }
    let channels = wanted.iter().flatten().max().map_or(0, |last| last + 1);
    let due: usize = (0..RECORDS)
        .map(|record| wanted.iter().filter(|list| list.contains(&(record % channels))).count())
        .sum();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|items| {
            let in_a_round = match part {
                Part::Find => RECORDS,
                Part::Subscribe | Part::Unsubscribe => wanted.len().div_ceil(CHANGING_ONE_IN),
            };
            let rounds = items.div_ceil(in_a_round as u64);
            let time: Duration =
                (0..rounds).map(|_| round(part, wanted, channels, due, &mut contender)).sum();
            time.mul_f64(items as f64 / (rounds * in_a_round as u64) as f64)
        });
    });
}

#[expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
fn round(
    part: Part,
    wanted: &[Vec<usize>],
    channels: usize,
    due: usize,
    contender: &mut impl Contender,
) -> Duration {
    let start = std::time::Instant::now();
    for (subscriber, channels) in (0..).zip(wanted).step_by(CHANGING_ONE_IN) {
        contender.unsubscribe(subscriber, channels);
    }
    let left = start.elapsed();
    for (subscriber, channels) in (0..).zip(wanted).step_by(CHANGING_ONE_IN) {
        contender.subscribe(subscriber, channels);
    }
    let came = start.elapsed();
    let found: usize = (0..RECORDS).map(|record| contender.find(record % channels)).sum();
    let end = start.elapsed();
    assert_eq!(found, due);
    match part {
        Part::Unsubscribe => left,
        Part::Subscribe => came - left,
        Part::Find => end - came,
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
