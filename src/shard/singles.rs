//! Subscribers off the fast path, served one by one: the rest of a torn frame, control frames, marks, queued positions.
//!
//! Runs on the shard's thread. A record's bytes are read from the ring when the socket has room, never kept. Invariant: bytes go out in this
//! order, and an item leaves the outbox only when the kernel took its last byte or its beginning (then it is the torn one).

use std::task::Context;

use super::cycle::{id_of, write_frame};
use super::index::{CohortId, SubscriberId};
use super::life::Life;
use super::worker::Shard;
use crate::dialect::Shape;
use crate::dialect::shape::{Label, Mark as Said};
use crate::ring::{Entry, Lapped};
use crate::subscriber::close::CloseReason;
use crate::subscriber::outbox::{Item, Mark, Outbox, Queued};

/// Records read from the ring for singles in a turn: about half a millisecond, which the fast path can spare.
pub(super) const READS_A_TURN: usize = 2048;
/// Bytes gathered for one offer. More than a socket is likely to take is encoded in vain.
const BATCH_BYTES: usize = 64 * 1024;
/// Times that the publisher may overtake one read of a latest record before the read is given up: a ring that turns over so often within a
/// microsecond is too small for its feed.
const REFRESHES_MAX: usize = 4;

/// How serving one subscriber ended.
enum Flow {
    /// Nothing is left to send.
    Done,
    /// The socket takes no more now.
    Full,
    /// The turn's reads are used up.
    OutOfReads,
    /// A queued record was overwritten before it could be sent.
    Lost,
    /// What it missed is still being looked for, and goes first.
    Joining,
    /// The connection failed.
    Broken,
}

/// What becomes of an item.
enum Fill {
    /// Its frame was appended to the batch.
    Encoded,
    /// The subscriber has it already, by what was read ahead of the cursor.
    Covered,
    /// The channel expired: there is no value any more.
    Gone,
    /// It was overwritten.
    Lost,
}

/// An item of the batch: where its frame ends, and whether there is one.
struct Placed {
    end: usize,
    fill: Fill,
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
        let writable = member.socket.poll_writable(&mut Context::from_waker(&member.ear));
        outbox.blocked = writable.is_pending();
        // A socket that took part of an offer still counts as writable until it refuses one.
        self.has_backlog(id);
    }

    /// Its waker spoke: if it was full, is it still?
    pub(super) fn look_at_outbox(&mut self, id: SubscriberId) {
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
        let member = &mut self.members[id as usize];
        match member.life {
            Life::Closing { reason, heard: true, .. } => return self.bury(id, reason),
            // Its own close frame would not be understood: our end of the stream tells that nothing more comes.
            Life::Closing { .. } if member.finished => member.socket.finish(),
            _ => {}
        }
        let Some(outbox) = member.outbox.as_mut() else { return };
        let index = &self.index;
        outbox.settle(|slot| index.seen(slot));
        if outbox.is_joining() {
            // The cursor is about to come up with what was read ahead of it.
            self.has_backlog(id);
        } else if matches!(member.life, Life::Open) && !self.is_rated(id) {
            self.return_to_fast_path(id);
        }
    }

    fn send_waiting(&mut self, id: SubscriberId, outbox: &mut Outbox, reads: &mut usize) -> Flow {
        loop {
            match self.send_bytes(id, outbox) {
                Ok(true) => {}
                Ok(false) => return Flow::Full,
                Err(_) => return Flow::Broken,
            }
            if self.members[id as usize].joining.is_some() {
                return Flow::Joining;
            }
            if outbox.item(0).is_none() {
                return Flow::Done;
            }
            if *reads == 0 {
                return Flow::OutOfReads;
            }
            let flow = self.send_batch(id, outbox, reads);
            if let Some(flow) = flow {
                return flow;
            }
        }
    }

    /// The torn frame's rest, then control frames; whether all of it was taken.
    fn send_bytes(&mut self, id: SubscriberId, outbox: &mut Outbox) -> std::io::Result<bool> {
        if !outbox.torn().is_empty() {
            let taken = self.offer(id, outbox.torn())?;
            self.ledger.torn_bytes -= taken as u64;
            if outbox.torn_taken(taken) {
                self.ledger.pending -= 1;
                self.ledger.delivered += 1;
            } else {
                return Ok(false);
            }
        }
        if !outbox.control().is_empty() {
            let taken = self.offer(id, outbox.control())?;
            outbox.control_taken(taken);
        }
        let all = outbox.control().is_empty();
        let member = &mut self.members[id as usize];
        if all && std::mem::take(&mut member.deaf) {
            member.ear.wake_by_ref();
        }
        Ok(all)
    }

    /// One counted send to one subscriber.
    pub(super) fn offer(&mut self, id: SubscriberId, bytes: &[u8]) -> std::io::Result<usize> {
        self.ledger.sends += 1;
        let taken = self.members[id as usize].socket.offer(bytes)?;
        self.ledger.sent_bytes += taken as u64;
        Ok(taken)
    }

    /// Reads the next items from the ring, offers them in one send, and takes out of the outbox what went. `None`: go on.
    fn send_batch(&mut self, id: SubscriberId, outbox: &mut Outbox, reads: &mut usize) -> Option<Flow> {
        let mut batch = std::mem::take(&mut self.buffers.batch);
        batch.clear();
        let mut placed = Vec::new();
        while batch.len() < BATCH_BYTES && *reads > 0 {
            let Some(item) = outbox.item(placed.len()) else { break };
            *reads -= 1;
            let fill = self.fill(id, outbox, item, &mut batch);
            let lost = matches!(fill, Fill::Lost);
            placed.push(Placed { end: batch.len(), fill });
            if lost {
                // Nothing from behind the hole is sent, and no frame of it can be torn by the close that follows.
                break;
            }
        }
        let flow = match self.offer(id, &batch) {
            Ok(taken) => self.commit(id, outbox, &placed, &batch, taken),
            Err(_) => Some(Flow::Broken),
        };
        self.buffers.batch = batch;
        flow
    }

    /// Takes the items out that went: all whose last byte was taken, and the one that was cut.
    fn commit(
        &mut self,
        id: SubscriberId,
        outbox: &mut Outbox,
        placed: &[Placed],
        batch: &[u8],
        taken: usize,
    ) -> Option<Flow> {
        let mut start = 0;
        for Placed { end, fill } in placed {
            if matches!(fill, Fill::Lost) {
                return Some(Flow::Lost);
            }
            if *end > taken {
                if start < taken {
                    self.pop(outbox);
                    self.keep_torn(id, outbox, &batch[taken..*end]);
                }
                return Some(Flow::Full);
            }
            self.pop(outbox);
            self.ledger.pending -= 1;
            *match fill {
                Fill::Encoded => &mut self.ledger.delivered,
                Fill::Covered => &mut self.ledger.conflated,
                Fill::Gone | Fill::Lost => &mut self.ledger.dropped,
            } += 1;
            start = *end;
        }
        None
    }

    fn pop(&mut self, outbox: &mut Outbox) {
        let before = outbox.queued_bytes();
        outbox.pop();
        self.ledger.queued_bytes -= (before - outbox.queued_bytes()) as u64;
    }

    fn keep_torn(&mut self, id: SubscriberId, outbox: &mut Outbox, rest: &[u8]) {
        outbox.tear(rest);
        self.is_torn_now(id, rest.len());
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

    fn fill(&mut self, id: SubscriberId, outbox: &mut Outbox, item: Item, batch: &mut Vec<u8>) -> Fill {
        let Some(cohort) = self.members[id as usize].cohort else { return Fill::Gone };
        let shape = self.index.cohort(cohort).shape;
        match item {
            Item::Mark(mark) => self.fill_mark(outbox, mark, shape, batch),
            Item::Queued(queued) => self.fill_queued(outbox, queued, shape, batch),
        }
    }

    /// The newest record of the channel, which may stand ahead of the cursor: then the cursor's come no more.
    fn fill_mark(&mut self, outbox: &mut Outbox, mark: Mark, shape: Shape, batch: &mut Vec<u8>) -> Fill {
        for _ in 0..REFRESHES_MAX {
            let Some(entry) = self.latest(mark.slot) else { return Fill::Gone };
            // Below the mark's base is a channel that took the name of one that expired, and is numbered anew.
            let label = match entry.sequence.checked_sub(mark.base + 1).unwrap_or(entry.sequence - 1) {
                _ if mark.snapshot => Said::Snapshot,
                0 => Said::Live,
                skipped => Said::Skipped(skipped),
            };
            if self.encode_singly(&entry, mark.slot, shape, label, batch).is_ok() {
                // Records that came since a snapshot was asked for may be queued behind it: it covers them.
                let is_ahead = self.index.seen(mark.slot).is_some_and(|(_, seen)| entry.sequence > seen);
                if mark.snapshot || is_ahead {
                    outbox.set_after(mark.slot, id_of(&entry), entry.sequence);
                }
                return Fill::Encoded;
            }
        }
        Fill::Lost
    }

    fn fill_queued(&mut self, outbox: &Outbox, queued: Queued, shape: Shape, batch: &mut Vec<u8>) -> Fill {
        let Ok(entry) = self.reader.ring().entry(queued.position) else { return Fill::Lost };
        if entry.sequence <= outbox.after(queued.slot, id_of(&entry)) {
            return Fill::Covered;
        }
        match self.encode_singly(&entry, queued.slot, shape, Said::Live, batch) {
            Ok(()) => Fill::Encoded,
            Err(Lapped) => Fill::Lost,
        }
    }

    fn encode_singly(
        &mut self,
        entry: &Entry,
        slot: u32,
        shape: Shape,
        mark: Said,
        batch: &mut Vec<u8>,
    ) -> Result<(), Lapped> {
        let channel = self.index.slot(slot).name.as_str();
        let label = Label { channel, sequence: entry.sequence, wall_us: 0, mark, resume: None };
        write_frame(&self.reader, entry, shape, label, &mut self.buffers.label, batch)?;
        self.ledger.encoded_singly += 1;
        Ok(())
    }

    /// The latest record of a slot's channel; `None` where the channel does not exist (any more).
    pub(super) fn latest(&self, slot: u32) -> Option<Entry> {
        let id = self.index.slot(slot).channel?;
        self.reader.ring().latest(id.index).filter(|entry| entry.generation == id.generation)
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
