//! Subscribers that share a thread: read when there is something, ticked by the clock, judged at the feed's end.
//!
//! The thread that runs it. Must not wait for one subscriber. Invariant: a turn looks at every socket, so that what was not
//! there at one turn came after it.

use super::context::Context;
use super::expected::Expected;
use super::plan::{PlanArguments, Role};
use super::report::Report;
use super::subscriber::Subscriber;
use crate::clock;
use crate::latency::{Latencies, Summary};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Connections that are not subscribed yet, at most: below any listener's backlog.
const CONNECTING_MAX: usize = 50;
const CONNECTED_WITHIN_NS: u64 = 60_000_000_000;
const SCRATCH_BYTES: usize = 256 * 1024;
const TURN_NS: u64 = 20_000_000;
/// How long the last values are waited for, and how long one listens on for what should not come.
const LAST_WITHIN_NS: u64 = 45_000_000_000;
const LISTENS_ON_NS: u64 = 300_000_000;

/// When the feed ended, ns; 0 until it did. Readers of other processes get it by a line.
pub(crate) type End = AtomicU64;

/// Not kept with the subscribers: it may not pass from thread to thread, and they do.
type Events = Vec<epoll::Event>;

/// Some subscribers.
pub(crate) struct Group {
    subscribers: Vec<Subscriber>,
    epoll: rustix::fd::OwnedFd,
    context: Context,
    /// Least time between two turns, ns.
    pause_ns: u64,
    /// Within which everybody who reads has to have the last values, from the feed's end.
    allowed_ns: u64,
}

impl Group {
    /// The subscribers of these numbers, not connected yet: the least time between two turns, and what the last values may
    /// take from the feed's end, ns.
    pub(crate) fn new(
        plan: &PlanArguments,
        numbers: impl Iterator<Item = usize>,
        to: SocketAddr,
        expected: Arc<Expected>,
        (pause_ns, allowed_ns): (u64, u64),
    ) -> io::Result<Self> {
        let subscriber = |number| {
            let wish = plan.wish(number, expected.names());
            Subscriber::new(number, wish, plan.random(number), to, &expected)
        };
        let subscribers: Vec<Subscriber> = numbers.map(subscriber).collect();
        Self::of(subscribers, expected, (pause_ns, allowed_ns))
    }

    /// These subscribers.
    pub(crate) fn of(
        subscribers: Vec<Subscriber>,
        expected: Arc<Expected>,
        (pause_ns, allowed_ns): (u64, u64),
    ) -> io::Result<Self> {
        let context = Context {
            expected,
            sent_ns: None,
            latencies: Latencies::new(),
            report: Report::default(),
            scratch: vec![0; SCRATCH_BYTES],
            now_ns: clock::now_ns(),
            before_ns: 0,
            books: None,
        };
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { subscribers, epoll, context, pause_ns, allowed_ns })
    }

    /// From now on latencies are taken from these times, by place on the tape.
    pub(crate) fn measure_from(&mut self, sent_ns: Arc<Vec<AtomicU64>>) {
        self.context.sent_ns = Some(sent_ns);
    }

    /// From now on the books that depth channels make are written down.
    pub(crate) fn keep_books(&mut self) {
        self.context.books = Some(super::books::Books::default());
    }

    /// The books that were made.
    pub(crate) fn books(&mut self) -> super::books::Books {
        self.context.books.take().unwrap_or_default()
    }

    /// Latencies taken so far.
    pub(crate) fn latency(&self) -> Summary {
        self.context.latencies.summary()
    }

    /// Connects and subscribes all.
    pub(crate) fn gather(&mut self) -> io::Result<()> {
        let deadline_ns = clock::now_ns() + CONNECTED_WITHIN_NS;
        for index in 0..self.subscribers.len() {
            self.context.now_ns = clock::now_ns();
            self.subscribers[index].connect(&self.context)?;
            self.watch(index)?;
            self.settle(index + 1, CONNECTING_MAX, deadline_ns)?;
        }
        self.settle(self.subscribers.len(), 0, deadline_ns)
    }

    /// Turns until at most so many of the first ones are not subscribed.
    fn settle(&mut self, connected: usize, open_max: usize, deadline_ns: u64) -> io::Result<()> {
        let open =
            |group: &Self| group.subscribers[..connected].iter().filter(|one| !one.is_settled()).count();
        while open(self) > open_max {
            if clock::now_ns() > deadline_ns {
                return Err(io::Error::other(format!(
                    "{} subscribers wait for their acknowledgement",
                    open(self)
                )));
            }
            self.turn(&mut Events::new(), false)?;
        }
        Ok(())
    }

    /// Follows everything until the feed has ended and the last values are there, or do not come.
    pub(crate) fn run(&mut self, end: &End) -> io::Result<Report> {
        let mut events = Events::new();
        let end_ns = loop {
            match end.load(Relaxed) {
                0 => self.turn(&mut events, false)?,
                end_ns => break end_ns,
            }
        };
        self.subscribers.iter_mut().for_each(Subscriber::begin_end);
        let mut after_ns: Vec<Option<u64>> = vec![None; self.subscribers.len()];
        while after_ns.contains(&None) && clock::now_ns() < end_ns + LAST_WITHIN_NS {
            self.turn(&mut events, true)?;
            self.note_the_complete(end_ns, &mut after_ns);
        }
        let until_ns = clock::now_ns() + LISTENS_ON_NS;
        while clock::now_ns() < until_ns {
            self.turn(&mut events, true)?;
        }
        for (subscriber, after_ns) in self.subscribers.iter().zip(after_ns) {
            subscriber.judge_last(after_ns, self.allowed_ns, &mut self.context);
        }
        Ok(std::mem::take(&mut self.context.report))
    }

    fn note_the_complete(&mut self, end_ns: u64, after_ns: &mut [Option<u64>]) {
        let now_ns = self.context.now_ns;
        for (subscriber, after_ns) in self.subscribers.iter_mut().zip(after_ns) {
            if after_ns.is_none()
                && (subscriber.is_over() || subscriber.missing(&self.context.expected).is_none())
            {
                *after_ns = Some(subscriber.note_last(end_ns, now_ns));
            }
        }
    }

    /// One round: each socket that has something is read once, and everybody does what is due by the clock.
    fn turn(&mut self, events: &mut Events, feed_ended: bool) -> io::Result<()> {
        let began_ns = clock::now_ns();
        events.clear();
        // Room for all of them: a socket that is not told has nothing.
        events.reserve(self.subscribers.len());
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&clock::timespec(TURN_NS))) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let looked_ns = clock::now_ns();
        for event in events.iter() {
            let subscriber = event.data.u64() as usize;
            self.context.now_ns = clock::now_ns();
            self.subscribers[subscriber].read(&mut self.context);
        }
        self.context.now_ns = clock::now_ns();
        for index in 0..self.subscribers.len() {
            if self.subscribers[index].tick(feed_ended, &mut self.context)? {
                self.watch(index)?;
            }
        }
        self.context.before_ns = looked_ns;
        clock::sleep_until(began_ns + self.pause_ns)
    }

    /// A slow reader's socket is not watched: it is read by the clock. A closed socket is not watched any more by itself.
    fn watch(&self, index: usize) -> io::Result<()> {
        let subscriber = &self.subscribers[index];
        if let (Some(connection), true) = (&subscriber.connection, subscriber.is_ready_driven()) {
            let data = epoll::EventData::new_u64(index as u64);
            epoll::add(&self.epoll, &connection.socket, data, epoll::EventFlags::IN)?;
        }
        Ok(())
    }
}

/// How often a role's process looks at its sockets: only the healthy ones' latency is measured.
pub(crate) fn pause_ns(role: Role) -> u64 {
    if role == Role::Healthy { 0 } else { 2_000_000 }
}
