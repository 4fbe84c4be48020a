//! Messages of envelopes into records, for the WebSocket and for HTTP, and the one answer that each of them gets.
//!
//! Ingest thread. It knows neither of the two protocols. Invariant: each envelope of a message is counted in its
//! answer exactly once, or was dropped by its session; the list of refusals is bounded and says what it left out.

use std::rc::Rc;

use serde::Serialize;

use super::clock::Now;
use super::envelope::{self, Message};
use super::line::Record;
use super::listener::Seat;
use super::presence::{FeedId, Presence};
use super::refusal::{Refusal, RefusalCode};
use super::sequencer::Taken;
use super::{TURN_BYTES, session};

/// Refusals that an answer lists one by one; with their words they stay well below 64 KiB.
const REJECTED_MAX: usize = 256;

/// One feed that sends envelopes.
pub(super) struct EnvelopeFeed {
    pub(super) seat: Rc<Seat>,
    session: session::Shared,
    /// `None`: requests of their own, which are gone as soon as they were answered.
    presence: Option<Presence>,
    /// When this turn began: what its records are stamped with.
    now: Now,
    turn_bytes: usize,
}

/// What became of a message: `{"accepted":n}` or `{"accepted":n,"rejected":[..]}`.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answer {
    accepted: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rejected: Vec<Rejected>,
    /// Refusals beyond those listed.
    #[serde(skip_serializing_if = "is_zero")]
    rejected_unlisted: u64,
    #[serde(skip)]
    dropped: u64,
    #[serde(skip)]
    readable: bool,
    #[serde(skip)]
    too_large: u64,
}

#[derive(Debug, Serialize)]
struct Rejected {
    index: usize,
    code: &'static str,
    message: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl EnvelopeFeed {
    /// A feed whose sequences are compared in the session of this name, or only with its own.
    pub(super) fn new(seat: Rc<Seat>, session: Option<&str>) -> Result<Self, Refusal> {
        let session = match session {
            Some(name) => seat.intake.sessions.borrow_mut().open(name)?,
            None => session::Shared::default(),
        };
        Ok(Self { seat, session, presence: None, now: Now::default(), turn_bytes: 0 })
    }

    /// It is a connection, and as a feed here for as long as that.
    pub(super) fn stay(&mut self) {
        self.presence = Some(self.seat.arrive());
    }

    /// Takes one message: an envelope or an array of them.
    pub(super) async fn message(&mut self, text: &str, answer: &mut Answer) {
        self.now = Now::read();
        match envelope::message(text) {
            Ok(Message::One(one)) => self.envelope(0, one, answer),
            Ok(Message::Many(items)) if self.market_event(&items, text, answer) => {}
            Ok(Message::Many(items)) => {
                for (index, item) in items.into_iter().enumerate() {
                    self.envelope(index, item.get(), answer);
                    self.end_turn().await;
                }
            }
            Err(refusal) => self.reject(0, &refusal, text, answer),
        }
        self.announce();
    }

    /// Takes a body of envelopes, one a line; empty lines are passed over. An index counts the others from 0.
    pub(super) async fn lines(&mut self, body: &[u8], answer: &mut Answer) {
        self.now = Now::read();
        let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        for (index, line) in lines.enumerate() {
            match str::from_utf8(line) {
                Ok(text) => self.envelope(index, text, answer),
                Err(_) => self.reject(index, &Refusal::invalid_utf8(), "", answer),
            }
            self.end_turn().await;
        }
        self.announce();
    }

    fn envelope(&mut self, index: usize, text: &str, answer: &mut Answer) {
        self.turn_bytes += text.len();
        let outcome = self.publish_envelope(text);
        self.note(index, outcome, text, answer);
    }

    fn publish_envelope(&self, text: &str) -> Result<Taken, Refusal> {
        let envelope = envelope::parse(text)?;
        let (sequence, payload) = (envelope.sequence, envelope.payload);
        if let Some(channel) = &envelope.channel {
            return self.publish(&Record { channel, sequence, payload });
        }
        let mut decoder = self.seat.intake.decoder.borrow_mut();
        let channel = decoder.channel(payload).ok_or_else(unknown_event)?;
        self.publish(&Record { channel, sequence, payload })
    }

    /// Whether the array was one event over the whole market, which is one record.
    fn market_event(
        &mut self,
        items: &[&serde_json::value::RawValue],
        text: &str,
        answer: &mut Answer,
    ) -> bool {
        let intake = Rc::clone(&self.seat.intake);
        let mut decoder = intake.decoder.borrow_mut();
        let Some(channel) = envelope::array_channel(items, &mut decoder) else { return false };
        self.turn_bytes += text.len();
        let outcome = self.publish(&Record { channel, sequence: None, payload: text.trim_ascii() });
        self.note(0, outcome, text, answer);
        true
    }

    fn publish(&self, record: &Record<'_>) -> Result<Taken, Refusal> {
        let mut sequencer = self.seat.intake.sequencer.borrow_mut();
        let feed = self.presence.as_ref().map_or(FeedId::POST, Presence::id);
        sequencer.publish(record, &mut self.session.borrow_mut(), feed, self.now)
    }

    fn note(&self, index: usize, outcome: Result<Taken, Refusal>, text: &str, answer: &mut Answer) {
        match outcome {
            Ok(Taken::Published) => answer.accepted += 1,
            Ok(Taken::Dropped) => answer.dropped += 1,
            Err(refusal) => self.reject(index, &refusal, text, answer),
        }
    }

    fn reject(&self, index: usize, refusal: &Refusal, text: &str, answer: &mut Answer) {
        self.seat.faults.refused(refusal, text.as_bytes(), self.now);
        answer.reject(index, refusal);
    }

    async fn end_turn(&mut self) {
        if self.turn_bytes >= TURN_BYTES {
            self.turn_bytes = 0;
            self.announce();
            tokio::task::yield_now().await;
            self.now = Now::read();
        }
    }

    fn announce(&self) {
        self.seat.intake.sequencer.borrow_mut().announce(self.now.age_ns());
    }
}

impl Answer {
    pub(super) fn reject(&mut self, index: usize, refusal: &Refusal) {
        self.readable |= !refusal.code.is_unreadable();
        self.too_large += u64::from(refusal.code == RefusalCode::TooLarge);
        if self.rejected.len() == REJECTED_MAX {
            self.rejected_unlisted += 1;
            return;
        }
        let (code, message) = (refusal.code.as_str(), refusal.message.clone().into_owned());
        self.rejected.push(Rejected { index, code, message });
    }

    /// Whether something in the message could at least be read.
    pub(super) fn is_readable(&self) -> bool {
        self.readable || self.accepted + self.dropped > 0
    }

    /// Whether nothing but too large payloads came.
    pub(super) fn is_too_large(&self) -> bool {
        let rejected = self.rejected.len() as u64 + self.rejected_unlisted;
        self.accepted + self.dropped == 0 && rejected > 0 && rejected == self.too_large
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts always serialise")
    }
}

fn unknown_event() -> Refusal {
    Refusal::new(RefusalCode::UnknownEvent, "no channel follows from this event; name it in an envelope")
}
