//! Subscribers off the fast path, served one by one: when each has its turn, and when it goes back.
//!
//! Runs on the shard's thread. What is sent is laid out by `batch` and taken out of the outbox by `commit`. Invariant: whoever has
//! something to send stands in the backlog, or its socket is full, or it waits for its time.

use std::task::Context;

use super::batch::Laid;
use super::index::{CohortId, SubscriberId};
use super::member::Life;
use super::worker::Shard;
use crate::fault::{self, Planted};
use crate::subscriber::close::CloseReason;
use crate::subscriber::outbox::Outbox;

/// Records read from the ring for singles in a turn: about half a millisecond, which the fast path can spare.
pub(super) const READS_A_TURN: usize = 2048;

/// How serving one subscriber ended.
pub(super) enum Flow {
    /// Nothing is left to send now.
    Done,
    /// The socket takes no more now.
    Full,
    /// The turn's reads are used up.
    OutOfReads,
    /// A record that counts was overwritten before it could be sent, and that ends the subscriber.
    Lost,
    /// What it missed is still being looked for, and goes first.
    Joining,
    /// The connection failed.
    Broken,
}

impl Shard {
    /// Takes a subscriber off the fast path, into a cohort of its own.
    pub(super) fn leave_fast_path(&mut self, id: SubscriberId) -> CohortId {
        let own = self.own_cohort(id);
        let member = &mut self.members[id as usize];
        if member.outbox.is_none() {
            member.outbox = Some(Box::default());
            self.fanout.enlist(own, self.index.cohort(own).shape, true);
            self.ledger.slow += 1;
        }
        own
    }

    /// Puts a subscriber into a cohort of its own, which may be edited.
    pub(super) fn own_cohort(&mut self, id: SubscriberId) -> CohortId {
        let member = &mut self.members[id as usize];
        let shared = member.cohort.expect("only subscribers in the index change their cohort");
        let own = self.index.split(shared, id);
        member.cohort = Some(own);
        if own != shared {
            self.fanout.enlist(own, self.index.cohort(own).shape, false);
            self.is_restless(id);
        }
        own
    }

    fn return_to_fast_path(&mut self, id: SubscriberId) {
        let member = &mut self.members[id as usize];
        let Some(cohort) = member.cohort else { return };
        member.outbox = None;
        self.fanout.enlist(cohort, self.index.cohort(cohort).shape, false);
        self.ledger.slow -= 1;
        self.is_restless(id);
    }

    /// It has something to send: it is served in this turn or the next, unless its socket is full.
    pub(super) fn has_backlog(&mut self, id: SubscriberId) {
        let member = &mut self.members[id as usize];
        let blocked = member.outbox.as_ref().is_none_or(|outbox| outbox.blocked);
        if !blocked && !member.listed {
            member.listed = true;
            self.backlog.push_back(id);
        }
    }

    /// Its socket took less than was offered: its waker tells when it takes more.
    pub(super) fn is_blocked(&mut self, id: SubscriberId) {
        let member = &mut self.members[id as usize];
        let Some(outbox) = member.outbox.as_mut() else { return };
        let writable = member.socket.poll_writable(&mut Context::from_waker(&member.ear.waker()));
        outbox.blocked = writable.is_pending();
        // A socket that took part of an offer still counts as writable until it refuses one.
        self.has_backlog(id);
    }

    /// Its waker spoke: if it was full, is it still?
    pub(super) fn look_at_outbox(&mut self, id: SubscriberId) {
        if fault::is(Planted::WakeLost) {
            return;
        }
        if self.members[id as usize].outbox.as_ref().is_some_and(|outbox| outbox.blocked) {
            self.is_blocked(id);
        }
    }

    /// Sends what waits for one subscriber, as far as its socket and the turn's reads allow.
    pub(super) fn serve(&mut self, id: SubscriberId, reads: &mut usize) {
        let member = &mut self.members[id as usize];
        member.listed = false;
        let Some(mut outbox) = member.outbox.take_if(|outbox| !outbox.blocked) else { return };
        let flow = self.send_waiting(id, &mut outbox, reads);
        self.members[id as usize].outbox = Some(outbox);
        match flow {
            Flow::Done => self.sent_all(id),
            Flow::Full => self.is_blocked(id),
            Flow::OutOfReads => self.has_backlog(id),
            Flow::Joining => {}
            Flow::Lost => self.close(id, CloseReason::Slow),
            Flow::Broken => self.bury(id, CloseReason::ClientVanished),
        }
    }

    fn sent_all(&mut self, id: SubscriberId) {
        let cursor = self.given_out();
        let member = &mut self.members[id as usize];
        match member.life {
            Life::Closing { reason, heard: true, .. } => return self.bury(id, reason),
            // Its own close frame would not be understood: our end of the stream tells that nothing more comes.
            Life::Closing { .. } if member.finished => member.socket.finish(),
            _ => {}
        }
        let is_rated = member.is_rated();
        let Some(outbox) = member.outbox.as_mut() else { return };
        outbox.unordered = false;
        outbox.settle(cursor);
        if outbox.is_joining() {
            // The cursor is about to come up with what was read ahead of it.
            self.has_backlog(id);
        } else if matches!(member.life, Life::Open) && !is_rated && !outbox.has_parked() {
            self.return_to_fast_path(id);
        }
    }

    /// Lays out, offers in one send, takes out what went; again, for as long as all of it goes.
    fn send_waiting(&mut self, id: SubscriberId, outbox: &mut Outbox, reads: &mut usize) -> Flow {
        loop {
            let mut batch = std::mem::take(&mut self.buffers.batch);
            batch.clear();
            let laid = self.lay_out(id, outbox, reads, &mut batch);
            let taken = if batch.bytes.is_empty() { Ok(0) } else { self.offer(id, &batch.bytes) };
            let went = match taken {
                Ok(taken) => self.commit(id, outbox, &batch, taken),
                Err(_) => Err(Flow::Broken),
            };
            self.buffers.batch = batch;
            match (went, laid) {
                (Err(flow), _) => return flow,
                (Ok(()), Laid::More) => {}
                (Ok(()), Laid::All) => return Flow::Done,
                (Ok(()), Laid::OutOfReads) => return Flow::OutOfReads,
                (Ok(()), Laid::Joining) => return Flow::Joining,
                (Ok(()), Laid::Lost) => return Flow::Lost,
            }
        }
    }

    /// One counted send to one subscriber.
    pub(super) fn offer(&mut self, id: SubscriberId, bytes: &[u8]) -> std::io::Result<usize> {
        self.ledger.sends += 1;
        let taken = self.members[id as usize].socket.offer(bytes)?;
        self.ledger.sent_bytes += taken as u64;
        Ok(taken)
    }

    /// A frame of its was torn, and so many bytes of it wait.
    pub(super) fn is_torn_now(&mut self, id: SubscriberId, bytes: usize) {
        self.ledger.torn_bytes += bytes as u64;
        if self.torn.len() > 2 * self.members.len() {
            let mut torn = std::mem::take(&mut self.torn);
            torn.retain(|&(id, tear)| self.is_torn(id, tear));
            self.torn = torn;
        }
        let tear = self.next_serial();
        self.members[id as usize].tear = tear;
        self.torn.push_back((id, tear));
    }

    /// Keeps the torn rests of the shard within their bound: whoever's is oldest is cut, for its frame cannot be finished.
    pub(super) fn bound_torn_pool(&mut self) {
        while self.ledger.torn_bytes > self.options.torn_pool_bytes_max as u64 {
            let Some((id, tear)) = self.torn.pop_front() else { return };
            if self.is_torn(id, tear) {
                self.bury(id, CloseReason::TornPoolFull);
            }
        }
    }

    fn is_torn(&self, id: SubscriberId, tear: u32) -> bool {
        let outbox = self.members.get(id as usize).filter(|member| member.tear == tear);
        outbox.and_then(|member| member.outbox.as_ref()).is_some_and(|outbox| !outbox.torn().is_empty())
    }
}
