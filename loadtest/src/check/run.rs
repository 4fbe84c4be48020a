//! One run of the check: server, readers, healthy subscribers, feed; and the run that compares books.
//!
//! The driver's thread. Must not read for subscribers that are to be stopped: those live in processes of their own.
//! Invariant: every process that was started here is ended here.

use super::expected::{Expected, Spool};
use super::group::{End, Group, pause_ns};
use super::plan::{Role, Wish};
use super::reader::Reader;
use super::report::Report;
use super::subscriber::Subscriber;
use super::{CheckArguments, Metrics, Tape, delivery, play, times};
use crate::clock;
use crate::latency::Summary;
use crate::server::Server;
use fastrand::Rng;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

/// How long a process runs between two stops, at least and at most; and how long it is stopped at least.
const RUNS_NS: (u64, u64) = (200_000_000, 2_000_000_000);
const STOPPED_NS_MIN: u64 = 100_000_000;
const LOOK_NS: u64 = 10_000_000;
/// Within which the shards have seen all and forgotten who left.
const QUIET_WITHIN_NS: u64 = 10_000_000_000;
/// In the comparison of books: who reads how. Number 0 is the fast one.
const DEPTH_ROLES: [(Role, u64); 8] = [
    (Role::Healthy, 0),
    (Role::Slow, 0),
    (Role::Slow, 0),
    (Role::Slow, 0),
    (Role::Rated, 100),
    (Role::Rated, 250),
    (Role::Rated, 1000),
    (Role::Rated, 1000),
];

/// What all runs share.
pub(super) struct Check<'a> {
    pub(super) arguments: &'a CheckArguments,
    pub(super) tape: &'a Tape,
    pub(super) spool: &'a Spool,
    pub(super) expected: &'a Arc<Expected>,
}

/// What came of a run.
pub(super) struct Outcome {
    /// By role.
    pub(super) reports: BTreeMap<&'static str, Report>,
    /// Of the healthy, from the feed's write to the read.
    pub(super) latency: Summary,
    pub(super) ledger: String,
    pub(super) wrongs: Vec<String>,
}

impl Check<'_> {
    /// Plays the tape to the healthy, and to the others where asked.
    pub(super) fn run(&self, others: bool) -> io::Result<Outcome> {
        let plan = &self.arguments.plan;
        let server = self.start_server()?;
        let mut readers = if others { self.start_readers(&server)? } else { Vec::new() };
        let numbers = plan.numbers(Role::Healthy);
        let expected = Arc::clone(self.expected);
        let mut healthy =
            Group::new(plan, numbers, server.subscribers, expected, self.times_ns(Role::Healthy))?;
        let sent_ns = times(self.tape);
        healthy.measure_from(Arc::clone(&sent_ns));
        healthy.gather()?;
        readers.iter_mut().try_for_each(Reader::wait_until_ready)?;
        let mut reports = self.play_to(&server, &mut healthy, &mut readers, &sent_ns)?;
        for reader in &mut readers {
            reports.entry(reader.role.name()).or_default().add(reader.report()?);
        }
        let latency = healthy.latency();
        drop((healthy, readers));
        let (ledger, wrongs) = self.ledger(&server)?;
        Ok(Outcome { reports, latency, ledger, wrongs })
    }

    fn times_ns(&self, role: Role) -> (u64, u64) {
        (pause_ns(role), clock::seconds(self.arguments.last_within))
    }

    fn start_server(&self) -> io::Result<Server> {
        self.arguments.server.start(&[&delivery(self.arguments.plan.plain_depth)])
    }

    fn start_readers(&self, server: &Server) -> io::Result<Vec<Reader>> {
        let mut readers = Vec::new();
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Healthy) {
            let parts = if role == Role::Stopped { self.arguments.stopped_processes.max(1) } else { 1 };
            for part in 0..parts {
                let folder = self.spool.folder();
                readers.push(Reader::start(server.subscribers, folder, role, (part, parts), self.arguments)?);
            }
        }
        Ok(readers)
    }

    /// Plays the tape while the healthy read and the stopped are stopped and continued; tells everybody the end.
    fn play_to(
        &self,
        server: &Server,
        healthy: &mut Group,
        readers: &mut [Reader],
        sent_ns: &[AtomicU64],
    ) -> io::Result<BTreeMap<&'static str, Report>> {
        let end = End::new(0);
        thread::scope(|scope| {
            let feed = scope.spawn(|| {
                let played = play(self.tape, server.ingest, self.arguments.speed, sent_ns);
                // A feed that failed ended too: nobody shall wait for it.
                end.store(*played.as_ref().unwrap_or(&1), Relaxed);
                played
            });
            let healthy = scope.spawn(|| healthy.run(&end));
            self.stop_and_continue(readers, &end)?;
            let failed = |_| io::Error::other("a thread of the check panicked");
            let end_ns = feed.join().map_err(failed)??;
            for reader in readers {
                // Who was stopped to the end reads from now on.
                let reads_from_ns = if reader.role == Role::Stopped { clock::now_ns() } else { end_ns };
                reader.tell_end(reads_from_ns)?;
            }
            let report = healthy.join().map_err(failed)??;
            Ok(BTreeMap::from([(Role::Healthy.name(), report)]))
        })
    }

    /// Stops and continues the readers whose role that is until the feed ends; leaves all running.
    fn stop_and_continue(&self, readers: &[Reader], end: &End) -> io::Result<()> {
        let mut random = Rng::with_seed(self.arguments.plan.seed);
        let stopped_ns = (STOPPED_NS_MIN, clock::seconds(self.arguments.stop_max).max(STOPPED_NS_MIN + 1));
        let mut stoppable: Vec<(&Reader, bool, u64)> = Vec::new();
        for reader in readers.iter().filter(|reader| reader.role == Role::Stopped) {
            stoppable.push((reader, false, clock::now_ns() + random.u64(..RUNS_NS.1)));
        }
        while end.load(Relaxed) == 0 {
            let now_ns = clock::now_ns();
            for (reader, is_stopped, next_ns) in
                stoppable.iter_mut().filter(|(_, _, next_ns)| *next_ns <= now_ns)
            {
                *is_stopped = !*is_stopped;
                reader.signal(if *is_stopped { Signal::STOP } else { Signal::CONT })?;
                let (least, most) = if *is_stopped { stopped_ns } else { RUNS_NS };
                *next_ns = now_ns + random.u64(least..most);
            }
            clock::sleep_until(now_ns + LOOK_NS)?;
        }
        stoppable.iter().try_for_each(|(reader, ..)| reader.signal(Signal::CONT))
    }

    /// The server's account, once it has seen everybody leave.
    fn ledger(&self, server: &Server) -> io::Result<(String, Vec<String>)> {
        let admin = server.admin.ok_or_else(|| io::Error::other("the server has no admin listener"))?;
        let deadline_ns = clock::now_ns() + QUIET_WITHIN_NS;
        loop {
            let metrics = Metrics::scrape(admin)?;
            let is_quiet = metrics.shard("subscribers") == 0 && metrics.shard("pending_records") == 0;
            if is_quiet || clock::now_ns() > deadline_ns {
                let mut wrongs = metrics.wrongs(self.tape.records.len() as u64);
                if !is_quiet {
                    wrongs.push("ledger: somebody is still there".to_owned());
                }
                return Ok((metrics.line(), wrongs));
            }
            clock::sleep_until(clock::now_ns() + LOOK_NS)?;
        }
    }

    /// Compares the books of slow, rated and fast readers of every depth channel.
    pub(super) fn depth(&self) -> io::Result<()> {
        let server = self.start_server()?;
        let subscribers = self.depth_readers(&server);
        let mut group = Group::of(subscribers, Arc::clone(self.expected), self.times_ns(Role::Slow))?;
        group.keep_books();
        group.gather()?;
        let mut reports = self.play_to(&server, &mut group, &mut [], &times(self.tape))?;
        let report = reports.remove(Role::Healthy.name()).unwrap_or_default();
        let compared = group.books().compare(0);
        println!("{}\n{}", Report::head(), report.row("depth"));
        println!(
            "depth: {} views of slow and rated readers against the fast one's: {} merged messages, {} books compared at a \
             common u, {} unequal, {} at a u that the fast one never had, {} views ended with a gap",
            compared.views,
            compared.merged,
            compared.common,
            compared.unequal,
            compared.strange,
            compared.broken
        );
        report.first.iter().for_each(|violation| println!("VIOLATION {violation}"));
        compared.first.iter().for_each(|first| println!("VIOLATION books differ first at {first}"));
        match report.violations + compared.unequal + compared.strange {
            0 if compared.common > 0 => Ok(()),
            0 => Err(io::Error::other("nothing was compared")),
            count => Err(io::Error::other(format!("{count} violations"))),
        }
    }

    fn depth_readers(&self, server: &Server) -> Vec<Subscriber> {
        let names = self.expected.names();
        let channels: Vec<usize> =
            (0..names.len()).filter(|channel| names[*channel].ends_with("@depth")).collect();
        let reader = |(number, (role, every_ms)): (usize, &(Role, u64))| {
            let wish =
                Wish { role: *role, channels: channels.clone(), patterns: Vec::new(), every_ms: *every_ms };
            Subscriber::new(
                number,
                wish,
                self.arguments.plan.random(number),
                server.subscribers,
                self.expected,
            )
        };
        DEPTH_ROLES.iter().enumerate().map(reader).collect()
    }
}
