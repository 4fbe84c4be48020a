//! The ring against a naive model that keeps everything, and against two readers that it laps.
//!
//! The model is asked after every step; threads come in only with the last test.

use super::*;
use crate::ring::entry::words_of;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const CHANNELS: u32 = 5;

/// What a step does to the ring.
#[derive(Clone, Copy, Debug)]
enum Step {
    Data {
        channel: u32,
        body_bytes: usize,
    },
    Status {
        channel: u32,
    },
    Expire {
        channel: u32,
    },
    /// The reader that is often late reads on.
    Catch,
}

/// A channel as the model knows it.
#[derive(Clone, Debug, Default)]
struct Channel {
    generation: u32,
    sequence: u64,
    value: Option<Value>,
    /// Sequence and position of what a walk back may find, oldest first.
    chain: Vec<(u64, Position)>,
}

#[derive(Clone, Debug)]
struct Value {
    ordinal: u64,
    body: Vec<u8>,
}

/// The ring and the model, side by side.
struct World {
    options: Options,
    publisher: Publisher,
    ring: Arc<Ring>,
    follower: Reader,
    late: Reader,
    late_seen: BTreeMap<(u32, u32), u64>,
    channels: Vec<Channel>,
    ordinal: u64,
}

impl World {
    fn new(bytes: usize, body_bytes_max: usize) -> Self {
        let options = Options { bytes, channels_max: CHANNELS, body_bytes_max, readers: 2 };
        let (publisher, ring) = build(&options);
        let (follower, late) = (ring.reader(0), ring.reader(1));
        let channels = vec![Channel::default(); CHANNELS as usize];
        Self { options, publisher, ring, follower, late, late_seen: BTreeMap::new(), channels, ordinal: 0 }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Data { channel, body_bytes } => self.data(channel, body_bytes),
            Step::Status { channel } => self.plain(Kind::Status, channel),
            Step::Expire { channel } => self.expire(channel),
            Step::Catch => self.catch_up_late(),
        }
        self.follow(None);
        self.check();
    }

    fn stamp(&self, kind: Kind, channel: u32, sequence: u64) -> Stamp {
        let generation = self.channels[channel as usize].generation;
        let ordinal = self.ordinal + 1;
        Stamp { kind, flags: 3, channel, generation, sequence, ordinal, monotonic_ns: ordinal * 10 }
    }

    fn data(&mut self, channel: u32, body_bytes: usize) {
        let sequence = self.channels[channel as usize].sequence + 1;
        let stamp = self.stamp(Kind::Data, channel, sequence);
        let body: Vec<u8> = (0..body_bytes).map(|i| (stamp.ordinal as usize * 7 + i) as u8).collect();
        let (first, second) = body.split_at(body_bytes / 3);
        let expected = self.expected_refusal(channel, body_bytes);
        assert_eq!(self.publisher.check(&stamp, body_bytes).err(), expected);
        let outcome = self.publisher.publish(&stamp, &[first, second]);
        assert_eq!(outcome.err(), expected);
        let Ok(position) = outcome else { return };
        self.ordinal = stamp.ordinal;
        self.follow(Some(position));
        let known = &mut self.channels[channel as usize];
        known.sequence = sequence;
        known.value = Some(Value { ordinal: stamp.ordinal, body });
        known.chain.push((sequence, position));
    }

    fn expected_refusal(&self, channel: u32, body_bytes: usize) -> Option<Refused> {
        let others: u64 =
            (0..CHANNELS).filter(|&other| other != channel).map(|other| self.live_bytes_of(other)).sum();
        if body_bytes > self.options.body_bytes_max {
            return Some(Refused::TooLarge);
        }
        (others + words_of(body_bytes) * 8 > self.options.bytes as u64 / 4).then_some(Refused::LiveBytes)
    }

    fn live_bytes_of(&self, channel: u32) -> u64 {
        let value = self.channels[channel as usize].value.as_ref();
        value.map_or(0, |value| words_of(value.body.len()) * 8)
    }

    fn plain(&mut self, kind: Kind, channel: u32) {
        let stamp = self.stamp(kind, channel, self.channels[channel as usize].sequence);
        let position = self.publisher.publish(&stamp, &[b"a state"]).unwrap();
        let in_chain = self.ring.entry(position).unwrap().previous.is_some();
        assert!(kind != Kind::Status || !in_chain, "a word about a channel is no link of its chain");
        self.follow(Some(position));
    }

    fn expire(&mut self, channel: u32) {
        self.plain(Kind::Expired, channel);
        let known = &mut self.channels[channel as usize];
        *known = Channel { generation: known.generation + 1, ..Channel::default() };
    }

    /// Reads what was published; refreshes before `until` are those that made room for the entry there, which the model
    /// does not know yet.
    fn follow(&mut self, until: Option<Position>) {
        loop {
            match self.follower.next() {
                Next::Entry(entry) if entry.kind == Some(Kind::Refresh) => self.learn_refresh(&entry),
                Next::Entry(entry) if Some(entry.position) == until => return,
                Next::Entry(entry) => panic!("not expected: {entry:?}"),
                Next::Empty => return assert_eq!(until, None, "an entry is missing"),
                Next::Lapped => panic!("one step cannot lap a reader"),
            }
        }
    }

    fn learn_refresh(&mut self, entry: &Entry) {
        let known = &mut self.channels[entry.channel as usize];
        let value = known.value.as_ref().expect("only what lives is published again");
        assert_eq!((entry.sequence, entry.ordinal), (known.sequence, value.ordinal));
        assert_eq!((entry.generation, entry.flags, entry.previous), (known.generation, 3, None));
        assert_eq!(entry.monotonic_ns, value.ordinal * 10);
        assert_eq!(body(&self.ring, entry), value.body);
        known.chain = vec![(entry.sequence, entry.position)];
    }

    fn catch_up_late(&mut self) {
        loop {
            match self.late.next() {
                Next::Entry(entry) => self.note_late(&entry),
                Next::Lapped => self.late.skip_to_tail(),
                Next::Empty => return,
            }
        }
    }

    /// Whatever was lapped: new records rise, and a refresh never says more than was published.
    fn note_late(&mut self, entry: &Entry) {
        let seen = self.late_seen.entry((entry.channel, entry.generation)).or_default();
        if entry.kind == Some(Kind::Data) {
            assert!(entry.sequence > *seen, "{entry:?} after {seen}");
        }
        *seen = entry.sequence.max(*seen);
    }

    fn check(&self) {
        let floor = self.ring.floor();
        assert!(floor + self.options.words() >= self.ring.tail());
        assert!(self.publisher.free_bytes() >= words_of(self.options.body_bytes_max) * 8);
        assert_eq!(
            self.publisher.live_bytes(),
            (0..CHANNELS).map(|channel| self.live_bytes_of(channel)).sum::<u64>()
        );
        for (channel, known) in (0..).zip(&self.channels) {
            self.check_channel(channel, known, floor);
        }
    }

    fn check_channel(&self, channel: u32, known: &Channel, floor: Position) {
        let latest = self.ring.latest(channel);
        let Some(value) = &known.value else { return assert_eq!(latest, None) };
        let latest = latest.expect("a channel's value is always there");
        assert!(latest.position >= floor);
        assert_eq!((latest.channel, latest.generation), (channel, known.generation));
        assert_eq!((latest.sequence, latest.ordinal), (known.sequence, value.ordinal));
        assert_eq!(body(&self.ring, &latest), value.body);
        let walked: Vec<_> = self.ring.walk_back(&latest, 0).map(|e| (e.sequence, e.position)).collect();
        let expected: Vec<_> = known.chain.iter().rev().copied().filter(|&(_, at)| at >= floor).collect();
        assert_eq!(walked, expected);
        let after = known.sequence.saturating_sub(2);
        assert_eq!(self.ring.walk_back(&latest, after).count(), expected.len().min(2));
    }
}

fn body(ring: &Ring, entry: &Entry) -> Vec<u8> {
    let mut out = Vec::new();
    ring.copy_body(entry, 0, &mut out).unwrap();
    out
}

fn steps(body_bytes_max: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        // Most records on one channel, so that the others fall quiet and must be refreshed.
        12 => (0..body_bytes_max).prop_map(|body_bytes| Step::Data { channel: 0, body_bytes }),
        3 => (1..CHANNELS, 0..=body_bytes_max + 1).prop_map(|(channel, body_bytes)| Step::Data { channel, body_bytes }),
        1 => (0..CHANNELS).prop_map(|channel| Step::Status { channel }),
        1 => (0..CHANNELS).prop_map(|channel| Step::Expire { channel }),
        1 => Just(Step::Catch),
    ];
    prop::collection::vec(step, 0..300)
}

proptest! {
    /// 1 KiB: three or four channels fill its quarter, so refusals and forced reclaiming are frequent.
    #[test]
    fn a_crowded_ring_agrees_with_the_model(steps in steps(20)) {
        let mut world = World::new(1 << 10, 20);
        steps.into_iter().for_each(|step| world.step(step));
    }

    /// 8 KiB holds the largest record 64 times: a ring that `new` takes.
    #[test]
    fn a_roomy_ring_agrees_with_the_model(steps in steps(80)) {
        let mut world = World::new(1 << 13, 80);
        prop_assert_eq!(world.options.validate(), Ok(()));
        steps.into_iter().for_each(|step| world.step(step));
    }
}

/// Every row of six steps out of six, in a ring of nine entries that has just gone round.
#[test]
fn every_short_row_of_steps_agrees_with_the_model() {
    let steps = [
        Step::Data { channel: 0, body_bytes: 0 },
        Step::Data { channel: 0, body_bytes: 16 },
        Step::Data { channel: 1, body_bytes: 9 },
        Step::Status { channel: 1 },
        Step::Expire { channel: 1 },
        Step::Catch,
    ];
    for row in 0..steps.len().pow(6) {
        let mut world = World::new(64 * 8, 16);
        world.step(steps[2]);
        (0..7).for_each(|_| world.step(steps[0]));
        (0..6).for_each(|place| world.step(steps[row / steps.len().pow(place) % steps.len()]));
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let options = |bytes, body_bytes_max| Options { bytes, channels_max: 1, body_bytes_max, readers: 0 };
    assert_eq!(new(&options(5000, 8)).err(), Some(InvalidOptions::NotPowerOfTwo));
    assert_eq!(new(&options(0, 8)).err(), Some(InvalidOptions::NotPowerOfTwo));
    assert_eq!(new(&options(4096, 81)).err(), Some(InvalidOptions::BodyTooLarge));
    assert!(new(&options(4096, 80)).is_ok());
}

#[test]
fn an_overwritten_body_leaves_the_bytes_before_it_alone() {
    let mut world = World::new(1 << 10, 20);
    world.step(Step::Data { channel: 0, body_bytes: 20 });
    let first = world.ring.latest(0).unwrap();
    let mut out = b"before".to_vec();
    world.ring.copy_body(&first, 16, &mut out).unwrap();
    assert_eq!(out.len(), 6 + 4);
    (0..20).for_each(|_| world.step(Step::Data { channel: 0, body_bytes: 20 }));
    assert_eq!(world.ring.copy_body(&first, 0, &mut out), Err(Lapped));
    assert_eq!(out.len(), 6 + 4);
    assert_eq!(world.ring.body_words::<2>(&first), Err(Lapped));
    assert_eq!(world.ring.entry(first.position), Err(Lapped));
    assert_eq!(world.ring.walk_back(&first, 0).count(), 1);
}

#[test]
fn words_behind_a_body_read_as_zero() {
    let mut world = World::new(1 << 10, 20);
    world.step(Step::Data { channel: 0, body_bytes: 10 });
    let entry = world.ring.latest(0).unwrap();
    world.step(Step::Data { channel: 0, body_bytes: 10 });
    let [first, second, third] = world.ring.body_words(&entry).unwrap();
    assert_eq!(&[first.to_le_bytes(), second.to_le_bytes()].concat()[..10], body(&world.ring, &entry));
    assert_eq!((second >> 16, third), (0, 0));
}

#[test]
fn history_reaches_back_to_the_oldest_entry_that_is_no_refresh() {
    let mut world = World::new(1 << 10, 20);
    assert_eq!(world.ring.oldest_ns(), None);
    world.step(Step::Data { channel: 1, body_bytes: 0 });
    for _ in 0..100 {
        world.step(Step::Data { channel: 0, body_bytes: 0 });
        let oldest = world.ring.oldest_ns().unwrap() / 10;
        let held = world.ordinal - oldest + 1;
        assert!(world.ordinal < 20 || (10..=21).contains(&held), "{held} records held at {}", world.ordinal);
    }
}

#[test]
fn a_sleeper_is_woken_once_and_stays_awake_when_something_came() {
    let mut world = World::new(1 << 10, 20);
    let woken = |world: &World| {
        let mut woken = Vec::new();
        world.publisher.wake_sleepers(|reader| woken.push(reader));
        woken
    };
    assert!(world.late.doze());
    world.step(Step::Data { channel: 0, body_bytes: 0 });
    assert_eq!(woken(&world), [1]);
    assert!(woken(&world).is_empty());
    assert!(!world.late.doze(), "something came");
    assert!(woken(&world).is_empty());
    world.catch_up_late();
    assert!(world.late.doze());
    world.late.rouse();
    assert!(woken(&world).is_empty());
}

/// What a reader of the stress test saw.
#[derive(Default)]
struct Tally {
    seen: u64,
    missed: u64,
    ordinal: u64,
    lapped: bool,
}

impl Tally {
    /// Drains until nothing comes and nobody writes; checks each body against its header.
    fn drain(mut reader: Reader, seen: &AtomicU64, done: &AtomicBool) -> Self {
        let mut tally = Self::default();
        let mut body = Vec::new();
        loop {
            let done = done.load(Ordering::Acquire);
            match reader.next() {
                Next::Entry(entry) => tally.take(&reader, &entry, &mut body),
                Next::Lapped => tally.skip(&mut reader),
                Next::Empty if done => return tally,
                Next::Empty => std::thread::yield_now(),
            }
            seen.store(tally.seen, Ordering::Relaxed);
        }
    }

    fn skip(&mut self, reader: &mut Reader) {
        self.lapped = true;
        reader.skip_to_tail();
    }

    fn take(&mut self, reader: &Reader, entry: &Entry, body: &mut Vec<u8>) {
        body.clear();
        if reader.ring().copy_body(entry, 0, body).is_ok() {
            assert!(body.iter().all(|&byte| byte == entry.ordinal as u8), "torn: {entry:?} {body:?}");
            assert_eq!(body.len() as u64, entry.ordinal % 200, "torn: {entry:?}");
        }
        if entry.kind == Some(Kind::Data) {
            let missed = entry.ordinal.checked_sub(self.ordinal + 1).expect("ordinals rise");
            assert!(missed == 0 || self.lapped, "{missed} records went missing unsaid before {entry:?}");
            self.missed += missed;
            self.seen += 1;
            self.ordinal = entry.ordinal;
            self.lapped = false;
        }
    }
}

/// Tells the readers that nothing more comes, also when the writer fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A ring of 16 KiB under two threads that copy while it goes round some thousand times. On a busy machine the writer
/// goes on until both have seen enough to have been in its way, up to a bound.
#[test]
fn two_readers_count_every_record_and_tear_none() {
    const RECORDS: u64 = 200_000;
    const ENOUGH: u64 = 1_000;
    let options = Options { bytes: 1 << 14, channels_max: 16, body_bytes_max: 200, readers: 2 };
    let (mut publisher, ring) = new(&options).unwrap();
    let seen = [const { AtomicU64::new(0) }; 2];
    let done = AtomicBool::new(false);
    let (last, tallies) = std::thread::scope(|scope| {
        let done = &done;
        let drains = [0, 1].map(|number| {
            let (reader, seen) = (ring.reader(number), &seen[number]);
            scope.spawn(move || Tally::drain(reader, seen, done))
        });
        let writing = Done(done);
        let last = (1..=50 * RECORDS)
            .inspect(|&ordinal| publish_checkable(&mut publisher, ordinal))
            .find(|ordinal| *ordinal >= RECORDS && seen.iter().all(|n| n.load(Ordering::Relaxed) >= ENOUGH));
        drop(writing);
        (last.expect("both readers came in time"), drains.map(|drain| drain.join().unwrap()))
    });
    for tally in tallies {
        let missed_last = last - tally.ordinal;
        assert!(missed_last == 0 || tally.lapped, "{missed_last} records went missing unsaid at the end");
        assert_eq!(tally.seen + tally.missed + missed_last, last);
        assert!(tally.seen >= ENOUGH);
    }
}

/// A record whose body says of each of its bytes and of its length to which header it belongs.
fn publish_checkable(publisher: &mut Publisher, ordinal: u64) {
    // Fifteen channels are quiet: they get a record now and then, and refreshes in between.
    let channel = if ordinal % 1_000 < 15 { ordinal % 1_000 + 1 } else { 0 } as u32;
    let (kind, generation) = (Kind::Data, 1);
    let stamp =
        Stamp { kind, flags: 0, channel, generation, sequence: ordinal, ordinal, monotonic_ns: ordinal };
    let body = [ordinal as u8; 200];
    publisher.publish(&stamp, &[&body[..(ordinal % 200) as usize]]).unwrap();
}
