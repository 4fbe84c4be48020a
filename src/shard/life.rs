//! Birth, deadlines and end of a subscriber.
//!
//! Runs on the shard's thread. Invariant: a subscriber ends by `bury` and nowhere else, with a reason that is counted.

use std::task::Context;
use std::time::Duration;

use super::index::SubscriberId;
use super::mailbox::Newborn;
use super::member::{Life, Member, Timers};
use super::tally::Account;
use super::timers::{Millis, Moment, part_of};
use super::worker::Shard;
use crate::dialect::shape::Framing;
use crate::dialect::{Hello, Opening, Outcome, RequestId, Shape};
use crate::subscriber::close::CloseReason;
use crate::subscriber::frame::{self, Opcode};
use crate::subscriber::session::Session;
use crate::subscriber::socket::Socket;

pub(super) fn millis(time: Duration) -> Millis {
    Millis::try_from(time.as_millis()).unwrap_or(Millis::MAX)
}

impl Shard {
    /// Takes a connection whose handshake is done. It is born when its socket is first writable: before that, a
    /// refused offer would not be waited for, as tokio knows nothing of the socket.
    pub(super) fn adopt(&mut self, newborn: Newborn) {
        let Newborn { socket, peer, agent, read_ahead, opening, permit } = newborn;
        let Ok(socket) = Socket::adopt(socket, self.options.notsent_lowat_bytes) else {
            self.journal.ended(peer, CloseReason::ClientVanished, self.now);
            return self.count_end(CloseReason::ClientVanished);
        };
        let serial = self.next_serial();
        let id = self.members.vacant_key() as SubscriberId;
        self.members.insert(Member {
            socket,
            session: Session::new(opening.dialect),
            outbox: Some(Box::default()),
            cohort: None,
            life: Life::Newborn(Box::new((opening, read_ahead))),
            ear: self.ready.ear(id),
            serial,
            tear: 0,
            timers: Timers::default(),
            is_rated: false,
            unrest: None,
            listed: false,
            joining: None,
            deaf: false,
            unread: Box::default(),
            finished: false,
            pinged_at: self.spread_ping(serial),
            // Until it is born it is not asked, and has as long to become writable.
            unanswered_since: Some(Moment::at(self.now)),
            partial_since: None,
            peer,
            agent,
            adopted_at: self.now,
            tally: Account::default(),
            seen_off: false,
            permit,
        });
        self.ledger.slow += 1;
        self.set_timer(id);
        self.look_at(id);
    }

    /// Pings are spread over their period: the first one comes after a part of it that differs from subscriber to subscriber.
    fn spread_ping(&self, serial: u32) -> Millis {
        let period = millis(self.options.ping_every);
        self.now.saturating_sub(part_of(serial, period / 2))
    }

    /// A waker spoke for this subscriber.
    pub(super) fn look_at(&mut self, id: SubscriberId) {
        if matches!(self.members[id as usize].life, Life::Newborn(_)) {
            return self.try_birth(id);
        }
        self.look_at_outbox(id);
        self.hear(id);
    }

    fn try_birth(&mut self, id: SubscriberId) {
        let member = &mut self.members[id as usize];
        if member.socket.poll_writable(&mut Context::from_waker(&member.ear.waker())).is_pending() {
            return;
        }
        let Life::Newborn(first) = std::mem::replace(&mut member.life, Life::Open) else { return };
        member.unanswered_since = None;
        let (opening, read_ahead) = *first;
        self.enter_index(id, opening.shape);
        self.greet(id);
        self.subscribe_first(id, &opening);
        self.see_off(id);
        self.has_backlog(id);
        self.digest_first(id, read_ahead);
    }

    fn enter_index(&mut self, id: SubscriberId, shape: Shape) {
        let cohort = self.index.admit(id, shape);
        self.fanout.enlist(cohort, shape, true);
        self.members[id as usize].cohort = Some(cohort);
    }

    fn greet(&mut self, id: SubscriberId) {
        let epoch = std::sync::Arc::clone(&self.epoch);
        let hello = Hello {
            epoch: &epoch,
            heartbeat_ms: millis(self.options.ping_every),
            channels_max: self.options.channels_max,
            message_bytes_max: self.options.message_bytes_max,
        };
        let mut text = Vec::new();
        self.members[id as usize].session.dialect.greet(&hello, &mut text);
        self.say(id, &text);
    }

    fn subscribe_first(&mut self, id: SubscriberId, opening: &Opening) {
        if opening.subscribe.channels.is_empty() && opening.subscribe.patterns.is_empty() {
            return;
        }
        if let Err(fault) = self.subscribe(id, &opening.subscribe, None) {
            let mut text = Vec::new();
            opening.dialect.answer(&RequestId(None), &Outcome::Refused(&fault), &mut text);
            self.say(id, &text);
            if self.members[id as usize].socket.framing() == Framing::EventStream {
                // It cannot ask for anything else.
                self.close(id, CloseReason::Refused);
            }
        }
    }

    pub(super) fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// Whether a timer is one of a subscriber who is still here.
    pub(super) fn is_here(&self, id: SubscriberId, serial: u32) -> bool {
        self.members.get(id as usize).is_some_and(|member| member.serial == serial)
    }

    /// A timer of its has come: do what is due and set it again.
    pub(super) fn tick(&mut self, id: SubscriberId) {
        let now = self.now;
        let member = &mut self.members[id as usize];
        member.timers.came(now);
        if member.outbox.as_mut().is_some_and(|outbox| outbox.unpark(now)) {
            self.has_backlog(id);
        }
        match self.members[id as usize].life {
            Life::Condemned { reason, at } if at <= now => self.close(id, reason),
            Life::Closing { reason, deadline, .. } if deadline <= now => return self.cut(id, reason),
            Life::Newborn(_) | Life::Open | Life::Condemned { .. } | Life::Closing { .. } => {}
        }
        if matches!(self.members[id as usize].life, Life::Open | Life::Newborn(_)) {
            self.check_pulse(id);
        }
        if self.members.contains(id as usize) {
            self.set_timer(id);
        }
    }

    fn check_pulse(&mut self, id: SubscriberId) {
        if self.now >= self.leaves_at(&self.members[id as usize]) {
            return self.close(id, CloseReason::Shutdown);
        }
        let member = &mut self.members[id as usize];
        if member.socket.framing() == Framing::EventStream && !member.control_waits() {
            // Nobody answers a heartbeat there: that the last one was taken says as much.
            member.unanswered_since = None;
        }
        if self.is_mute(id) && matches!(self.members[id as usize].life, Life::Open) {
            // The shard may have been held up itself: a pong that is there counts.
            self.hear(id);
            if !self.members.contains(id as usize) {
                return;
            }
        }
        if self.is_mute(id) {
            return self.close(id, CloseReason::PongTimeout);
        }
        let member = &self.members[id as usize];
        if member
            .partial_since
            .is_some_and(|since| self.now >= since.ms() + millis(self.options.close_timeout))
        {
            return self.close(id, CloseReason::ReadTimeout);
        }
        if self.now >= member.pinged_at + millis(self.options.ping_every) {
            let member = &mut self.members[id as usize];
            member.pinged_at = self.now;
            if matches!(member.life, Life::Open) {
                member.unanswered_since.get_or_insert_with(|| Moment::at(self.now));
                self.send_control(id, Opcode::Ping, b"");
            }
        }
    }

    /// Whether a ping has waited too long for its pong.
    fn is_mute(&self, id: SubscriberId) -> bool {
        let asked = self.members[id as usize].unanswered_since;
        asked.is_some_and(|asked| self.now >= asked.ms() + millis(self.options.pong_timeout))
    }

    /// Sets a timer to its next deadlines, unless one comes early enough as it is.
    pub(super) fn set_timer(&mut self, id: SubscriberId) {
        let deadline = self.deadline(id);
        let member = &mut self.members[id as usize];
        let due = member.outbox.as_ref().and_then(|outbox| outbox.next_due());
        if deadline < member.timers.deadline {
            member.timers.deadline = deadline;
            self.wheel.set(deadline, (id, member.serial));
        }
        if let Some(due) = due
            && due < member.timers.due.min(member.timers.deadline)
        {
            member.timers.due = due;
            self.wheel.set(due, (id, member.serial));
        }
    }

    fn deadline(&self, id: SubscriberId) -> Millis {
        let member = &self.members[id as usize];
        let unfinished = member.partial_since.map(|since| since.ms() + millis(self.options.close_timeout));
        let unanswered = member.unanswered_since.map(|since| since.ms() + millis(self.options.pong_timeout));
        match member.life {
            Life::Condemned { at, .. } => at,
            Life::Closing { deadline, .. } => deadline,
            Life::Newborn(_) | Life::Open => (member.pinged_at + millis(self.options.ping_every))
                .min(unanswered.unwrap_or(Millis::MAX))
                .min(unfinished.unwrap_or(Millis::MAX))
                .min(self.leaves_at(member)),
        }
    }

    /// Begins the close handshake. The subscriber gets no more records.
    pub(super) fn close(&mut self, id: SubscriberId, reason: CloseReason) {
        if matches!(self.members[id as usize].life, Life::Closing { .. }) {
            return;
        }
        let member = &self.members[id as usize];
        // The reader of an event stream has no word for having heard it: the end of the stream follows.
        let heard = member.socket.framing() == Framing::EventStream;
        let close = member.closing_words(reason);
        self.end_with(id, reason, &close, heard);
    }

    /// The client closed: its frame is answered, and the connection ends once the answer is sent.
    pub(super) fn answer_close(&mut self, id: SubscriberId, code: Option<u16>) {
        if let Life::Closing { heard, .. } = &mut self.members[id as usize].life {
            *heard = true;
            return self.has_backlog(id);
        }
        let mut close = Vec::new();
        let code = code.map(u16::to_be_bytes);
        let payload = code.as_ref().map_or(&[][..], |code| &code[..]);
        frame::write_head(Opcode::Close, payload.len(), &mut close);
        close.extend_from_slice(payload);
        self.end_with(id, CloseReason::ClientClosed, &close, true);
    }

    fn end_with(&mut self, id: SubscriberId, reason: CloseReason, close: &[u8], heard: bool) {
        self.retire(id);
        let deadline = self.now + millis(self.options.close_timeout);
        let member = &mut self.members[id as usize];
        member.life = Life::Closing { reason, deadline, heard };
        if let Some(outbox) = member.outbox.as_mut() {
            outbox.push_control(close);
        }
        self.journal.ended(member.peer, reason, self.now);
        self.has_backlog(id);
        self.set_timer(id);
    }

    /// Takes a subscriber out of the index; what waited for it is abandoned, but the rest of a torn frame.
    fn retire(&mut self, id: SubscriberId) {
        if self.members[id as usize].cohort.is_none() {
            return;
        }
        let own = self.leave_fast_path(id);
        self.set_rated(id, false);
        self.ledger.subscriptions -= self.index.cohort(own).slots.len() as u64;
        self.index.dissolve(own);
        let member = &mut self.members[id as usize];
        member.cohort = None;
        member.joining = None;
        if let Some(outbox) = member.outbox.as_mut() {
            self.ledger.queued_bytes -= outbox.queued_bytes() as u64;
            let gone = outbox.withdraw_all();
            self.ledger.pending -= gone;
            self.ledger.abandoned += gone;
        }
    }

    /// To be closed when the cycle is over; the index is in use until then.
    pub(super) fn carry_out_sentences(&mut self) {
        let mut condemned = std::mem::take(&mut self.condemned);
        for (id, reason) in condemned.drain(..) {
            let Some(member) = self.members.get(id as usize) else { continue };
            match reason {
                CloseReason::ClientVanished => self.bury(id, reason),
                CloseReason::Lapped if matches!(member.life, Life::Open) => self.condemn(id, reason),
                CloseReason::Lapped => {}
                _ => self.close(id, reason),
            }
        }
        self.condemned = condemned;
    }

    fn condemn(&mut self, id: SubscriberId, reason: CloseReason) {
        self.retire(id);
        let at = self.spread(self.members[id as usize].serial);
        self.members[id as usize].life = Life::Condemned { reason, at };
        self.set_timer(id);
    }

    pub(super) fn close_everyone(&mut self, reason: CloseReason) {
        let everyone: Vec<_> = self.members.iter().map(|(id, _)| id as SubscriberId).collect();
        for id in everyone {
            self.close(id, reason);
        }
    }

    /// Ends a connection whose peer had its time: the kernel keeps nothing of it.
    fn cut(&mut self, id: SubscriberId, reason: CloseReason) {
        self.members[id as usize].socket.reset();
        self.bury(id, reason);
    }

    /// The end: out of the index, out of the shard, counted.
    pub(super) fn bury(&mut self, id: SubscriberId, reason: CloseReason) {
        self.retire(id);
        let Some(member) = self.members.remove(id as usize) else { return };
        let (reason, is_told) = match member.life {
            Life::Closing { reason, .. } => (reason, true),
            Life::Condemned { reason, .. } => (reason, false),
            Life::Newborn(_) | Life::Open => (reason, false),
        };
        if !is_told {
            self.journal.ended(member.peer, reason, self.now);
        }
        if let Some(outbox) = member.outbox {
            self.ledger.slow -= 1;
            self.ledger.pending -= outbox.pending();
            self.ledger.abandoned += outbox.pending();
            self.ledger.torn_bytes -= outbox.torn().len() as u64;
        }
        self.count_end(reason);
    }

    fn count_end(&mut self, reason: CloseReason) {
        self.ledger.closed[reason.index()] += 1;
        self.post.departed();
    }
}
