//! The loop of a shard: the order of a turn, and when to sleep.
//!
//! Runs on the shard's thread and owns everything there; decides nothing that another file could. Invariant: a turn's work is bounded,
//! and it sleeps only when the ring was empty after it had said that it would sleep.

use std::collections::VecDeque;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Options;
use super::batch::Batch;
use super::cycle::Drain;
use super::departure::Departure;
use super::fanout::Fanout;
use super::index::{CohortId, Index, SlotId, SubscriberId};
use super::journal::Journal;
use super::lapped::Walk;
use super::latency::Latency;
use super::life::millis;
use super::mailbox::{self, Errand, Letter, Mailbox, Post};
use super::member::Member;
use super::ready::ReadyList;
use super::shelf::Shelf;
use super::stats::{Ledger, Stats};
use super::timers::{Millis, Wheel};
use crate::channel::Catalogue;
use crate::ring::{Entry, Position, Reader};
use crate::subscriber::close::CloseReason;

/// Letters taken in a turn. Adopting one costs about 10 us; more would be felt by those who stream.
const LETTERS_A_TURN: usize = 64;
/// Ready sockets looked at in a turn, for the same reason.
const READY_A_TURN: usize = 256;
/// Longest sleep: a bell rings for everything, so this only bounds what a forgotten one could do.
const SLEEP_MAX_MS: Millis = 1000;
/// Time that slow subscribers get to take what waits for them when the server ends.
const DRAIN_MS: Millis = 3000;
/// A cohort of one that has not changed for this long looks for others of its kind.
const STILL_MS: Millis = 1000;
/// Cohorts of one that may merge in a turn.
const MERGES_A_TURN: usize = 64;

/// A shard's place before its thread runs: made by who starts the thread, moved into it.
pub struct Seat {
    post: Post,
    bell: Arc<Notify>,
    stats: Arc<Stats>,
}

impl Seat {
    /// A seat and the mailbox that leads to it.
    #[must_use]
    pub fn new(options: &Options) -> (Mailbox, Self) {
        let bell = Arc::new(Notify::new());
        let (mailbox, post) = mailbox::new(options.mailbox_letters_max, Arc::clone(&bell));
        (mailbox, Self { post, bell, stats: Arc::default() })
    }

    /// What wakes the shard.
    #[must_use]
    pub fn bell(&self) -> Arc<Notify> {
        Arc::clone(&self.bell)
    }

    /// Where its ledger appears.
    #[must_use]
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }
}

/// How far the shard is from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Told to end: what is in the ring is still delivered, and what waits for slow subscribers until this time.
    Draining {
        until: Millis,
    },
    /// Everyone was sent a close frame.
    Closing,
}

/// One shard. It stays on the thread that made it.
pub struct Shard {
    pub(super) options: Options,
    pub(super) epoch: Arc<str>,
    pub(super) reader: Reader,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) post: Post,
    pub(super) bell: Arc<Notify>,
    stats: Arc<Stats>,
    pub(super) ledger: Ledger,
    pub(super) latency: Latency,
    pub(super) journal: Journal,
    pub(super) ready: Arc<ReadyList>,
    pub(super) members: Shelf<Member>,
    /// Rises with each subscriber, timer and torn frame, so that what outlives them is told apart.
    pub(super) serial: u32,
    pub(super) index: Index,
    pub(super) fanout: Fanout,
    pub(super) wheel: Wheel<(SubscriberId, u32)>,
    /// Singles that have something to send and a socket that may take it.
    pub(super) backlog: VecDeque<SubscriberId>,
    /// Records that this cycle put aside for singles whose sockets would take them.
    pub(super) aside: usize,
    /// Whose frames are torn, oldest first; those finished since are passed over, and swept out before they are many.
    pub(super) torn: VecDeque<(SubscriberId, u32)>,
    /// Cohorts of one that changed lately, by the time they are looked at again (its low half); each stands here once.
    pub(super) restless: VecDeque<(u32, SubscriberId)>,
    /// To be ended when the cycle is over.
    pub(super) condemned: Vec<(SubscriberId, CloseReason)>,
    /// `every` channels of which records were lost, until the cycle is over.
    pub(super) holed: Vec<SlotId>,
    pub(super) walk: Option<Walk>,
    /// Where the ring ended when the last walk did: once the cursor is here, each channel was met since the lap.
    pub(super) walked_to: Position,
    /// The first entry of a channel that patterns match: taken when they have joined.
    pub(super) held: Option<Entry>,
    /// Subscribers for whom what they missed is being looked for.
    pub(super) joiners: VecDeque<SubscriberId>,
    pub(super) phase: Phase,
    /// Until then records gather in the ring, and are sent together.
    pub(super) gathers_until: Millis,
    pub(super) coalesce_ms: Millis,
    /// `Some`: the server is about to end.
    pub(super) departure: Option<Departure>,
    pub(super) now: Millis,
    pub(super) buffers: Buffers,
    started: Instant,
    _stays_on_its_thread: PhantomData<Rc<()>>,
}

/// Buffers that live as long as the shard, so that no turn allocates them.
#[derive(Default)]
pub(super) struct Buffers {
    /// What is read from a client, one at a time.
    pub(super) inbound: Vec<u8>,
    /// What stands around a payload.
    pub(super) label: Vec<u8>,
    /// Frames encoded for one subscriber alone.
    pub(super) batch: Batch,
    pub(super) due: Vec<(SubscriberId, u32)>,
    /// Cohorts of one off the fast path that a record matched.
    pub(super) singles: Vec<CohortId>,
    pub(super) cut: Vec<(CohortId, SubscriberId, Option<usize>)>,
}

/// Bytes read from a client at once.
const INBOUND_BYTES: usize = 64 * 1024;

/// Milliseconds until a time of which the low half is known: one that has passed, or is at most 24 days ahead.
fn until(low: u32, now: Millis) -> Millis {
    Millis::try_from(low.wrapping_sub(now as u32).cast_signed()).unwrap_or(0)
}

impl Shard {
    /// A shard without subscribers. `epoch` names the numbering of sequences.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the driver reads the clock; everything else is told the time"
    )]
    pub fn new(
        options: Options,
        seat: Seat,
        reader: Reader,
        catalogue: Arc<Catalogue>,
        epoch: Arc<str>,
    ) -> Self {
        let Seat { post, bell, stats } = seat;
        let coalesce_ms = millis(options.coalesce);
        let buffers = Buffers { inbound: vec![0; INBOUND_BYTES], ..Buffers::default() };
        Self {
            options,
            epoch,
            reader,
            catalogue,
            post,
            ready: ReadyList::new(Arc::clone(&bell)),
            bell,
            stats,
            ledger: Ledger::default(),
            latency: Latency::default(),
            journal: Journal::default(),
            members: Shelf::default(),
            serial: 0,
            index: Index::default(),
            fanout: Fanout::default(),
            wheel: Wheel::new(),
            backlog: VecDeque::new(),
            aside: 0,
            torn: VecDeque::new(),
            restless: VecDeque::new(),
            condemned: Vec::new(),
            holed: Vec::new(),
            walk: None,
            walked_to: 0,
            held: None,
            joiners: VecDeque::new(),
            phase: Phase::Serving,
            gathers_until: 0,
            coalesce_ms,
            departure: None,
            now: 0,
            buffers,
            started: Instant::now(),
            _stays_on_its_thread: PhantomData,
        }
    }

    /// Serves until it is told to end and everyone has gone. On a current-thread runtime, without tokio's budget: the
    /// turn has its own bounds.
    pub async fn run(self) {
        tokio::task::unconstrained(self.turns()).await;
    }

    async fn turns(mut self) {
        while !self.is_over() {
            let drained = self.turn();
            if drained == Drain::More || self.has_work() {
                // Polls the reactor, so that sockets become ready.
                tokio::task::yield_now().await;
            } else if self.is_gathering() {
                self.rest(self.started).await;
            } else if !self.is_over() {
                // The turn that lets the last one go is the last: nothing would wake the shard again but its timer.
                self.sleep().await;
            }
        }
        self.publish_ledger();
    }

    fn turn(&mut self) -> Drain {
        self.turn_at(millis(self.started.elapsed()))
    }

    /// One turn, at a time that never falls.
    pub(super) fn turn_at(&mut self, now: Millis) -> Drain {
        self.now = now;
        self.take_letters();
        self.run_timers();
        self.serve_ready();
        let drained = self.cycle();
        self.walk_on();
        let mut reads = super::singles::READS_A_TURN;
        self.go_on_resuming(&mut reads);
        self.serve_backlog(&mut reads);
        self.merge_still();
        self.go_on_departing();
        self.go_on_ending(drained);
        self.publish_ledger();
        drained
    }

    fn take_letters(&mut self) {
        for _ in 0..LETTERS_A_TURN {
            match self.post.take() {
                Some(Letter::Newborn(newborn)) => self.adopt(*newborn),
                Some(Letter::Errand(errand)) => return self.run_errand(errand),
                Some(Letter::Notice { window_ms, presence }) => self.begin_departure(window_ms, presence),
                Some(Letter::Shutdown) => {
                    self.phase = Phase::Draining { until: self.now + DRAIN_MS };
                    // Who is still here gets all that was published before being closed.
                    self.departure = None;
                }
                None => return,
            }
        }
    }

    /// One a turn: it looks at each subscriber. Who asked may have given up meanwhile.
    fn run_errand(&mut self, errand: Errand) {
        match errand {
            Errand::Census(query, reply) => drop(reply.send(self.census(query))),
            Errand::Evict(serial, reply) => drop(reply.send(self.evict(serial))),
        }
    }

    fn run_timers(&mut self) {
        let mut due = std::mem::take(&mut self.buffers.due);
        self.wheel.advance(self.now, &mut due);
        for (id, serial) in due.drain(..) {
            if self.is_here(id, serial) {
                self.tick(id);
            }
        }
        self.buffers.due = due;
    }

    fn serve_ready(&mut self) {
        for _ in 0..READY_A_TURN {
            let Some(id) = self.ready.pop() else { return };
            // A waker may outlive its subscriber; the one who has its number now is looked at in vain.
            if self.members.contains(id as usize) {
                self.look_at(id);
            }
        }
    }

    fn serve_backlog(&mut self, reads: &mut usize) {
        for _ in 0..self.backlog.len() {
            let Some(id) = self.backlog.pop_front() else { return };
            if self.members.contains(id as usize) {
                self.serve(id, reads);
                self.bound_torn_pool();
            }
        }
    }

    /// A subscriber's channels changed: once still, it may share a cohort again.
    pub(super) fn is_restless(&mut self, id: SubscriberId) {
        match &mut self.members[id as usize].unrest {
            Some(changed_since) => *changed_since = true,
            unrest @ None => {
                *unrest = Some(false);
                self.restless.push_back(((self.now + STILL_MS) as u32, id));
            }
        }
    }

    fn merge_still(&mut self) {
        let now = self.now;
        for _ in 0..MERGES_A_TURN {
            let is_due = |&mut (at, _): &mut _| until(at, now) == 0;
            let Some((_, id)) = self.restless.pop_front_if(is_due) else { return };
            // One who has the number of a subscriber that is gone is looked at early, and merges early.
            let Some(member) = self.members.get_mut(id as usize) else { continue };
            if member.unrest.take() == Some(true) {
                self.is_restless(id);
            } else if member.outbox.is_none()
                && let Some(cohort) = member.cohort
            {
                member.cohort = Some(self.index.merge(cohort));
            }
        }
    }

    fn go_on_ending(&mut self, drained: Drain) {
        let Phase::Draining { until } = self.phase else { return };
        if drained == Drain::More || self.walk.is_some() {
            return;
        }
        self.send_parked();
        if self.now >= until || !self.has_waiting_records() {
            self.phase = Phase::Closing;
            self.close_everyone(CloseReason::Shutdown);
        }
    }

    fn has_waiting_records(&self) -> bool {
        let mut outboxes = self.members.iter().filter_map(|(_, member)| member.outbox.as_ref());
        outboxes.any(|outbox| outbox.pending() > 0)
    }

    fn is_over(&self) -> bool {
        self.phase == Phase::Closing && self.members.is_empty()
    }

    pub(super) fn has_work(&self) -> bool {
        let is_searching = !self.joiners.is_empty();
        is_searching
            || !self.backlog.is_empty()
            || !self.ready.is_empty()
            || self.walk.is_some()
            || self.is_telling()
            || !self.post.is_empty()
    }

    fn publish_ledger(&mut self) {
        self.ledger.subscribers = self.members.len() as u64;
        self.ledger.cohorts = self.index.cohorts_len() as u64;
        debug_assert!(self.ledger.adds_up(), "{:?}", self.ledger);
        self.stats.publish(&self.ledger);
        self.latency.publish(&self.stats);
    }

    /// Milliseconds until something is due.
    pub(super) fn sleeps_ms(&self) -> Millis {
        let longest = if self.is_gathering() { self.gathers_until - self.now } else { SLEEP_MAX_MS };
        let until_timer = self.wheel.idle_for(longest);
        let until_merge = self.restless.front().map_or(longest, |&(at, _)| until(at, self.now).max(1));
        until_timer.min(until_merge)
    }

    async fn sleep(&self) {
        if !self.reader.doze() {
            // Something came at the last moment, and may again and again: the reactor has its turn all the same.
            tokio::task::yield_now().await;
            return;
        }
        let longest = Duration::from_millis(self.sleeps_ms());
        // An elapsed time-out and a bell mean the same: look at everything again.
        let _ = tokio::time::timeout(longest, self.bell.notified()).await;
        self.reader.rouse();
    }
}
