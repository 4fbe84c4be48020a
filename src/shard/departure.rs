//! Seeing everyone off when the server ends: each subscriber is told, goes on getting records, and is closed at a time of its own.
//!
//! Runs on the shard's thread, a bounded step a turn. Invariant: nobody is closed for it before being told, and everybody is closed
//! within the window, so that all do not come back to another server at once.

use super::index::SubscriberId;
use super::mailbox::Presence;
use super::member::{Life, Member};
use super::timers::{Millis, part_of};
use super::worker::Shard;
use crate::dialect::Farewell;

/// Subscribers told in a turn: each costs a send.
const TOLD_A_TURN: usize = 256;
/// Milliseconds after which a closed client is to come back, spread between these two by itself.
const RECONNECT_MS: (u64, u64) = (1000, 9000);

/// The window in which everyone leaves.
pub(super) struct Departure {
    from: Millis,
    until: Millis,
    /// The next place of the subscribers to be looked at.
    next: usize,
    /// Given up when nobody is left.
    presence: Option<Presence>,
}

impl Shard {
    /// Everyone is to leave within this time.
    pub(super) fn begin_departure(&mut self, window_ms: Millis, presence: Presence) {
        let until = self.now.saturating_add(window_ms);
        self.departure = Some(Departure { from: self.now, until, next: 0, presence: Some(presence) });
    }

    /// Tells the next ones; gives up the presence when nobody is left.
    pub(super) fn go_on_departing(&mut self) {
        let places = self.members.places();
        let Some(departure) = &mut self.departure else { return };
        if self.members.is_empty() {
            departure.presence = None;
        }
        let first = departure.next;
        departure.next = places.min(first + TOLD_A_TURN);
        for place in first..departure.next {
            if self.members.contains(place) {
                self.see_off(place as SubscriberId);
            }
        }
    }

    /// Whether somebody may still have to be told.
    pub(super) fn is_telling(&self) -> bool {
        self.departure.as_ref().is_some_and(|departure| departure.next < self.members.places())
    }

    /// Tells a subscriber that the server ends, if it does, once.
    pub(super) fn see_off(&mut self, id: SubscriberId) {
        let Some(Departure { until, .. }) = self.departure else { return };
        let member = &mut self.members[id as usize];
        if !matches!(member.life, Life::Open) || std::mem::replace(&mut member.seen_off, true) {
            return;
        }
        let farewell = Farewell { in_ms: until.saturating_sub(self.now), reconnect_ms: RECONNECT_MS };
        let mut text = Vec::new();
        member.session.dialect.farewell(&farewell, &mut text);
        self.say(id, &text);
        self.set_timer(id);
    }

    /// When a subscriber that was told is closed; others are not.
    pub(super) fn leaves_at(&self, member: &Member) -> Millis {
        let Some(Departure { from, until, .. }) = self.departure.as_ref().filter(|_| member.seen_off) else {
            return Millis::MAX;
        };
        let from = *from.max(&member.adopted_at);
        from + part_of(member.serial, until.saturating_sub(from))
    }
}
