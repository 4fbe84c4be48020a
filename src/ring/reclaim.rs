//! Reclaiming: the writer takes old entries from the floor's side, and publishes again what is still a channel's latest.
//!
//! Runs on the publisher's thread, a few entries a publish, so that no record waits for a long row of quiet channels.
//! Invariant: a refresh, its tail and its place in the table are published before the floor passes the entry it repeats.

use super::entry::{Entry, NOWHERE};
use super::publisher::Publisher;
use super::weaken::{self, Weak};

/// Entries taken a publish. Three, and an eighth of the ring free: a quarter of the ring in one row of quiet records is
/// passed while a twelfth of the ring in records of the same size comes in.
const PACE: usize = 3;

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
        let oldest = Entry::decode(self.reclaimed, self.ring.words.load(self.reclaimed));
        if weaken::is(Weak::RefreshFirst) {
            self.give_up(oldest.end());
        }
        let live = self.ring.table.own(oldest.channel) == oldest.position;
        if live && !weaken::is(Weak::Refresh) {
            self.refresh(&oldest);
        }
        self.reclaimed = oldest.end();
    }

    /// Publishes a channel's latest record again at the head. The chain ends there: what came before is gone.
    fn refresh(&mut self, entry: &Entry) {
        let words = entry.end() - entry.position;
        let position = self.claim(words);
        let header = entry.refresh_stamp().encode(entry.body_bytes as usize, NOWHERE);
        self.ring.words.packer(position, words).words(header);
        self.ring.words.copy(entry.body(), position + header.len() as u64, words - header.len() as u64);
        self.ring.publish_tail(self.head);
        self.ring.table.publish(entry.channel, position);
    }
}
