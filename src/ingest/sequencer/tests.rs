//! The sequencer without sockets, on a clock of the test's own.

use super::*;
use crate::channel::{DeliveryRules, PLACES_A_PAGE};
use crate::ring::{self, Entry, Next, Reader};
use crossbeam_queue::SegQueue;
use std::cell::Cell;
use std::io::Write;
use std::time::Duration;

/// What was logged, line by line.
#[derive(Clone, Default)]
struct Log(Arc<SegQueue<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn text(&self) -> String {
        let bytes: Vec<u8> = std::iter::from_fn(|| self.0.pop()).flatten().collect();
        String::from_utf8(bytes).unwrap()
    }
}

const CHANNELS_MAX: u32 = 4_096;
const STALE_NS: u64 = 100;

struct Bench {
    sequencer: Sequencer,
    feeds: Rc<Feeds>,
    catalogue: Arc<Catalogue>,
    stats: Arc<Stats>,
    reader: Reader,
    wakes: Rc<Cell<u64>>,
    session: Session,
}

fn bench(ring_bytes: usize, expire_ns: u64) -> Bench {
    let options = Options {
        listen: None,
        unix: None,
        token: None,
        payload_bytes_max: 256,
        connections_max: 0,
        channels_max: CHANNELS_MAX,
        expire_after: Duration::from_nanos(expire_ns),
        stale_after: Duration::from_nanos(STALE_NS),
        silence_after: Duration::ZERO,
    };
    let body_bytes_max = options.payload_bytes_max + Head::BYTES;
    let ring = ring::Options { bytes: ring_bytes, channels_max: CHANNELS_MAX, body_bytes_max, readers: 1 };
    let (publisher, ring) = ring::new(&ring).unwrap();
    let reader = ring.reader(0);
    assert!(reader.doze(), "so that each wake is seen");
    let (stats, catalogue) = (Arc::<Stats>::default(), Arc::new(Catalogue::new(DeliveryRules::default())));
    let (feeds, wakes) = (Rc::new(Feeds::new(options.stale_after)), Rc::new(Cell::new(0)));
    let woken = Rc::clone(&wakes);
    let wake = Box::new(move |_| woken.set(woken.get() + 1));
    let (known, counts) = (Rc::clone(&feeds), Arc::clone(&stats));
    let sequencer = Sequencer::new(publisher, Arc::clone(&catalogue), counts, wake, &options, known);
    Bench { sequencer, feeds, catalogue, stats, reader, wakes, session: Session::default() }
}

fn at(monotonic_ns: u64) -> Now {
    Now { wall_us: 0, monotonic_ns }
}

impl Bench {
    fn publish(&mut self, channel: &str, sequence: Option<u64>, payload: &str, feed: FeedId, now_ns: u64) {
        let record = Record { channel, sequence, payload };
        self.sequencer.publish(&record, &mut self.session, feed, at(now_ns)).unwrap();
    }

    fn entries(&mut self) -> Vec<Entry> {
        let mut entries = Vec::new();
        while let Next::Entry(entry) = self.reader.next() {
            entries.push(entry);
        }
        entries
    }
}

#[test]
fn a_feed_of_many_channels_that_dies_is_told_of_in_small_turns() {
    let mut bench = bench(16 << 20, 0);
    let name = Arc::from("a");
    let feed = bench.feeds.arrive(&name);
    for number in 0..CHANNELS_MAX {
        bench.publish(&format!("s{number}@trade"), None, "1", feed.id(), 0);
    }
    bench.sequencer.announce(0);
    bench.entries();
    while !bench.sequencer.sweep(at(1)) {}
    assert_eq!(bench.entries(), []);
    drop(feed);
    let (mut told, mut turns) = (0, 0);
    loop {
        assert!(bench.reader.doze());
        let woken = bench.wakes.get();
        // The feed left at the machine's time, which is far above the test's.
        let is_over = bench.sequencer.sweep(at(u64::MAX));
        let entries = bench.entries();
        assert!(entries.len() <= SWEEP_STEPS / SWEEP_STEPS_DUE, "{} in one turn", entries.len());
        assert!(entries.iter().all(|entry| entry.kind == Some(Kind::Status)));
        assert_eq!(bench.wakes.get() > woken, !entries.is_empty(), "who sleeps is woken for it");
        (told, turns) = (told + entries.len(), turns + 1);
        if is_over {
            break;
        }
    }
    assert_eq!((told, bench.stats.stale_channels.load(Ordering::Relaxed)), (4_096, 4_096));
    let pages = (0..CHANNELS_MAX).step_by(PLACES_A_PAGE as usize);
    assert!(pages.flat_map(|first| bench.catalogue.page(first)).all(|info| info.stale));
    assert!(turns >= 32, "{turns}");
}

#[test]
fn a_first_record_is_marked_and_still_is_when_the_ring_repeats_it() {
    use Kind::{Data, Refresh};
    let mut bench = bench(64 * 1024, 1_000);
    bench.publish("quiet@trade", None, "1", FeedId::POST, 1);
    bench.publish("quiet@trade", None, "2", FeedId::POST, 1);
    bench.publish("other@trade", None, "1", FeedId::POST, 1);
    let mut flags = Vec::new();
    for _ in 0..1_000 {
        bench.publish("busy@trade", None, "1", FeedId::POST, 1);
        let of_note = |entry: &Entry| entry.flags != 0 || entry.kind == Some(Refresh);
        let entries = bench.entries().into_iter().filter(of_note);
        flags.extend(entries.map(|entry| (entry.kind.unwrap(), entry.channel, entry.sequence, entry.flags)));
    }
    let once = [(Data, 0, 1, 1), (Data, 1, 1, 1), (Data, 2, 1, 1), (Refresh, 0, 2, 0), (Refresh, 1, 1, 1)];
    assert_eq!(flags[..5], once);
    while !bench.sequencer.sweep(at(2_000)) {}
    bench.entries();
    bench.publish("quiet@trade", None, "3", FeedId::POST, 2_000);
    let entries = bench.entries();
    assert_eq!((entries[0].sequence, entries[0].flags), (1_001, record::FIRST), "above all that expired");
}

#[test]
fn feeds_that_disagree_are_logged_once_a_minute_by_name() {
    const MINUTE_NS: u64 = 60_000_000_000;
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    let mut bench = bench(1 << 20, 0);
    let names = [Arc::from("10.0.0.1:5"), Arc::from("10.0.0.2:6")];
    let (a, b) = (bench.feeds.arrive(&names[0]), bench.feeds.arrive(&names[1]));
    tracing::subscriber::with_default(subscriber, || {
        for (sequence, now_ns) in [(7, 1), (8, 2), (9, 3), (10, MINUTE_NS), (11, 1 + MINUTE_NS)] {
            bench.publish("x@trade", Some(sequence), "1", a.id(), now_ns);
            bench.publish("x@trade", Some(sequence), "2", b.id(), now_ns);
        }
    });
    let text = log.text();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    for (line, (sequence, unlogged)) in lines.iter().zip([(7, 0), (11, 3)]) {
        let told = [r#""x@trade""#, r#"first=Some("10.0.0.1:5")"#, r#"second=Some("10.0.0.2:6")"#];
        assert!(told.iter().all(|part| line.contains(part)), "{line}");
        assert!(line.contains(&format!("sequence={sequence} ")), "{line}");
        assert!(line.contains(&format!("unlogged={unlogged}")), "{line}");
    }
    assert_eq!(bench.stats.disagreed.load(Ordering::Relaxed), 5);
    assert_eq!(bench.sequencer.ordinal, 5, "the first one's is kept");
}

#[test]
fn a_batch_is_timed_once_for_all_its_records() {
    let mut bench = bench(1 << 20, 0);
    for number in 0..5 {
        bench.publish("x@trade", None, "1", FeedId::POST, number);
    }
    bench.sequencer.announce(1_000);
    bench.sequencer.announce(9_000);
    let taken = bench.stats.publish.snapshot();
    assert_eq!((taken.count(), taken.sum_ns()), (5, 5_000));
}
