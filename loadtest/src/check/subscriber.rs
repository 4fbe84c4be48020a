//! One subscriber under the checker: connects, asks, follows every sequence, hangs up and resumes as its role says.
//!
//! A reader's thread. Must not forgive: whatever the protocol does not explain is a violation. Invariant: every trail here is
//! of the connection that is open now; what outlives it is only how far each channel came.

use super::connection::{Connection, Heard};
use super::context::Context;
use super::expected::Expected;
use super::pace::Pace;
use super::plan::{Role, Wish};
use super::record::Record;
use super::report::Violation;
use super::trail::Trail;
use fastrand::Rng;
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a slow reader takes, bytes a second, and what its kernel holds ahead of it.
pub(crate) const SLOW_BYTES_PER_S: u64 = 20_000;
const SLOW_KERNEL_BYTES: usize = 32 * 1024;
/// Between two of its reads.
const SLOW_READ_NS: u64 = 50_000_000;
/// How long one stays who hangs up, at least and at most, and how long it is away at most.
const STAYS_NS: (u64, u64) = (300_000_000, 4_000_000_000);
const AWAY_NS_MAX: u64 = 1_000_000_000;
/// How often a chosen rate is changed.
const RATE_STAYS_NS: (u64, u64) = (2_000_000_000, 6_000_000_000);
/// One return in so many asks under an epoch that never was.
const BOGUS_EPOCH_ONE_IN: u32 = 8;

/// A subscriber.
pub(crate) struct Subscriber {
    number: usize,
    wish: Wish,
    to: SocketAddr,
    random: Rng,
    pub(crate) connection: Option<Connection>,
    epoch: Option<String>,
    /// By channel.
    trails: Vec<Option<Trail>>,
    paces: Vec<Option<Pace>>,
    /// How far each channel came on earlier connections; 0: not at all.
    reached: Vec<u64>,
    /// What this connection asked to resume from.
    resumes: bool,
    is_live: bool,
    is_over: bool,
    /// When the socket was last seen empty.
    empty_ns: u64,
    /// When its role next does something.
    next_ns: u64,
    /// When it was last let read, where it reads slowly.
    read_ns: u64,
    /// Channels that come to it, by number.
    due: Vec<usize>,
    /// Bytes since the feed's end.
    bytes_since_end: u64,
    /// How long its own process read nothing though it was due, since the feed's end.
    stalled_ns: u64,
    /// How long reading took, until its last values were there.
    reading_ns: u64,
    /// When it was subscribed last.
    live_ns: u64,
}

impl Subscriber {
    /// A subscriber who has not connected yet.
    pub(crate) fn new(number: usize, wish: Wish, random: Rng, to: SocketAddr, expected: &Expected) -> Self {
        let names = expected.names();
        let due = (0..names.len()).filter(|channel| wish.includes(*channel, &names[*channel])).collect();
        Self {
            number,
            wish,
            to,
            random,
            connection: None,
            epoch: None,
            trails: vec![None; names.len()],
            paces: vec![None; names.len()],
            reached: vec![0; names.len()],
            resumes: false,
            is_live: false,
            is_over: false,
            empty_ns: 0,
            next_ns: u64::MAX,
            read_ns: 0,
            due,
            bytes_since_end: 0,
            stalled_ns: 0,
            reading_ns: 0,
            live_ns: 0,
        }
    }

    /// Subscribed, or beyond help.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_live || self.is_over
    }

    /// Ended by the server, or by what it said.
    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether it is read when its socket has something, not by the clock.
    pub(crate) fn is_ready_driven(&self) -> bool {
        self.wish.role != Role::Slow
    }

    /// Opens a connection; the rest follows from what the server says.
    pub(crate) fn connect(&mut self, context: &Context) -> io::Result<()> {
        let kernel_bytes = (self.wish.role == Role::Slow).then_some(SLOW_KERNEL_BYTES);
        self.trails.iter_mut().for_each(|trail| *trail = None);
        self.paces.iter_mut().for_each(|pace| *pace = None);
        (self.is_live, self.next_ns, self.read_ns) = (false, u64::MAX, context.now_ns);
        self.connection = Some(Connection::open(self.to, kernel_bytes)?);
        Ok(())
    }

    /// Reads once.
    pub(crate) fn read(&mut self, context: &mut Context) {
        let mut scratch = std::mem::take(&mut context.scratch);
        let limit = scratch.len();
        self.read_at_most(limit, &mut scratch, context);
        context.scratch = scratch;
    }

    fn read_at_most(&mut self, limit: usize, scratch: &mut [u8], context: &mut Context) {
        let Some(mut connection) = self.connection.take() else { return };
        let mut asks = None;
        let taken = connection
            .read(&mut scratch[..limit], |heard| asks = self.hear(heard, context).or_else(|| asks.take()));
        self.bytes_since_end += taken.bytes as u64;
        if taken.is_all {
            self.empty_ns = context.now_ns;
        }
        if let Some(message) = asks
            && let Err(error) = connection.send(&message)
        {
            self.end(&format!("could not ask: {error}"), context);
        }
        self.connection = (!self.is_over).then_some(connection);
    }

    /// Takes what the server said; what is to be said to it.
    fn hear(&mut self, heard: Heard<'_>, context: &mut Context) -> Option<String> {
        match heard {
            Heard::Record(record) => self.record(&record, context),
            Heard::Wrong(what) => self.end(&what, context),
            Heard::Word(word) => match word["op"].as_str() {
                Some("hello") => return Some(self.greeted(&word, context)),
                Some("ack") => self.acknowledged(&word, context),
                Some("gap") => self.gap(&word, context),
                // Stale or live: a feed that ends makes channels stale in the end.
                Some("status" | "pong") => {}
                _ => self.end(&format!("said {word}"), context),
            },
        }
        None
    }

    fn end(&mut self, what: &str, context: &mut Context) {
        if !self.is_over {
            self.accuse("", 0, what.to_owned(), context);
        }
        self.is_over = true;
    }

    fn accuse(&self, channel: &str, sequence: u64, what: String, context: &mut Context) {
        let role = self.wish.role.name().to_owned();
        context.report.accuse(Violation {
            subscriber: self.number,
            role,
            channel: channel.to_owned(),
            sequence,
            what,
        });
    }

    fn greeted(&mut self, hello: &Value, context: &Context) -> String {
        let epoch = hello["epoch"].as_str().unwrap_or_default().to_owned();
        let names = context.expected.names();
        let mut message = self.subscription(names);
        let reached = self.due.iter().filter(|channel| self.reached[**channel] > 0);
        let sequences: serde_json::Map<_, _> =
            reached.map(|channel| (names[*channel].clone(), json!(self.reached[*channel]))).collect();
        self.resumes = !sequences.is_empty();
        if self.resumes {
            let bogus = self.random.u32(..BOGUS_EPOCH_ONE_IN) == 0;
            let known = if bogus { "never-was".to_owned() } else { self.epoch.clone().unwrap_or_default() };
            message["resume"] = json!({ "epoch": known, "seq": sequences });
        }
        self.epoch = Some(epoch);
        message.to_string()
    }

    fn subscription(&self, names: &[String]) -> Value {
        let named = self.wish.channels.iter().map(|channel| names[*channel].clone());
        let channels: Vec<String> = named.chain(self.wish.patterns.iter().cloned()).collect();
        let mut message = json!({ "op": "subscribe", "id": 1, "channels": channels });
        if self.wish.every_ms > 0 {
            message["every_ms"] = json!(self.wish.every_ms);
        }
        message
    }

    /// Begins the trail of each channel that is named; a change of rate goes on with those that are there.
    fn acknowledged(&mut self, word: &Value, context: &mut Context) {
        let was_live = std::mem::replace(&mut self.is_live, true);
        if !was_live {
            self.live_ns = context.now_ns;
        }
        self.plan_next(context.now_ns);
        self.set_paces(context);
        for entry in word["channels"].as_array().map_or(&[][..], Vec::as_slice) {
            let Some(name) = entry["channel"].as_str() else { continue };
            let (Some(channel), Some(sequence)) = (context.expected.find(name), entry["seq"].as_u64()) else {
                self.accuse(name, 0, format!("an acknowledgement says {entry}"), context);
                continue;
            };
            if was_live && self.trails[channel].is_some() {
                continue;
            }
            self.trails[channel] = Some(self.trail_after(channel, sequence, &entry["recovered"], context));
        }
    }

    fn trail_after(&self, channel: usize, sequence: u64, recovered: &Value, context: &mut Context) -> Trail {
        let reached = self.reached[channel];
        let asked = self.resumes && reached > 0;
        match (asked, recovered.as_bool()) {
            (true, Some(true)) => {
                context.report.recovered += 1;
                Trail::resumed(reached)
            }
            (asked, told) => {
                if asked != told.is_some() {
                    let name = context.expected.names()[channel].clone();
                    let what =
                        format!("resume asked: {asked}, but the acknowledgement says recovered: {recovered}");
                    self.accuse(&name, sequence, what, context);
                }
                context.report.unrecovered += u64::from(asked);
                Trail::acknowledged(sequence)
            }
        }
    }

    fn set_paces(&mut self, context: &Context) {
        if self.wish.every_ms == 0 {
            return;
        }
        let names = context.expected.names();
        for channel in &self.due {
            // Whole kinds that a pattern passed over have no rate.
            let whole = names[*channel]
                .split_once('@')
                .is_none_or(|(_, kind)| !matches!(kind, "bookTicker" | "depth"));
            self.paces[*channel] = (!whole).then(|| Pace::new(self.wish.every_ms));
        }
    }

    fn record(&mut self, record: &Record<'_>, context: &mut Context) {
        context.report.records += 1;
        context.report.snapshots += u64::from(record.is_snapshot);
        let Some(channel) =
            context.expected.find(record.channel).filter(|channel| self.due.contains(channel))
        else {
            return self.accuse(record.channel, record.sequence, "was not subscribed".to_owned(), context);
        };
        let is_named = self.wish.channels.contains(&channel);
        let trail = match &mut self.trails[channel] {
            Some(trail) => trail,
            None if is_named => {
                return self.accuse(
                    record.channel,
                    record.sequence,
                    "came before its acknowledgement".to_owned(),
                    context,
                );
            }
            none => none.insert(Trail::joined()),
        };
        let judged = match trail.record(record) {
            Ok(sequences) => context.check_value(channel, record, sequences),
            Err(fault) => Err(fault.to_string()),
        };
        if let Err(what) = judged.and_then(|()| self.check_pace(channel, record, context)) {
            self.accuse(record.channel, record.sequence, what, context);
        }
        if !record.is_snapshot {
            context.measure(channel, record.sequence);
        }
        if let Some(books) = &mut context.books {
            books.record(self.number, record);
        }
    }

    fn check_pace(&mut self, channel: usize, record: &Record<'_>, context: &Context) -> Result<(), String> {
        let Some(pace) = &mut self.paces[channel] else { return Ok(()) };
        if record.is_snapshot {
            return Ok(());
        }
        let kept = pace.record(self.empty_ns.max(context.before_ns), context.now_ns);
        kept.map_err(|what| format!("{what}, {} skipped", record.skipped))
    }

    fn gap(&mut self, word: &Value, context: &mut Context) {
        let name = word["ch"].as_str().unwrap_or_default();
        let (from, to) = (word["from"].as_u64().unwrap_or(0), word["to"].as_u64().unwrap_or(0));
        let Some(channel) = context.expected.find(name).filter(|channel| self.due.contains(channel)) else {
            return self.accuse(name, from, format!("was not subscribed: {word}"), context);
        };
        let trail = self.trails[channel].get_or_insert_with(Trail::joined);
        match trail.gap(from, to, word["reason"].as_str().unwrap_or_default()) {
            Ok(records) => {
                context.report.gaps += 1;
                context.report.gap_records += records;
                if let Some(books) = &mut context.books {
                    books.gap(self.number, name);
                }
            }
            Err(fault) => self.accuse(name, from, fault.to_string(), context),
        }
    }

    /// What its role does by the clock. Whether it has a new connection.
    pub(crate) fn tick(&mut self, feed_ended: bool, context: &mut Context) -> io::Result<bool> {
        if self.is_over {
            return Ok(false);
        }
        if self.wish.role == Role::Slow {
            self.read_slowly(context);
        }
        let is_away = self.connection.is_none();
        let is_due = context.now_ns >= self.next_ns || (feed_ended && is_away);
        match self.wish.role {
            Role::Returning if is_due && is_away => {
                context.report.returns += 1;
                self.connect(context)?;
                return Ok(true);
            }
            Role::Returning if is_due && !feed_ended => self.hang_up(context.now_ns),
            Role::Rated if is_due && !feed_ended => self.change_rate(context),
            _ => {}
        }
        Ok(false)
    }

    /// As many bytes as its rate makes due.
    fn read_slowly(&mut self, context: &mut Context) {
        let since_ns = context.now_ns.saturating_sub(self.read_ns);
        if since_ns < SLOW_READ_NS {
            return;
        }
        self.read_ns = context.now_ns;
        // A late turn is not made up for beyond two: whoever runs this reader too late is not the server.
        self.stalled_ns += since_ns.saturating_sub(2 * SLOW_READ_NS);
        let budget = since_ns.min(2 * SLOW_READ_NS) * SLOW_BYTES_PER_S / 1_000_000_000;
        let mut scratch = std::mem::take(&mut context.scratch);
        self.read_at_most(budget as usize, &mut scratch, context);
        context.scratch = scratch;
    }

    fn plan_next(&mut self, now_ns: u64) {
        let stays = match self.wish.role {
            Role::Returning => STAYS_NS,
            Role::Rated => RATE_STAYS_NS,
            Role::Healthy | Role::Stopped | Role::Slow => return,
        };
        self.next_ns = now_ns + self.random.u64(stays.0..stays.1);
    }

    fn hang_up(&mut self, now_ns: u64) {
        self.connection = None;
        for (reached, trail) in self.reached.iter_mut().zip(&self.trails) {
            *reached = trail.as_ref().map_or(*reached, |trail| trail.last().max(*reached));
        }
        self.next_ns = now_ns + self.random.u64(..AWAY_NS_MAX);
    }

    fn change_rate(&mut self, context: &mut Context) {
        self.next_ns = u64::MAX;
        self.wish.every_ms = [100, 250, 1000][self.random.usize(..3)];
        // From now until the acknowledgement either rate may hold.
        self.paces.iter_mut().for_each(|pace| *pace = None);
        let mut message = self.subscription(context.expected.names());
        message["snapshot"] = json!(false);
        let sent = self.connection.as_mut().map(|connection| connection.send(&message.to_string()));
        if let Some(Err(error)) = sent {
            self.end(&format!("could not change its rate: {error}"), context);
        }
    }

    /// A channel whose last value is not there yet.
    pub(crate) fn missing<'a>(&self, expected: &'a Expected) -> Option<(&'a str, u64)> {
        let last = |channel: usize| self.trails[channel].as_ref().map_or(0, Trail::last);
        let missing = self.due.iter().find(|channel| last(**channel) < expected.last(**channel));
        missing.map(|channel| (expected.names()[*channel].as_str(), last(*channel)))
    }

    /// The feed has ended.
    pub(crate) fn begin_end(&mut self) {
        (self.bytes_since_end, self.stalled_ns) = (0, 0);
    }

    /// Its last values are there: how long that took from when it was reading and the feed had ended.
    pub(crate) fn note_last(&mut self, end_ns: u64, now_ns: u64) -> u64 {
        self.reading_ns = self.bytes_since_end * 1_000_000_000 / SLOW_BYTES_PER_S + self.stalled_ns;
        now_ns.saturating_sub(end_ns.max(self.live_ns))
    }

    /// Judges when its last values were there: `after_ns` behind the feed's end, or not at all.
    pub(crate) fn judge_last(&self, after_ns: Option<u64>, allowed_ns: u64, context: &mut Context) {
        context.report.subscribers += 1;
        if self.is_over {
            return;
        }
        let reading_ns = match self.wish.role {
            // What lay before the last value had to be read at its own pace.
            Role::Slow => self.reading_ns,
            _ => 0,
        };
        let expected = Arc::clone(&context.expected);
        match after_ns {
            None => {
                let (name, last) = self.missing(&expected).unwrap_or_default();
                self.accuse(name, last, "is the last that came".to_owned(), context);
            }
            Some(after_ns) => {
                let late_ns = after_ns.saturating_sub(reading_ns);
                context.report.last_ns_max = context.report.last_ns_max.max(after_ns);
                context.report.late_ns_max = context.report.late_ns_max.max(late_ns);
                if late_ns > allowed_ns + self.wish.every_ms * 1_000_000 {
                    let what = format!("had its last values {} ms after the feed's end", late_ns / 1_000_000);
                    self.accuse("", 0, what, context);
                }
            }
        }
    }
}
