//! What clients send: read into one shared buffer, decoded, and handed on.
//!
//! Runs on the shard's thread. Invariant: a client whose answers wait is not read, so it cannot make the server keep more for it.

use std::task::{Context, Poll};

use super::index::SubscriberId;
use super::member::{Life, Member};
use super::timers::Moment;
use super::worker::Shard;
use crate::dialect::shape::Framing;
use crate::dialect::sse;
use crate::subscriber::close::CloseReason;
use crate::subscriber::frame::{self, Event, Opcode};

/// Reads of one client in a turn; the rest waits for the next one.
const READS_A_CLIENT: usize = 4;
/// Control frames and answers that may wait for one client before it is not read any more. One answer may go beyond it: a list
/// of all channels.
const CONTROL_BYTES: usize = 4096;

impl Member {
    /// How it is told that it ends.
    pub(super) fn closing_words(&self, reason: CloseReason) -> Vec<u8> {
        let mut words = Vec::new();
        match self.socket.framing() {
            Framing::WebSocket => frame::write_close(reason, &mut words),
            Framing::EventStream => {
                let (code, text) = reason.code_and_text();
                sse::close(code, text, &mut words);
            }
        }
        words
    }

    /// Something that goes ahead of records was not taken yet.
    pub(super) fn control_waits(&self) -> bool {
        self.outbox.as_ref().is_some_and(|outbox| !outbox.control().is_empty())
    }

    /// An answer is on its way, or so much waits for the client to take, that it is not to ask for more.
    fn answers_wait(&self) -> bool {
        self.joining.is_some()
            || self.outbox.as_ref().is_some_and(|outbox| outbox.control().len() > CONTROL_BYTES)
    }
}

impl Shard {
    /// Reads what a client has sent, within the turn's bound.
    pub(super) fn hear(&mut self, id: SubscriberId) {
        for _ in 0..READS_A_CLIENT {
            let Some(member) = self.members.get_mut(id as usize) else { return };
            if member.answers_wait() {
                member.deaf = true;
                return;
            }
            if !member.unread.is_empty() {
                let mut unread = std::mem::take(&mut member.unread);
                self.digest(id, &mut unread);
                continue;
            }
            let mut inbound = std::mem::take(&mut self.buffers.inbound);
            match member.socket.read(&mut inbound) {
                Ok(Some(0)) | Err(_) => self.bury(id, CloseReason::ClientVanished),
                Ok(Some(bytes)) => self.digest(id, &mut inbound[..bytes]),
                Ok(None) => {
                    self.buffers.inbound = inbound;
                    if self.listen(id) {
                        return;
                    }
                    continue;
                }
            }
            self.buffers.inbound = inbound;
        }
        if let Some(member) = self.members.get(id as usize) {
            member.ear.speak();
        }
    }

    /// Asks to be woken when there is something to read; false: there is already.
    fn listen(&self, id: SubscriberId) -> bool {
        let member = &self.members[id as usize];
        matches!(member.socket.poll_readable(&mut Context::from_waker(&member.ear.waker())), Poll::Pending)
    }

    /// What came behind the handshake's request, and then the socket.
    pub(super) fn digest_first(&mut self, id: SubscriberId, mut read_ahead: Vec<u8>) {
        self.digest(id, &mut read_ahead);
        self.hear(id);
    }

    fn digest(&mut self, id: SubscriberId, bytes: &mut [u8]) {
        let limits = self.options.limits();
        let mut decoder = std::mem::take(&mut self.members[id as usize].session.decoder);
        let mut at = 0;
        // A client that closed or broke the protocol is not decoded any further.
        while let Some(member) = self.members.get_mut(id as usize).filter(|member| !member.finished) {
            if member.answers_wait() {
                member.unread = Box::from(&bytes[at..]);
                break;
            }
            let in_message = decoder.is_in_message();
            match decoder.next(bytes, &mut at, &limits) {
                Ok(Some(event)) => {
                    // A control frame inside a message does not end it, nor give it more time.
                    if !(in_message && matches!(event, Event::Ping(_) | Event::Pong)) {
                        self.members[id as usize].partial_since = None;
                    }
                    self.handle(id, event);
                }
                Ok(None) => break,
                Err(reason) => {
                    self.members[id as usize].finished = true;
                    self.close(id, reason);
                }
            }
        }
        let Some(member) = self.members.get_mut(id as usize) else { return };
        let is_partial = decoder.is_partial() && !member.finished;
        member.session.decoder = decoder;
        self.note_partial(id, is_partial);
    }

    /// The read time-out runs from when a frame or message was begun.
    fn note_partial(&mut self, id: SubscriberId, is_partial: bool) {
        let member = &mut self.members[id as usize];
        let was_partial = member.partial_since.is_some();
        member.partial_since =
            is_partial.then(|| member.partial_since.unwrap_or_else(|| Moment::at(self.now)));
        if is_partial && !was_partial {
            self.set_timer(id);
        }
    }

    fn handle(&mut self, id: SubscriberId, event: Event<'_>) {
        let member = &mut self.members[id as usize];
        let is_open = matches!(member.life, Life::Open);
        match event {
            Event::Close(code) => {
                member.finished = true;
                return self.answer_close(id, code);
            }
            Event::Pong => member.unanswered_since = None,
            Event::Text(_) | Event::Binary | Event::Ping(_) => {}
        }
        if !is_open {
            return;
        }
        if !member.session.admit(self.options.rate(), self.now) {
            return self.close(id, CloseReason::TooManyRequests);
        }
        match event {
            Event::Text(text) => self.obey(id, text.as_bytes()),
            Event::Binary => self.close(id, CloseReason::UnsupportedData),
            Event::Ping(payload) => self.send_control(id, Opcode::Pong, payload),
            Event::Pong | Event::Close(_) => {}
        }
    }

    /// Sends a text message ahead of records; an empty one is none.
    pub(super) fn say(&mut self, id: SubscriberId, text: &[u8]) {
        if !text.is_empty() {
            self.send_control(id, Opcode::Text, text);
        }
    }

    /// Sends a frame ahead of records. What the socket does not take now waits, and with it the subscriber leaves the fast path.
    pub(super) fn send_control(&mut self, id: SubscriberId, opcode: Opcode, payload: &[u8]) {
        let mut bytes = Vec::with_capacity(frame::HEAD_BYTES_MAX + payload.len());
        match self.members[id as usize].socket.framing() {
            Framing::WebSocket => {
                frame::write_head(opcode, payload.len(), &mut bytes);
                bytes.extend_from_slice(payload);
            }
            Framing::EventStream if opcode == Opcode::Ping => bytes.extend_from_slice(sse::HEARTBEAT),
            Framing::EventStream => bytes.extend_from_slice(payload),
        }
        let mut taken = 0;
        if self.members[id as usize].outbox.is_none() {
            // A socket that failed is found by the read that follows.
            taken = self.offer(id, &bytes).unwrap_or(0);
            if taken == bytes.len() {
                return;
            }
            self.leave_fast_path(id);
        }
        if let Some(outbox) = self.members[id as usize].outbox.as_mut() {
            outbox.push_control(&bytes[taken..]);
        }
        self.has_backlog(id);
    }
}
