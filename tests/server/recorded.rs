//! A recorded market through two shards to 200 subscribers with random subsets of its channels, half of them with names
//! (`/stream`), half without (`/ws`).
//!
//! In a build without optimization a prefix of the recording, to fewer. Invariant: every payload is compared with the file's, byte by byte.

use std::sync::Arc;
use std::time::Duration;

use crate::client::Feed;
use crate::crowd::{Crowd, Listener};
use crate::harness::{Metrics, Server, Turn};
use crate::tape::{Channel, Random, Tape};

const SEED: u64 = 20_240_808;
const SUBSCRIBERS: usize = if cfg!(debug_assertions) { 40 } else { 200 };

/// How much faster than it was recorded. A build without optimization keeps up with neither the speed nor the subscribers.
const SPEED: u32 = if cfg!(debug_assertions) { 2 } else { 10 };

/// For everything together on a busy machine; the recording lasts 35 s at ten times its speed.
const PATIENCE: Duration = Duration::from_secs(300);

/// What one subscriber's channels may sum up to at full speed: its outbox must be able to hold all of it, for the feed is
/// done long before anybody has read much. Frames are a name longer than payloads.
const SUBSET_BYTES_MAX: usize = 48 << 20;

#[test]
fn at_full_speed_everyone_gets_exactly_its_channels_in_order() {
    let _turn = Turn::alone();
    let tape = Arc::new(Tape::load(SEED));
    let settings = ["delivery=every", "ring.bytes=268435456", "outbox.bytes_max=67108864"];
    let server = Server::that_yields(2, &settings);
    let subsets = subsets(&tape, SUBSET_BYTES_MAX);
    let crowd = gather(&server, &tape, &subsets, Exact::new);
    tape.play(&mut Feed::connect(&server), None);
    let done = crowd.finish();
    let metrics = server.wait_until_quiet(tape.records.len() as u64);
    assert_nobody_was_cut(&metrics);
    let heard: u64 = done.iter().map(|done| done.listener.heard).sum();
    assert_eq!((metrics.shard("matched_records"), metrics.shard("delivered_records")), (heard, heard));
    println!("{heard} records delivered");
}

#[test]
fn at_ten_times_the_speed_nobody_is_cut_and_latest_channels_end_right() {
    let _turn = Turn::alone();
    let tape = Arc::new(Tape::load(SEED));
    let server = Server::that_yields(2, &[]);
    let subsets = subsets(&tape, usize::MAX);
    let crowd = gather(&server, &tape, &subsets, Current::new);
    tape.play(&mut Feed::connect(&server), Some(SPEED));
    let done = crowd.finish();
    let metrics = server.wait_until_quiet(tape.records.len() as u64);
    assert_nobody_was_cut(&metrics);
    let heard: u64 = done.iter().map(|done| done.listener.heard).sum();
    assert_eq!(metrics.shard("delivered_records"), heard);
    println!("{heard} records delivered, {} conflated", metrics.shard("conflated_records"));
}

fn assert_nobody_was_cut(metrics: &Metrics) {
    assert_eq!(metrics.shard("missed_records"), 0, "{metrics}");
    assert_eq!(metrics.shard("lapped"), 0, "{metrics}");
    assert_eq!(metrics.closed_by_any(), 0, "{metrics}");
}

/// Which channels each subscriber has. Every fourth has those of its neighbour, so that there are cohorts to share.
fn subsets(tape: &Tape, bytes_max: usize) -> Vec<Vec<usize>> {
    println!("subsets: seed {SEED}");
    let mut random = Random::new(SEED);
    let mut subsets: Vec<Vec<usize>> = Vec::new();
    for number in 0..SUBSCRIBERS {
        let subset = match number % 8 {
            6 | 7 => subsets[number - 2].clone(),
            _ => subset(tape, &mut random, bytes_max),
        };
        subsets.push(subset);
    }
    subsets
}

fn subset(tape: &Tape, random: &mut Random, bytes_max: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..tape.channels.len()).collect();
    let wanted = 1 + random.below(left.len());
    let (mut subset, mut bytes) = (Vec::new(), 0);
    for _ in 0..wanted {
        let channel = left.swap_remove(random.below(left.len()));
        bytes += tape.channels[channel].payload_bytes;
        if bytes > bytes_max {
            break;
        }
        subset.push(channel);
    }
    subset
}

/// Connects everybody, half of them by each path, and waits until the shards know all of them.
fn gather<L: Listener>(
    server: &Server,
    tape: &Arc<Tape>,
    subsets: &[Vec<usize>],
    listener: impl Fn(Hearing) -> L,
) -> Crowd<L> {
    let listeners = subsets.iter().enumerate().map(|(number, subset)| {
        let names: Vec<&str> = subset.iter().map(|&channel| tape.channels[channel].name.as_str()).collect();
        let combined = number % 2 == 0;
        let path = if combined { "/stream?streams=" } else { "/ws/" };
        let hearing = Hearing { tape: Arc::clone(tape), subset: subset.clone(), combined };
        (format!("{path}{}", names.join("/")), listener(hearing))
    });
    let crowd = Crowd::gather(server, listeners.collect(), PATIENCE);
    let subscriptions: usize = subsets.iter().map(Vec::len).sum();
    let all = |metrics: &Metrics| {
        (metrics.shard("subscribers"), metrics.shard("subscriptions"))
            == (SUBSCRIBERS as u64, subscriptions as u64)
    };
    server.wait_until("everyone to have subscribed", all);
    crowd
}

/// What one subscriber listens to.
struct Hearing {
    tape: Arc<Tape>,
    subset: Vec<usize>,
    combined: bool,
}

impl Hearing {
    fn channels(&self) -> impl Iterator<Item = &Channel> {
        self.subset.iter().map(|&channel| &self.tape.channels[channel])
    }

    /// The payload of a message, out of its envelope where it has one; and the name that the envelope says.
    fn open<'a>(&self, message: &'a [u8]) -> (Option<&'a str>, &'a [u8]) {
        if !self.combined {
            return (None, message);
        }
        let inner = message.strip_prefix(br#"{"stream":""#).and_then(|rest| rest.strip_suffix(b"}"));
        let inner = inner.unwrap_or_else(|| panic!("no envelope: {}", String::from_utf8_lossy(message)));
        let end = inner.iter().position(|&byte| byte == b'"').expect("the end of the stream's name");
        let payload = inner[end..].strip_prefix(br#"","data":"#).expect("data behind the stream's name");
        (Some(std::str::from_utf8(&inner[..end]).unwrap()), payload)
    }
}

/// Expects every record of its channels, in the order of the whole feed.
struct Exact {
    hearing: Hearing,
    /// Where the next record is looked for.
    next: usize,
    due: u64,
    heard: u64,
}

impl Exact {
    fn new(hearing: Hearing) -> Self {
        let due = hearing.channels().map(|channel| channel.records.len() as u64).sum();
        Self { hearing, next: 0, due, heard: 0 }
    }
}

impl Listener for Exact {
    fn hear(&mut self, message: &[u8]) {
        let tape = &self.hearing.tape;
        let rest = &tape.records[self.next..];
        let ahead = rest.iter().position(|record| self.hearing.subset.contains(&record.channel));
        let place = self.next + ahead.unwrap_or_else(|| panic!("one too many: {}", self.state()));
        let (name, payload) = self.hearing.open(message);
        assert!(
            payload == tape.payload(place),
            "{}: due is {}, came {}",
            self.state(),
            String::from_utf8_lossy(tape.payload(place)),
            String::from_utf8_lossy(payload)
        );
        let channel = &tape.channels[tape.records[place].channel];
        assert!(name.is_none_or(|name| name == channel.name), "{name:?} is not {}", channel.name);
        self.next = place + 1;
        self.heard += 1;
    }

    fn is_done(&self) -> bool {
        self.heard == self.due
    }

    fn state(&self) -> String {
        format!("{} of {} records, at {}", self.heard, self.due, self.next)
    }
}

/// Expects every record of `every` channels; of `latest` channels some, rising, and the last.
struct Current {
    hearing: Hearing,
    /// By channel: how many of its records have come or been passed over.
    passed: Vec<usize>,
    /// Channels whose last record has not come.
    open: usize,
    heard: u64,
}

impl Current {
    fn new(hearing: Hearing) -> Self {
        let open = hearing.channels().filter(|channel| !channel.records.is_empty()).count();
        let passed = vec![0; hearing.tape.channels.len()];
        Self { hearing, passed, open, heard: 0 }
    }
}

impl Listener for Current {
    fn hear(&mut self, message: &[u8]) {
        let (name, payload) = self.hearing.open(message);
        let found = self.hearing.tape.find(payload);
        let record = found.unwrap_or_else(|| panic!("never published: {}", String::from_utf8_lossy(message)));
        let channel = &self.hearing.tape.channels[record.channel];
        assert!(self.hearing.subset.contains(&record.channel), "{} was not subscribed", channel.name);
        assert!(name.is_none_or(|name| name == channel.name), "{name:?} is not {}", channel.name);
        let passed = &mut self.passed[record.channel];
        let in_order = if channel.is_latest() { record.number >= *passed } else { record.number == *passed };
        assert!(in_order, "{}: {} follows {passed} records", channel.name, record.number);
        *passed = record.number + 1;
        self.open -= usize::from(*passed == channel.records.len());
        self.heard += 1;
    }

    fn is_done(&self) -> bool {
        self.open == 0
    }

    fn state(&self) -> String {
        format!("{} channels are not at their end, {} records came", self.open, self.heard)
    }
}
