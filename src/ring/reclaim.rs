//! Reclaiming: the writer takes old entries from the floor's side, and publishes again what is still a channel's latest.
//!
//! Runs on the publisher's thread, a few entries a publish, so that no record waits for a long row of quiet channels.
//! Invariant: a refresh, its tail and its place in the table are published before the floor passes the entry it repeats.

use super::entry::{Entry, NOWHERE, Position};
use super::publisher::Publisher;
use super::weaken::{self, Weak};
use crate::fault::{self, Planted};

/// Entries taken a publish. Three, and an eighth of the ring free: a quarter of the ring in one row of quiet records is
/// passed while a twelfth of the ring in records of the same size comes in.
const PACE: usize = 3;

/// What reclaiming must know of an entry. The publisher keeps these apart, in order: to load the oldest header is to wait
/// for memory that nobody has touched for a whole round (55 of 90 ns a publish in a ring of 256 MiB).
#[derive(Debug)]
pub(super) struct Footprint {
    pub(super) words: u32,
    pub(super) channel: u32,
}

impl Publisher {
    /// Words that can be stored before another old entry must be looked at.
    pub(super) fn free(&self) -> u64 {
        self.reclaimed + self.limits.ring - self.head
    }

    /// Reclaims until an entry of so many words fits and leaves one largest entry free.
    ///
    /// It ends: what is live fills a quarter of the ring at most, so one round leaves three quarters free.
    pub(super) fn make_room(&mut self, words: u64) {
        while self.free() < words + self.limits.entry_max {
            self.reclaim_one();
        }
    }

    /// Reclaims a few entries, if less is free than should be.
    pub(super) fn reclaim_some(&mut self) {
        for _ in 0..PACE {
            if self.free() >= self.limits.free_target {
                return;
            }
            self.reclaim_one();
        }
    }

    fn reclaim_one(&mut self) {
        let Some(oldest) = self.footprints.pop_front() else { return };
        let position = self.reclaimed;
        let end = position + u64::from(oldest.words);
        if weaken::is(Weak::RefreshFirst) {
            self.give_up(end);
        }
        let live = self.ring.table.own(oldest.channel) == position;
        if live && !weaken::is(Weak::Refresh) {
            match fault::is(Planted::DroppedRefresh) {
                true => self.ring.table.publish(oldest.channel, NOWHERE),
                false => self.refresh(position),
            }
        }
        self.reclaimed = end;
    }

    /// Publishes a channel's latest record again at the head. The chain ends there: what came before is gone.
    fn refresh(&mut self, from: Position) {
        let entry = Entry::decode(from, self.ring.words.load(from));
        let words = entry.end() - entry.position;
        let to = self.claim(words, entry.channel);
        let header = entry.refresh_stamp().encode(entry.body_bytes as usize, NOWHERE);
        self.ring.words.packer(to, words).words(header);
        self.ring.words.copy(entry.body(), to + header.len() as u64, words - header.len() as u64);
        self.ring.publish_tail(self.head);
        self.ring.table.publish(entry.channel, to);
    }
}
