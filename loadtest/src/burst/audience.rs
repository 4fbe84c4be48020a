//! All subscribers of a burst in one thread on epoll: what came, how late, and the CPU at four moments.
//!
//! The driver's thread. Must not wait for one subscriber. Invariant: the latency of a record that a read makes whole is taken
//! at that read, for each record and each subscriber; none is sampled.

use super::player::Log;
use super::script::Script;
use super::subscriber::Subscriber;
use crate::clock;
use crate::latency::Latencies;
use crate::server::{Server, Usage};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use std::io;
use std::ops::Range;
use std::sync::atomic::Ordering;

const READ_BYTES_MAX: usize = 1024 * 1024;
/// Silence after which who got all gets no more, and after which who did not is not expected to: servers may stall.
const QUIET_NS: u64 = 300_000_000;
const STALLED_NS: u64 = 5_000_000_000;
const DRAIN_NS_MAX: u64 = 60_000_000_000;
const TURN_NS_MAX: u64 = 10_000_000;
/// Nobody sees pings: each subscriber sends a pong this often, well inside a server's 60 s.
const KEEP_ALIVE_NS: u64 = 15_000_000_000;

/// CPU so far, at one moment.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Mark {
    pub(super) at_ns: u64,
    pub(super) server: Usage,
    /// Of the audience and the feed.
    pub(super) tools_ns: u64,
}

/// The subscribers, and what they saw.
pub(super) struct Audience<'a> {
    script: &'a Script<'a>,
    log: &'a Log,
    pub(super) server: &'a Server,
    pub(super) subscribers: Vec<Subscriber>,
    epoll: rustix::fd::OwnedFd,
    events: Vec<epoll::Event>,
    scratch: Vec<u8>,
    pause_ns: u64,
    next_pong_ns: u64,
    /// Of all records, and of the worst second's.
    pub(super) whole: Latencies,
    pub(super) worst: Latencies,
    pub(super) reads: u64,
    pub(super) last_read_ns: u64,
    /// At the beginning, at both ends of the worst second, at the end.
    pub(super) marks: Vec<Mark>,
}

impl<'a> Audience<'a> {
    /// Connects all; returns when each is subscribed.
    pub(super) fn connect(
        script: &'a Script<'a>,
        log: &'a Log,
        server: &'a Server,
        count: usize,
        pause_us: u64,
    ) -> io::Result<Self> {
        clock::sharpen_timers()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut subscribers = Vec::with_capacity(count);
        for index in 0..count {
            let subscriber = Subscriber::connect(server.subscribers, script, index == 0)?;
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&epoll, &subscriber.socket, data, epoll::EventFlags::IN)?;
            subscribers.push(subscriber);
        }
        Ok(Self {
            script,
            log,
            server,
            subscribers,
            epoll,
            events: Vec::with_capacity(count),
            scratch: vec![0; READ_BYTES_MAX],
            pause_ns: pause_us * 1_000,
            next_pong_ns: clock::now_ns() + KEEP_ALIVE_NS,
            whole: Latencies::new(),
            worst: Latencies::new(),
            reads: 0,
            last_read_ns: 0,
            marks: Vec::new(),
        })
    }

    /// Takes everything until all is there, or nothing comes any more.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        self.mark();
        while !self.log.is_done.load(Ordering::Acquire) {
            self.turn()?;
            self.mark_worst();
        }
        let done_ns = clock::now_ns();
        while !self.is_over(done_ns) {
            self.turn()?;
        }
        while self.marks.len() < 4 {
            self.mark();
        }
        // The silence at the end was nobody's work.
        self.marks[3].at_ns = self.last_read_ns.max(done_ns);
        Ok(())
    }

    /// Whether nothing more is expected. Who got all must still be seen to get no more, so silence decides.
    fn is_over(&self, done_ns: u64) -> bool {
        let has_all = |subscriber: &Subscriber| {
            subscriber.is_closed || subscriber.cursor.bytes() >= self.script.bytes()
        };
        let silence_ns = if self.subscribers.iter().all(has_all) { QUIET_NS } else { STALLED_NS };
        let now_ns = clock::now_ns();
        now_ns > self.last_read_ns.max(done_ns) + silence_ns || now_ns > done_ns + DRAIN_NS_MAX
    }

    /// One round: every ready subscriber is read once.
    fn turn(&mut self) -> io::Result<()> {
        let began_ns = clock::now_ns();
        self.events.clear();
        let timeout = clock::timespec(TURN_NS_MAX);
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for place in 0..self.events.len() {
            let index = self.events[place].data.u64() as usize;
            self.read(index)?;
        }
        if began_ns > self.next_pong_ns {
            self.next_pong_ns = began_ns + KEEP_ALIVE_NS;
            self.subscribers.iter().for_each(Subscriber::pong);
        }
        clock::sleep_until(began_ns + self.pause_ns)
    }

    fn read(&mut self, index: usize) -> io::Result<()> {
        let subscriber = &mut self.subscribers[index];
        if let Some(records) = subscriber.read(&mut self.scratch, self.script) {
            let now_ns = clock::now_ns();
            self.reads += 1;
            self.last_read_ns = now_ns;
            let worst = &self.script.worst;
            let in_worst = records.start.max(worst.start)..records.end.min(worst.end);
            record(&mut self.whole, self.log, records, now_ns);
            record(&mut self.worst, self.log, in_worst, now_ns);
        } else if subscriber.is_closed {
            epoll::delete(&self.epoll, &subscriber.socket)?;
        }
        Ok(())
    }

    /// Marks the ends of the worst second when the feed passes them.
    fn mark_worst(&mut self) {
        let sent = self.log.sent.load(Ordering::Acquire);
        if self.marks.len() == 1 && sent > self.script.worst.start {
            self.mark();
        }
        if self.marks.len() == 2 && sent >= self.script.worst.end {
            self.mark();
        }
    }

    fn mark(&mut self) {
        self.marks.push(Mark {
            at_ns: clock::now_ns(),
            server: self.server.usage(),
            tools_ns: clock::thread_cpu_ns() + self.log.cpu_ns.load(Ordering::Relaxed),
        });
    }
}

/// Takes the latencies of some records. Many were published at one time, in one batch.
fn record(latencies: &mut Latencies, log: &Log, records: Range<usize>, now_ns: u64) {
    let mut times = records.map(|index| log.published_ns[index].load(Ordering::Relaxed)).peekable();
    while let Some(published_ns) = times.next() {
        let mut count = 1;
        while times.next_if_eq(&published_ns).is_some() {
            count += 1;
        }
        latencies.record_many(now_ns.saturating_sub(published_ns), count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_counts_once_with_its_own_time() {
        let log = Log::new(5);
        for (published_ns, time) in log.published_ns.iter().zip([100_000, 100_000, 200_000, 300_000, 1]) {
            published_ns.store(time, Ordering::Relaxed);
        }
        let mut latencies = Latencies::new();
        record(&mut latencies, &log, 0..4, 400_000);
        let summary = latencies.summary();
        assert_eq!(summary.count, 4);
        assert!(summary.p50.abs_diff(200_000) < 500 && summary.max.abs_diff(300_000) < 500, "{summary}");
        record(&mut latencies, &log, 4..4, 400_000);
        assert_eq!(latencies.summary().count, 4);
    }
}
