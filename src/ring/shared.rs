//! The ring as its threads share it: words, channel table, tail, floor, and the sleepers' flags.
//!
//! Stored to by the publisher's thread alone (a sleeper's flag apart), loaded by any.
//! No use of a header or a body before the floor was asked after it was loaded.
//! Invariant: entries from the floor to the tail are whole; a word below the floor may be anything.

use super::Options;
use super::entry::{Entry, HEADER_WORDS, Position};
use super::history::Table;
use super::reader::Reader;
use super::sync::{AtomicU64, Ordering};
use super::wake::Sleepers;
use super::weaken::{self, Weak};
use super::words::Words;
use crossbeam_utils::CachePadded;
use std::fmt;
use std::sync::Arc;

/// What was asked for has been overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapped;

/// The shared part: words, table, tail, floor.
#[derive(Debug)]
pub struct Ring {
    pub(super) words: Words,
    pub(super) table: Table,
    pub(super) sleepers: Sleepers,
    tail: CachePadded<AtomicU64>,
    // Apart from the tail: it moves an eighth of the ring at once, so readers find it in their cache.
    floor: CachePadded<AtomicU64>,
}

impl Ring {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            words: Words::touched(options.words()),
            table: Table::new(options.channels_max),
            sleepers: Sleepers::new(options.readers),
            tail: CachePadded::new(AtomicU64::new(0)),
            floor: CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// A reader whose cursor stands at the tail. `number` is below `Options::readers` and its own.
    #[must_use]
    pub fn reader(self: &Arc<Self>, number: usize) -> Reader {
        Reader::new(Arc::clone(self), number)
    }

    /// Position behind the last published entry. Acquire; partner of `publish_tail`.
    #[must_use]
    pub fn tail(&self) -> Position {
        self.tail.load(Ordering::Acquire)
    }

    /// Position of the oldest whole entry. Acquire; partner of `publish_floor`: what the table says afterwards is not
    /// older than what it said when the floor moved.
    #[must_use]
    pub fn floor(&self) -> Position {
        self.floor.load(Ordering::Acquire)
    }

    /// The header at a position taken from an entry's `previous` or kept from an earlier read.
    ///
    /// # Errors
    /// When it has been overwritten.
    pub fn entry(&self, position: Position) -> Result<Entry, Lapped> {
        let header = self.words.load::<HEADER_WORDS>(position);
        self.still_whole(position)?;
        Ok(Entry::decode(position, header))
    }

    /// The first words of an entry's body (missing ones are 0).
    ///
    /// # Errors
    /// When it has been overwritten.
    pub fn body_words<const N: usize>(&self, entry: &Entry) -> Result<[u64; N], Lapped> {
        let mut words = self.words.load::<N>(entry.body());
        self.still_whole(entry.position)?;
        let there = (entry.body_bytes as usize).div_ceil(8);
        words.iter_mut().skip(there).for_each(|word| *word = 0);
        Ok(words)
    }

    /// Appends the body from byte `skip` (a multiple of 8) on to `out`; `out` is as it was when this fails.
    ///
    /// # Errors
    /// When it has been overwritten.
    pub fn copy_body(&self, entry: &Entry, skip: usize, out: &mut Vec<u8>) -> Result<(), Lapped> {
        debug_assert!(skip.is_multiple_of(8), "a body is copied from a word's beginning");
        let before = out.len();
        let bytes = (entry.body_bytes as usize).saturating_sub(skip);
        self.words.append_to(entry.body() + (skip / 8) as u64, bytes, out);
        self.still_whole(entry.position).inspect_err(|Lapped| out.truncate(before))
    }

    /// Shows everything below a position to readers. Release: who loads this tail sees the words stored before.
    pub(super) fn publish_tail(&self, tail: Position) {
        self.tail.store(tail, weaken::release(Weak::TailRelease));
    }

    /// Gives up everything below a position. Release: who loads this floor sees the refreshes stored before. The fence
    /// pairs with the one in `still_whole`: who sees a word stored after this sees this floor.
    pub(super) fn publish_floor(&self, floor: Position) {
        self.floor.store(floor, weaken::release(Weak::FloorRelease));
        weaken::fence_unless(Weak::WriterFence, Ordering::Release);
    }

    /// Whether the words of an entry, loaded before this call, were all its own. The fence (Acquire) pairs with the
    /// one in `publish_floor`: had one of them been overwritten, the floor loaded here would stand above the entry.
    fn still_whole(&self, position: Position) -> Result<(), Lapped> {
        weaken::fence_unless(Weak::ReaderFence, Ordering::Acquire);
        if self.floor() <= position { Ok(()) } else { Err(Lapped) }
    }
}

impl fmt::Display for Lapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("overwritten")
    }
}

impl std::error::Error for Lapped {}
