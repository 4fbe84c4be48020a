//! Subscribers as the operator sees them, and closing one of them.
//!
//! Runs on the shard's thread, for a letter at a time. It looks at each subscriber once and builds rows only for those that are asked
//! for. Invariant: who is listed still stands in the index or waits to be born; whoever is being closed is gone already.

use std::cmp::Reverse;
use std::net::SocketAddr;

use super::index::SubscriberId;
use super::member::{Life, Member};
use super::tally::Tally;
use super::timers::Millis;
use super::worker::Shard;
use crate::clock::monotonic_ns;
use crate::subscriber::close::CloseReason;

/// By what subscribers are ordered, the largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Age of the oldest record that waits.
    Lag,
    /// Bytes that wait.
    Outbox,
    /// Records dropped.
    Dropped,
    /// Records conflated.
    Conflated,
    /// Time connected.
    Age,
}

/// Which subscribers are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// The first of this order.
    pub sort: Sort,
    /// So many at most.
    pub limit: usize,
}

/// One subscriber.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What it was ordered by.
    pub key: u64,
    /// Its name within the shard.
    pub serial: u32,
    /// Who is at the other end.
    pub peer: SocketAddr,
    /// What the client calls itself.
    pub agent: Option<Box<str>>,
    /// How it speaks.
    pub dialect: &'static str,
    /// Milliseconds since it came.
    pub since_ms: u64,
    /// Channels that it subscribes to.
    pub channels: usize,
    /// Patterns that it subscribes to.
    pub patterns: usize,
    /// Whether it chose a rate for any of them.
    pub rated: bool,
    /// Whether it is off the fast path.
    pub slow: bool,
    /// Bytes that wait for it: those its queued records stand for, a torn frame's rest, control frames.
    pub outbox_bytes: u64,
    /// Records that wait for it.
    pub pending: u64,
    /// What became of the others that were due to it.
    pub tally: Tally,
    /// Age of the oldest record that waits for it; 0: none does.
    pub oldest_waiting_ms: u64,
}

impl Shard {
    /// The first subscribers of an order, in none.
    pub(super) fn census(&self, query: Query) -> Vec<Row> {
        let now_ns = monotonic_ns();
        let listed = self.members.iter().filter(|(_, member)| is_listed(member));
        let mut keys: Vec<_> = listed
            .map(|(id, member)| (Reverse(self.key_of(member, query.sort, now_ns)), member.serial, id))
            .collect();
        if query.limit < keys.len() {
            keys.select_nth_unstable(query.limit);
            keys.truncate(query.limit);
        }
        keys.into_iter().map(|(Reverse(key), _, id)| self.row(key, id as SubscriberId, now_ns)).collect()
    }

    /// Closes the subscriber of this serial; false: there is none (any more).
    pub(super) fn evict(&mut self, serial: u32) -> bool {
        let of =
            |(id, member): (usize, &Member)| (member.serial == serial && is_listed(member)).then_some(id);
        let Some(id) = self.members.iter().find_map(of) else { return false };
        self.close(id as SubscriberId, CloseReason::Admin);
        true
    }

    fn key_of(&self, member: &Member, sort: Sort, now_ns: u64) -> u64 {
        match sort {
            Sort::Lag => self.lag_of(member, now_ns),
            Sort::Outbox => outbox_bytes(member),
            Sort::Dropped => member.tally.tally().dropped,
            Sort::Conflated => member.tally.tally().conflated,
            Sort::Age => self.now.saturating_sub(member.adopted_at),
        }
    }

    fn row(&self, key: u64, id: SubscriberId, now_ns: u64) -> Row {
        let member = &self.members[id as usize];
        let cohort = member.cohort.map(|cohort| self.index.cohort(cohort));
        let slots = cohort.map_or(&[][..], |cohort| &cohort.slots);
        Row {
            key,
            serial: member.serial,
            peer: member.peer,
            agent: member.agent.clone(),
            dialect: member.session.dialect.name(),
            since_ms: self.now.saturating_sub(member.adopted_at),
            channels: slots.len(),
            patterns: cohort.map_or(0, |cohort| cohort.patterns().len()),
            rated: slots.iter().any(|&slot| self.index.slot(slot).every_ms > 0),
            slow: member.outbox.is_some(),
            outbox_bytes: outbox_bytes(member),
            pending: member.outbox.as_ref().map_or(0, |outbox| outbox.pending()),
            tally: member.tally.tally(),
            oldest_waiting_ms: self.lag_of(member, now_ns),
        }
    }

    /// Milliseconds that the oldest record has waited for a subscriber.
    fn lag_of(&self, member: &Member, now_ns: u64) -> Millis {
        let Some(outbox) = &member.outbox else { return 0 };
        let since = outbox.waiting_since(|position| self.came_at(position, now_ns));
        since.map_or(0, |since| self.now.saturating_sub(since))
    }

    /// When a record of the ring came. One that was overwritten is at least as old as the oldest that was not.
    fn came_at(&self, position: u64, now_ns: u64) -> Millis {
        let ring = self.reader.ring();
        let came_ns =
            ring.entry(position).map_or_else(|_| ring.oldest_ns(), |entry| Some(entry.monotonic_ns));
        let age_ns = came_ns.map_or(0, |came_ns| now_ns.saturating_sub(came_ns));
        self.now.saturating_sub(age_ns / 1_000_000)
    }
}

/// Whether a subscriber is still one: who is closed, or condemned to be, only waits for its end.
fn is_listed(member: &Member) -> bool {
    matches!(member.life, Life::Newborn(_) | Life::Open)
}

fn outbox_bytes(member: &Member) -> u64 {
    let bytes = member
        .outbox
        .as_ref()
        .map_or(0, |outbox| outbox.queued_bytes() + outbox.torn().len() + outbox.control().len());
    bytes as u64
}
