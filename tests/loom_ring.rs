//! The ring's orderings, explored by loom: what must hold, and that each ordering is needed for it.
//!
//! `cargo test --release --features loom --test loom_ring`.
//! Every model is one writer (the main thread) and one reader over a ring of a few entries, filled before the
//! reader starts up to the step of interest. Invariant: a model that holds has a twin that fails, for each thing weakened.

use loom::thread;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tapecast::ring::weaken::{Weak, without};
use tapecast::ring::{self, Entry, Kind, Lapped, Next, Options, Publisher, Ring, Stamp};

/// Thread switches a run may be forced to; two find every fault that these models were shown to find.
const PREEMPTIONS: usize = 2;

/// Atomic steps a run may take. A reader that turns in a circle for ever is stopped here.
const STEPS: usize = 5_000;

/// Reads that an overtaken reader tries.
const READS: usize = 3;

/// The channel that is published to over and over, and the one that falls quiet.
const BUSY: u32 = 0;
const QUIET: u32 = 1;

#[test]
fn a_reader_sees_a_new_entry_whole() {
    explore(new_entry);
}

#[test]
fn a_reader_overtaken_copies_nothing_torn() {
    explore(overtaken);
}

#[test]
fn a_walk_back_gives_whole_records_without_a_hole() {
    explore(chain);
}

#[test]
fn a_value_found_by_the_table_alone_is_whole() {
    explore(by_the_table);
}

#[test]
fn the_table_is_never_behind_the_tail() {
    explore(table_and_tail);
}

#[test]
fn the_table_never_points_below_the_floor() {
    explore(table_and_floor);
}

#[test]
fn a_quiet_channel_always_has_its_value() {
    explore(snapshot);
}

#[test]
fn no_wake_is_lost() {
    explore(wake);
}

#[test]
fn each_ordering_is_needed() {
    fails(Weak::TailRelease, new_entry, "torn");
    fails(Weak::WriterFence, overtaken, "torn");
    fails(Weak::ReaderFence, overtaken, "torn");
    fails(Weak::ReaderFence, chain, "hole");
    fails(Weak::LatestRelease, by_the_table, "torn");
    fails(Weak::FloorRelease, table_and_floor, "below the floor");
    fails(Weak::WakeFence, wake, "deadlock");
    fails(Weak::DozeFence, wake, "deadlock");
}

#[test]
fn the_refresh_is_needed_and_comes_before_the_floor() {
    fails(Weak::RefreshFirst, table_and_floor, "below the floor");
    fails(Weak::Refresh, table_and_floor, "below the floor");
    fails(Weak::Refresh, snapshot, "branches");
}

/// The first entry of a fresh ring: what stood there before is no entry at all.
fn new_entry() {
    let (mut writer, ring) = tiny(32);
    let mut reader = ring.reader(0);
    let reading = thread::spawn(move || {
        if let Next::Entry(entry) = reader.next() {
            check(&ring, &entry).expect("nothing overtakes it");
        }
    });
    writer.write(BUSY);
    reading.join().unwrap();
}

/// A reader at the oldest entry, and the publishes that overwrite it and those behind it.
fn overtaken() {
    let (mut writer, ring) = tiny(32);
    let mut reader = ring.reader(0);
    (0..4).for_each(|_| writer.write(BUSY));
    assert_eq!(ring.floor(), 0, "the oldest entry is still whole");
    let reading = thread::spawn(move || {
        let mut seen = 0;
        for _ in 0..READS {
            match reader.next() {
                Next::Entry(entry) => {
                    // Overtaken between header and body: as good an answer as any, so long as it is given.
                    let _: Result<(), Lapped> = check(reader.ring(), &entry);
                    assert!(entry.sequence > seen, "{entry:?} after {seen}");
                    seen = entry.sequence;
                }
                Next::Lapped => reader.skip_to_tail(),
                Next::Empty => return,
            }
        }
    });
    (0..2).for_each(|_| writer.write(BUSY));
    assert!(ring.floor() > 0, "and now it is not");
    reading.join().unwrap();
}

/// A walk back along a chain whose older end is being overwritten.
fn chain() {
    let (mut writer, ring) = tiny(32);
    (0..4).for_each(|_| writer.write(BUSY));
    let reading = thread::spawn(move || {
        let newest = ring.latest(BUSY).expect("it has a value");
        let mut expected = newest.sequence;
        for entry in ring.walk_back(&newest, 0) {
            assert_eq!(entry.sequence, expected, "a hole in the chain");
            let _: Result<(), Lapped> = check(&ring, &entry);
            expected -= 1;
        }
        assert!(expected < newest.sequence, "the newest is always there");
    });
    writer.write(BUSY);
    reading.join().unwrap();
}

fn by_the_table() {
    let (mut writer, ring) = tiny(32);
    let reading = thread::spawn(move || {
        if let Some(entry) = ring.latest(BUSY) {
            check(&ring, &entry).expect("nothing overtakes it");
        }
    });
    writer.write(BUSY);
    reading.join().unwrap();
}

/// Who met a record at its cursor asks the table for the newest one: that is this one, or one behind it.
fn table_and_tail() {
    let (mut writer, ring) = tiny(32);
    writer.write(BUSY);
    let mut reader = ring.reader(0);
    let reading = thread::spawn(move || {
        if let Next::Entry(entry) = reader.next() {
            let newest = ring.latest(BUSY).expect("it has a value").sequence;
            assert!(newest >= entry.sequence, "{newest} is behind the tail's {}", entry.sequence);
        }
    });
    writer.write(BUSY);
    reading.join().unwrap();
}

fn table_and_floor() {
    let (mut writer, ring) = one_round();
    let reading = thread::spawn({
        let ring = Arc::clone(&ring);
        move || {
            let floor = ring.floor();
            let latest = ring.latest_position(QUIET).expect("it has a value");
            assert!(latest >= floor, "{latest} is below the floor {floor}");
        }
    });
    writer.end_round(&ring);
    reading.join().unwrap();
}

fn snapshot() {
    let (mut writer, ring) = one_round();
    let reading = thread::spawn({
        let ring = Arc::clone(&ring);
        move || {
            loop {
                let entry = ring.latest(QUIET).expect("it has a value");
                assert_eq!(entry.sequence, 1);
                match check(&ring, &entry) {
                    Ok(()) => return,
                    Err(Lapped) => thread::yield_now(),
                }
            }
        }
    });
    writer.end_round(&ring);
    reading.join().unwrap();
}

/// A reader that sleeps until its two records are there, one by one. A wake that is lost leaves it asleep for ever.
fn wake() {
    let (mut writer, ring) = tiny(32);
    let mut reader = ring.reader(0);
    let reading = thread::spawn(move || {
        for _ in 0..2 {
            while reader.next() == Next::Empty {
                if reader.doze() {
                    thread::park();
                }
                reader.rouse();
            }
        }
    });
    for _ in 0..2 {
        writer.write(BUSY);
        writer.publisher.wake_sleepers(|_| reading.thread().unpark());
    }
    reading.join().unwrap();
}

/// A publisher that numbers its entries.
struct Writer {
    publisher: Publisher,
    written: u64,
}

impl Writer {
    /// Publishes an entry whose every field says which one it is.
    fn write(&mut self, channel: u32) {
        self.written += 1;
        let number = self.written;
        let (kind, flags, generation) = (Kind::Data, 0, number as u32);
        let stamp = Stamp {
            kind,
            flags,
            channel,
            generation,
            sequence: number,
            ordinal: number,
            monotonic_ns: number,
        };
        self.publisher.publish(&stamp, &[&number.to_le_bytes()]).unwrap();
    }

    /// Goes on until the floor has passed where the quiet channel's value stood first.
    fn end_round(&mut self, ring: &Ring) {
        while ring.floor() == 0 {
            self.write(BUSY);
        }
    }
}

fn tiny(words: usize) -> (Writer, Arc<Ring>) {
    let options = Options { bytes: words * 8, channels_max: 2, body_bytes_max: 8, readers: 1 };
    let (publisher, ring) = ring::tiny(&options);
    (Writer { publisher, written: 0 }, ring)
}

/// A ring whose oldest entry is the quiet channel's value, just before it must be reclaimed.
fn one_round() -> (Writer, Arc<Ring>) {
    let (mut writer, ring) = tiny(64);
    writer.write(QUIET);
    (0..7).for_each(|_| writer.write(BUSY));
    (writer, ring)
}

/// Whether header and body belong together, of one entry alone.
fn check(ring: &Ring, entry: &Entry) -> Result<(), Lapped> {
    let number = entry.sequence;
    let header =
        [u64::from(entry.generation), entry.ordinal, entry.monotonic_ns, u64::from(entry.body_bytes)];
    assert_eq!(header, [number, number, number, 8], "torn header: {entry:?}");
    let mut body = Vec::new();
    ring.copy_body(entry, 0, &mut body)?;
    assert_eq!(body, number.to_le_bytes(), "torn body: {entry:?}");
    Ok(())
}

fn explore(model: fn()) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.max_branches = STEPS;
    builder.check(model);
}

/// Asserts that a model fails, and with these words, once something is weakened.
fn fails(what: Weak, model: fn(), words: &str) {
    let outcome = without(what, || catch_unwind(AssertUnwindSafe(|| explore(model))));
    let Err(panic) = outcome else { panic!("the model holds without {what:?}") };
    let message =
        panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let message = message.unwrap_or_default();
    assert!(message.to_lowercase().contains(words), "without {what:?} it failed by: {message}");
}
