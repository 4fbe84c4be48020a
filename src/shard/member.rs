//! What a shard keeps for a subscriber.
//!
//! Owned by the shard's thread; decides nothing. Invariant: what only some subscribers need, or each needs only for a while, is
//! behind a pointer: an idle one with ten channels is to cost less than 1 KiB in all.

use std::net::SocketAddr;
use std::sync::Arc;

use super::index::CohortId;
use super::mailbox::Permit;
use super::ready::Ear;
use super::subscribe::Joining;
use super::tally::Account;
use super::timers::{Millis, Moment};
use crate::dialect::Opening;
use crate::subscriber::close::CloseReason;
use crate::subscriber::outbox::Outbox;
use crate::subscriber::session::Session;
use crate::subscriber::socket::Socket;

/// A subscriber and where it stands.
pub(super) struct Member {
    pub(super) socket: Socket,
    /// Beside the socket: a send touches both, and nothing else of the member.
    pub(super) tally: Account,
    pub(super) session: Session,
    /// `Some`: it is off the fast path.
    pub(super) outbox: Option<Box<Outbox>>,
    /// `None`: it has left the index, and gets no more records.
    pub(super) cohort: Option<CohortId>,
    pub(super) life: Life,
    pub(super) ear: Arc<Ear>,
    /// Told apart by it from others that had the same number.
    pub(super) serial: u32,
    /// Its latest torn frame, told apart from those before.
    pub(super) tear: u32,
    pub(super) timers: Timers,
    /// It has a channel at a chosen rate, and stays off the fast path.
    pub(super) is_rated: bool,
    /// `Some`: it stands among the restless; whether its cohort has changed since it was put there.
    pub(super) unrest: Option<bool>,
    /// It stands in the backlog.
    pub(super) listed: bool,
    /// What it subscribed to is being looked for: it is neither read nor sent records until that is done.
    pub(super) joining: Option<Box<Joining>>,
    /// It is not read until its control frames are sent.
    pub(super) deaf: bool,
    /// What was read of it and not looked at, because its answers wait: less than one read.
    pub(super) unread: Box<[u8]>,
    /// It closed or broke the protocol: what it still sends means nothing, only its end is waited for.
    pub(super) finished: bool,
    pub(super) pinged_at: Millis,
    /// Since when a ping was sent and no pong came.
    pub(super) unanswered_since: Option<Moment>,
    /// Since when a frame or message is half-read.
    pub(super) partial_since: Option<Moment>,
    pub(super) peer: SocketAddr,
    /// What its client calls itself.
    pub(super) agent: Option<Box<str>>,
    pub(super) adopted_at: Millis,
    /// It was told that the server ends.
    pub(super) seen_off: bool,
    #[expect(dead_code, reason = "it is held for what its end does")]
    pub(super) permit: Permit,
}

impl Member {
    /// Whether it has a channel at a chosen rate.
    pub(super) fn is_rated(&self) -> bool {
        self.is_rated
    }

    /// Notes whether it has one; whether it had.
    pub(super) fn set_rated(&mut self, is_rated: bool) -> bool {
        std::mem::replace(&mut self.is_rated, is_rated)
    }
}

/// When a subscriber's timers come; `MAX`: none is set. Windows of chosen rates are short and come often, so they have one of their
/// own, and leave none behind for a deadline that is far away.
pub(super) struct Timers {
    pub(super) deadline: Millis,
    pub(super) due: Millis,
}

impl Default for Timers {
    fn default() -> Self {
        Self { deadline: Millis::MAX, due: Millis::MAX }
    }
}

impl Timers {
    /// It is this late.
    pub(super) fn came(&mut self, now: Millis) {
        for at in [&mut self.deadline, &mut self.due] {
            if *at <= now {
                *at = Millis::MAX;
            }
        }
    }
}

/// Where a subscriber stands between birth and end.
pub(super) enum Life {
    /// Its socket was not yet seen to be writable.
    Newborn(Box<(Opening, Vec<u8>)>),
    /// It gets records.
    Open,
    /// It has left the index and will be closed at its time.
    Condemned { reason: CloseReason, at: Millis },
    /// Its close frame is on the way. `heard`: the client's has come, and the connection ends once ours is sent.
    Closing { reason: CloseReason, deadline: Millis, heard: bool },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::shelf::Place;

    /// A connection is promised to cost less than 1 KiB. What a field adds here is paid 10,000 times over: put what few need behind a
    /// pointer, and raise this only with `loadtest run idle` before and after.
    #[test]
    fn a_member_is_not_larger_than_it_was_decided_to_be() {
        assert!(size_of::<Place<Member>>() <= 280);
    }
}
