//! The feed of a burst: plays a script on absolute times over the server's protocol, and notes when.
//!
//! A thread of its own. Must not skip: what is late is sent at once. Invariant: a record's time is noted before its first byte
//! is written, and is the time at which it was due where the server held the feed up, so that no latency is too short.

use super::script::Script;
use crate::clock;
use crate::feed::Outlet;
use crate::latency::{Latencies, Summary};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

const BATCH_BYTES_MAX: usize = 128 * 1024;
/// Records that come closer than this go out together.
const TICK_NS: u64 = 250_000;

/// What the player tells while it plays.
pub(super) struct Log {
    /// When each record was published, ns; 0 before.
    pub(super) published_ns: Vec<AtomicU64>,
    /// Records written, or being written.
    pub(super) sent: AtomicUsize,
    /// CPU of the player's thread, ns.
    pub(super) cpu_ns: AtomicU64,
    pub(super) is_done: AtomicBool,
}

impl Log {
    pub(super) fn new(records: usize) -> Self {
        Self {
            published_ns: (0..records).map(|_| AtomicU64::new(0)).collect(),
            sent: AtomicUsize::new(0),
            cpu_ns: AtomicU64::new(0),
            is_done: AtomicBool::new(false),
        }
    }
}

/// What became of it.
pub(super) struct Played {
    /// Of the first write.
    pub(super) start_ns: u64,
    /// Records that the server says it accepted; `None` if it never said.
    pub(super) accepted: Option<u64>,
    pub(super) refused: u64,
    /// How late each wake-up was.
    pub(super) late: Summary,
    /// Time in which the server's socket took nothing.
    pub(super) blocked_ns: u64,
    /// From the first write of the worst second's records to the end of the last.
    pub(super) worst_took_ns: u64,
}

/// Plays everything.
pub(super) fn play(script: &Script<'_>, to: SocketAddr, log: &Log) -> io::Result<Played> {
    let played = Player::connect(script, to, log).and_then(Player::play);
    log.is_done.store(true, Ordering::Release);
    played
}

struct Player<'a> {
    script: &'a Script<'a>,
    log: &'a Log,
    outlet: Outlet,
    batch: Vec<u8>,
    next: usize,
    start_ns: u64,
    late: Latencies,
    worst_from_ns: u64,
    worst_until_ns: u64,
}

impl<'a> Player<'a> {
    fn connect(script: &'a Script<'a>, to: SocketAddr, log: &'a Log) -> io::Result<Self> {
        clock::sharpen_timers()?;
        Ok(Self {
            script,
            log,
            outlet: Outlet::connect(to, script.wire.feed)?,
            batch: Vec::with_capacity(BATCH_BYTES_MAX * 2),
            next: 0,
            start_ns: clock::now_ns(),
            late: Latencies::new(),
            worst_from_ns: 0,
            worst_until_ns: 0,
        })
    }

    fn play(mut self) -> io::Result<Played> {
        let (mut held_up, mut not_before_ns) = (false, 0);
        while self.next < self.script.records() {
            if !held_up && !self.script.is_unpaced() {
                let wake_ns = self.due_ns(self.next).max(not_before_ns);
                self.outlet.wait_until(wake_ns)?;
                self.late.record(clock::now_ns().saturating_sub(wake_ns));
            }
            let now_ns = clock::now_ns();
            let blocked_ns = self.send(now_ns, held_up)?;
            not_before_ns = now_ns + TICK_NS;
            held_up = (held_up || blocked_ns > 0) && self.is_behind();
        }
        let accepted = self.outlet.acknowledged(self.next as u64)?;
        Ok(Played {
            start_ns: self.start_ns,
            accepted,
            refused: self.outlet.refused(),
            late: self.late.summary(),
            blocked_ns: self.outlet.blocked_ns(),
            worst_took_ns: self.worst_until_ns - self.worst_from_ns,
        })
    }

    fn due_ns(&self, index: usize) -> u64 {
        self.start_ns + self.script.due_ns(index)
    }

    fn is_behind(&self) -> bool {
        self.next < self.script.records() && self.due_ns(self.next) <= clock::now_ns()
    }

    /// Sends what is due, one batch at most, and returns how long the socket took nothing.
    fn send(&mut self, now_ns: u64, held_up: bool) -> io::Result<u64> {
        let from = self.next;
        let by_due = held_up && !self.script.is_unpaced();
        self.batch.clear();
        while self.next < self.script.records()
            && self.batch.len() < BATCH_BYTES_MAX
            && self.due_ns(self.next) <= now_ns
        {
            let published_ns = if by_due { self.due_ns(self.next) } else { now_ns };
            self.log.published_ns[self.next].store(published_ns, Ordering::Relaxed);
            self.script.append_record(self.next, &mut self.batch);
            self.next += 1;
        }
        self.log.sent.store(self.next, Ordering::Release);
        let blocked_ns = self.outlet.write(&self.batch)?;
        self.log.cpu_ns.store(clock::thread_cpu_ns(), Ordering::Relaxed);
        self.note_worst(from, now_ns);
        Ok(blocked_ns)
    }

    fn note_worst(&mut self, from: usize, began_ns: u64) {
        let worst = &self.script.worst;
        if (from..self.next).contains(&worst.start) {
            self.worst_from_ns = began_ns;
        }
        if from < worst.end && worst.end <= self.next {
            self.worst_until_ns = clock::now_ns();
        }
    }
}
