//! What one run of a burst gave, in figures and in one line.
//!
//! Pure. Must not hide doubt: a run in which a subscriber's stream was not the expected one to the byte is void, and
//! says so. Invariant: a burst that is held lost nothing and kept the bound through its worst second.

use super::audience::{Audience, Mark};
use super::player::Played;
use super::script::Script;
use crate::latency::{Duration, Summary};
use crate::swarm::share;
use crate::verdict::{Evidence, Verdict};
use std::fmt;

/// Longest p99 of the worst second, ns.
const P99_NS_MAX: u64 = 20_000_000;

/// What a server did instead of delivering, in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Withheld {
    pub(crate) conflated: u64,
    pub(crate) merged: u64,
    pub(crate) dropped: u64,
    /// Records that a shard never saw, because the ring had moved on.
    pub(crate) missed: u64,
}

/// A stretch of a burst.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    /// From publication to receipt, of all its records at all subscribers.
    pub(crate) latency: Summary,
    pub(crate) deliveries_rate: f64,
    /// Bytes of frames to all subscribers, a second.
    pub(crate) bytes_rate: f64,
    /// Shares of a core: the server's CPU, its waiting for the core, and the CPU of feed and audience.
    pub(crate) server_cpu: f64,
    pub(crate) server_waited: f64,
    /// Share of the time in which something else had the server's core, at most.
    pub(crate) server_robbed: f64,
    pub(crate) tools_cpu: f64,
}

/// One run of a burst at one speed.
#[derive(Debug, Clone)]
pub(crate) struct BurstFigures {
    /// Times the recorded pace; 0: as fast as the server takes it.
    pub(crate) speed: f64,
    pub(crate) subscribers: usize,
    pub(crate) records: usize,
    /// Deliveries that arrived, and those due. An estimate by bytes where the run is void.
    pub(crate) arrived: u64,
    pub(crate) due: u64,
    /// From the first write to the last read.
    pub(crate) elapsed_ns: u64,
    pub(crate) whole: Stretch,
    /// The second of the recording with most bytes, as long as its records took to be written.
    pub(crate) worst: Stretch,
    /// Share of the pace that the feed kept through the worst second; 1 without a pace.
    pub(crate) worst_pace: f64,
    pub(crate) server_ns_a_delivery: f64,
    pub(crate) frames_a_read: f64,
    pub(crate) resident_bytes: u64,
    /// How late the feed's wake-ups were.
    pub(crate) late: Summary,
    /// Time in which the server took nothing from the feed.
    pub(crate) blocked_ns: u64,
    pub(crate) accepted: Option<u64>,
    pub(crate) refused: u64,
    /// Subscribers that the server closed.
    pub(crate) closed: usize,
    /// Subscribers that stayed and got other bytes than those due, fewer or more.
    pub(crate) deviating: usize,
    /// The record at which the one subscriber that is compared byte by byte got something else.
    pub(crate) differs_at: Option<usize>,
    /// `None` where the server has no metrics.
    pub(crate) withheld: Option<Withheld>,
    pub(crate) held: bool,
    pub(crate) verdict: Verdict,
}

/// What is known of a server when a burst is over.
pub(super) struct Aftermath {
    pub(super) resident_bytes: u64,
    pub(super) withheld: Option<Withheld>,
}

impl BurstFigures {
    pub(super) fn of(
        speed: f64,
        script: &Script<'_>,
        audience: &Audience<'_>,
        played: &Played,
        after: &Aftermath,
    ) -> Self {
        let subscribers = &audience.subscribers;
        let count = subscribers.len();
        let arrived = subscribers.iter().map(|subscriber| subscriber.cursor.records() as u64).sum::<u64>();
        let stayed = subscribers.iter().filter(|subscriber| !subscriber.is_closed);
        let deviating = stayed.filter(|subscriber| !subscriber.is_whole(script)).count();
        let elapsed_ns = audience.last_read_ns.saturating_sub(played.start_ns).max(1);
        let received = subscribers.iter().map(|subscriber| subscriber.cursor.bytes()).sum();
        let (marks, cores) = (&audience.marks, audience.server.cores);
        let mut whole = Stretch::between(&marks[0..=3], cores, elapsed_ns, arrived, received);
        whole.latency = audience.whole.summary();
        let worst_due = (script.worst.len() * count) as u64;
        let worst_bytes = script.bytes_of(&script.worst) * count as u64;
        let mut worst =
            Stretch::between(&marks[1..=2], cores, played.worst_took_ns.max(1), worst_due, worst_bytes);
        worst.latency = audience.worst.summary();
        let mut figures = Self {
            speed,
            subscribers: count,
            records: script.records(),
            arrived,
            due: (script.records() * count) as u64,
            elapsed_ns,
            whole,
            worst,
            worst_pace: worst_pace(script, played),
            server_ns_a_delivery: marks[3].server.since(marks[0].server).cpu_ns as f64
                / arrived.max(1) as f64,
            frames_a_read: arrived as f64 / audience.reads.max(1) as f64,
            resident_bytes: after.resident_bytes,
            late: played.late,
            blocked_ns: played.blocked_ns,
            accepted: played.accepted,
            refused: played.refused,
            closed: subscribers.iter().filter(|subscriber| subscriber.is_closed).count(),
            deviating,
            differs_at: subscribers.iter().find_map(|subscriber| subscriber.differs_at),
            withheld: after.withheld,
            held: false,
            verdict: Verdict::None,
        };
        figures.judge();
        figures
    }

    /// Whether somebody's stream was not what the latencies rest on.
    pub(crate) fn is_void(&self) -> bool {
        self.closed > 0 || self.deviating > 0
    }

    fn judge(&mut self) {
        let is_paced = self.speed > 0.0;
        // Without a pace there is no worst second: then the question is whether all arrives.
        let in_time = !is_paced || self.worst.latency.p99 <= P99_NS_MAX;
        self.held = !self.is_void() && in_time && self.accepted == Some(self.records as u64);
        let busiest = if is_paced { &self.worst } else { &self.whole };
        self.verdict = Verdict::of(Evidence {
            // Whoever goes as fast as it can is at some side's end.
            held: self.held && is_paced,
            server_busy: busiest.server_cpu + busiest.server_waited,
            tools_busy: busiest.tools_cpu,
            feed_sent: self.worst_pace,
            feed_blocked: self.blocked_ns as f64 / self.elapsed_ns as f64,
        });
    }
}

fn worst_pace(script: &Script<'_>, played: &Played) -> f64 {
    let Some(last) = script.worst.end.checked_sub(1) else { return 1.0 };
    let due_ns = script.due_ns(last) - script.due_ns(script.worst.start);
    if script.is_unpaced() { 1.0 } else { share(due_ns, played.worst_took_ns).min(1.0) }
}

impl Stretch {
    /// Between the first and the last of some marks.
    fn between(marks: &[Mark], cores: usize, lasted_ns: u64, deliveries: u64, bytes: u64) -> Self {
        let (from, until) = (marks[0], marks[marks.len() - 1]);
        let used = until.server.since(from.server);
        let span_ns = until.at_ns.saturating_sub(from.at_ns).max(1);
        let wall_ns = span_ns as f64;
        let seconds = lasted_ns as f64 / 1e9;
        Self {
            latency: Summary::default(),
            deliveries_rate: deliveries as f64 / seconds,
            bytes_rate: bytes as f64 / seconds,
            server_cpu: used.cpu_ns as f64 / wall_ns,
            server_waited: used.waited_ns as f64 / wall_ns,
            server_robbed: used.robbed_ns(span_ns, cores) as f64 / wall_ns,
            tools_cpu: until.tools_ns.saturating_sub(from.tools_ns) as f64 / wall_ns,
        }
    }
}

impl fmt::Display for Stretch {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:.2} M/s, {:.0} MB/s, {}, server {:.0} % (waited {:.0} %), tools {:.0} %",
            self.deliveries_rate / 1e6,
            self.bytes_rate / 1e6,
            self.latency,
            self.server_cpu * 100.0,
            self.server_waited * 100.0,
            self.tools_cpu * 100.0,
        )
    }
}

impl fmt::Display for BurstFigures {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_void() {
            write!(out, "VOID: {} closed, {} with other bytes than due", self.closed, self.deviating)?;
            if let (1.., Some(record)) = (self.deviating, self.differs_at) {
                write!(out, ", the one compared from record {record} on")?;
            }
            out.write_str("; ")?;
        }
        write!(
            out,
            "{} records to {} subscribers in {:.2} s, {:.0}/s, {} of {} deliveries; {}; ",
            self.records,
            self.subscribers,
            self.elapsed_ns as f64 / 1e9,
            self.records as f64 * 1e9 / self.elapsed_ns as f64,
            self.arrived,
            self.due,
            self.whole,
        )?;
        if self.speed > 0.0 {
            write!(out, "worst second at {:.1} % of its pace: {}; ", self.worst_pace * 100.0, self.worst)?;
        }
        write!(
            out,
            "{:.0} ns a delivery, {:.1} frames a read, {:.1} MiB; feed late p99 {}, blocked {}, ",
            self.server_ns_a_delivery,
            self.frames_a_read,
            self.resident_bytes as f64 / 1_048_576.0,
            Duration(self.late.p99),
            Duration(self.blocked_ns),
        )?;
        let accepted = self.accepted.map_or_else(|| "unknown".to_owned(), |count| count.to_string());
        write!(out, "accepted {accepted}, refused {}; ", self.refused)?;
        if let Some(Withheld { conflated, merged, dropped, missed }) = self.withheld {
            write!(out, "conflated {conflated}, merged {merged}, dropped {dropped}, missed {missed}; ")?;
        }
        write!(out, "saturated: {}", self.verdict)
    }
}
