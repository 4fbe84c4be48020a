//! The one writer: takes entries in and keeps the channel table.
//!
//! Runs on the thread that owns the feed (ingest); it waits for nobody and allocates nothing a record.
//! It must not touch a word at or above the floor that readers see, except behind the tail.
//! Invariant: between two calls one largest entry is free, so a refresh can always be written.

use super::Options;
use super::entry::{self, HEADER_WORDS, Kind, NOWHERE, Position, Stamp};
use super::reclaim::Footprint;
use super::shared::Ring;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

/// The part of the ring (one in so many) that the channels' latest records may fill.
const LIVE_SHARE: u64 = 4;
/// The part of the ring (one in so many) that is kept reclaimed.
const FREE_SHARE: u64 = 8;

/// Why an entry was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The body is larger than `body_bytes_max`.
    TooLarge,
    /// The latest records of all channels would take more than a quarter of the ring.
    LiveBytes,
}

/// The one writer.
#[derive(Debug)]
pub struct Publisher {
    pub(super) ring: Arc<Ring>,
    pub(super) limits: Limits,
    /// Position behind the last entry: the tail, as its only writer knows it.
    pub(super) head: Position,
    /// Nothing below this is any channel's latest: it may be overwritten once the floor stands here.
    pub(super) reclaimed: Position,
    /// The floor, as its only writer knows it.
    pub(super) floor: Position,
    /// One for each entry from `reclaimed` to `head`; never more than headers fit into the ring.
    pub(super) footprints: VecDeque<Footprint>,
    /// Words of each channel's latest entry, 0 for none; here, so that a publish need not load an old header.
    live: Box<[u32]>,
    live_words: u64,
}

/// The ring's bounds, in words.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) ring: u64,
    pub(super) entry_max: u64,
    pub(super) free_target: u64,
    live_max: u64,
    body_bytes_max: usize,
}

impl Publisher {
    pub(super) fn new(options: &Options, ring: Arc<Ring>) -> Self {
        let words = options.words();
        let limits = Limits {
            ring: words,
            entry_max: entry::words_of(options.body_bytes_max),
            free_target: words / FREE_SHARE,
            live_max: words / LIVE_SHARE,
            body_bytes_max: options.body_bytes_max,
        };
        let footprints = VecDeque::with_capacity(words as usize / HEADER_WORDS);
        let live = vec![0; options.channels_max as usize].into();
        Self { ring, limits, head: 0, reclaimed: 0, floor: 0, footprints, live, live_words: 0 }
    }

    /// Publishes one entry whose body is the pieces joined. `Data` becomes its channel's latest; `Expired` clears
    /// the channel's latest (with its body's place for another generation); `Status` and `End` leave the table alone.
    ///
    /// # Errors
    /// When the body is too large, or the channels' latest records would fill a quarter of the ring. Nothing was
    /// published then, and the channel keeps the value it had.
    ///
    /// # Panics
    /// When the channel of `Data` or `Expired` is not below `Options::channels_max`.
    pub fn publish(&mut self, stamp: &Stamp, body: &[&[u8]]) -> Result<Position, Refused> {
        let body_bytes = body.iter().map(|piece| piece.len()).sum();
        let words = self.admit(stamp, body_bytes)?;
        self.make_room(words);
        let previous = self.previous(stamp);
        let position = self.claim(words, stamp.channel);
        let mut packer = self.ring.words.packer(position, words);
        packer.words(stamp.encode(body_bytes, previous));
        body.iter().for_each(|piece| packer.piece(piece));
        packer.finish();
        // The table first: who learns of a record by the tail may ask the table at once, and must not find an older one.
        self.enter(stamp, position, words);
        self.ring.publish_tail(self.head);
        self.reclaim_some();
        Ok(position)
    }

    /// Whether an entry with a body of so many bytes would be published now: what [`Publisher::publish`] would say.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Panics
    /// As there.
    pub fn check(&self, stamp: &Stamp, body_bytes: usize) -> Result<(), Refused> {
        self.admit(stamp, body_bytes).map(drop)
    }

    /// Wakes those readers that sleep; call once after a batch. `wake` gets the reader's number. It must not be lost on
    /// a reader that is about to sleep: a token that stays until it is taken.
    pub fn wake_sleepers(&self, wake: impl FnMut(usize)) {
        self.ring.sleepers.wake(wake);
    }

    /// Bytes of the entries that are some channel's latest; at most a quarter of the ring.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        self.live_words * 8
    }

    /// Bytes that can be written before another old entry must be looked at.
    #[must_use]
    pub fn free_bytes(&self) -> u64 {
        self.free() * 8
    }

    /// Words of the entry, if it may come in.
    fn admit(&self, stamp: &Stamp, body_bytes: usize) -> Result<u64, Refused> {
        if body_bytes > self.limits.body_bytes_max {
            return Err(Refused::TooLarge);
        }
        let words = entry::words_of(body_bytes);
        let refused =
            stamp.kind == Kind::Data && self.live_after(stamp.channel, words) > self.limits.live_max;
        if refused { Err(Refused::LiveBytes) } else { Ok(words) }
    }

    fn live_after(&self, channel: u32, words: u64) -> u64 {
        self.live_words - u64::from(self.live[channel as usize]) + words
    }

    /// Where the chain goes on from an entry. Asked after room was made, which may move the channel's latest.
    fn previous(&self, stamp: &Stamp) -> Position {
        match stamp.kind {
            Kind::Data | Kind::Expired => self.ring.table.own(stamp.channel),
            // A chain is one of records, and none leads to or over a word about its channel.
            Kind::Refresh | Kind::Status | Kind::End => NOWHERE,
        }
    }

    /// Takes the next words behind the head; they may be stored to from here on.
    pub(super) fn claim(&mut self, words: u64, channel: u32) -> Position {
        let position = self.head;
        self.head += words;
        self.footprints.push_back(Footprint { words: words as u32, channel });
        debug_assert!(self.head <= self.reclaimed + self.limits.ring, "room was made before");
        if self.head > self.floor + self.limits.ring {
            self.give_up(self.reclaimed);
        }
        position
    }

    /// Moves the floor. Only when space demands it, and then over all that was reclaimed: readers keep it in their
    /// caches, and history stays readable for as long as it can.
    pub(super) fn give_up(&mut self, floor: Position) {
        self.floor = floor;
        self.ring.publish_floor(floor);
    }

    /// Enters into the table what a published entry means for its channel.
    fn enter(&mut self, stamp: &Stamp, position: Position, words: u64) {
        let (latest, words) = match stamp.kind {
            Kind::Data => (position, words),
            Kind::Expired => (NOWHERE, 0),
            Kind::Refresh | Kind::Status | Kind::End => return,
        };
        self.live_words = self.live_after(stamp.channel, words);
        self.live[stamp.channel as usize] = words as u32;
        self.ring.table.publish(stamp.channel, latest);
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the record is larger than the ring takes",
            Self::LiveBytes => {
                "the latest records of all channels would fill more than a quarter of the ring"
            }
        })
    }
}

impl std::error::Error for Refused {}
