//! The ring: one writer that never waits, many readers that learn `Lapped`; also the history and the last-value store.
//!
//! It knows bytes, channels by index and sequences, nothing else of ours.
//! SKELETON: the signatures below are the contract; the ring's owner splits them over words, entry, publisher,
//! reader, history, wake and sync.

use std::sync::Arc;

/// Sizes of a ring.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of the ring, a power of two.
    pub bytes: usize,
    /// Places of the channel table.
    pub channels_max: u32,
    /// Largest body, in bytes (record head and payload).
    pub body_bytes_max: usize,
    /// How many readers may sleep on the ring.
    pub readers: usize,
}

/// Why a ring of these sizes cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidOptions {
    /// `bytes` is not a power of two.
    NotPowerOfTwo,
    /// The largest body does not fit often enough (64 times) into the ring.
    BodyTooLarge,
}

/// Position of an entry: a count of words since the start, never reused.
pub type Position = u64;

/// Kind of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A new record.
    Data = 1,
    /// A channel's latest record, published again before its first place is overwritten. Same sequence and ordinal.
    Refresh = 2,
    /// A channel's state changed (stale, live); the body says which.
    Status = 3,
    /// The channel expired; its index may be given to another one.
    Expired = 4,
    /// The publisher is done; nothing follows.
    End = 5,
}

/// What the publisher says of an entry; the ring adds length and previous position.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    /// Kind.
    pub kind: Kind,
    /// Kind-specific bits.
    pub flags: u8,
    /// Channel's index.
    pub channel: u32,
    /// Channel's generation.
    pub generation: u32,
    /// Sequence within the channel.
    pub sequence: u64,
    /// Feed-wide count of records.
    pub ordinal: u64,
    /// Monotonic time at ingest, ns.
    pub monotonic_ns: u64,
}

/// A header as read back. Valid when handed out; its body must be copied before it is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub position: Position,
    /// Kind; `None` is a kind this reader does not know and should skip.
    pub kind: Option<Kind>,
    /// Kind-specific bits.
    pub flags: u8,
    /// Bytes of the body.
    pub body_bytes: u32,
    /// Channel's index.
    pub channel: u32,
    /// Channel's generation.
    pub generation: u32,
    /// Sequence within the channel.
    pub sequence: u64,
    /// Feed-wide count of records.
    pub ordinal: u64,
    /// Position of the channel's previous record, if it was still in the ring.
    pub previous: Option<Position>,
    /// Monotonic time at ingest, ns.
    pub monotonic_ns: u64,
}

/// What was asked for has been overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lapped;

/// Why an entry was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The body is larger than `body_bytes_max`.
    TooLarge,
    /// The latest records of all channels would take more than a quarter of the ring.
    LiveBytes,
}

/// What a reader finds at its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// An entry; the cursor stands behind it now.
    Entry(Entry),
    /// Nothing new.
    Empty,
    /// The cursor was overtaken; go on with [`Reader::skip_to_tail`].
    Lapped,
}

/// The shared part: words, table, tail, floor.
#[derive(Debug)]
pub struct Ring {}

/// The one writer.
#[derive(Debug)]
pub struct Publisher {}

/// One reader with its cursor.
#[derive(Debug)]
pub struct Reader {}

/// Builds a ring, touched so that no page fault meets a record.
///
/// # Errors
/// When the sizes do not fit together.
pub fn new(_options: &Options) -> Result<(Publisher, Arc<Ring>), InvalidOptions> {
    todo!()
}

impl Publisher {
    /// Publishes one entry whose body is the pieces joined. `Data` becomes its channel's latest; `Expired` clears
    /// the channel's latest (with its body's place for another generation); `Status` and `End` leave the table alone.
    ///
    /// # Errors
    /// When the body is too large, or the channels' latest records would fill a quarter of the ring.
    pub fn publish(&mut self, _stamp: &Stamp, _body: &[&[u8]]) -> Result<Position, Refused> {
        todo!()
    }

    /// Wakes those readers that sleep; call once after a batch. `wake` gets the reader's number.
    pub fn wake_sleepers(&self, _wake: impl FnMut(usize)) {
        todo!()
    }
}

impl Ring {
    /// A reader whose cursor stands at the tail. `number` is below `Options::readers` and its own.
    #[must_use]
    pub fn reader(self: &Arc<Self>, _number: usize) -> Reader {
        todo!()
    }

    /// Position behind the last published entry.
    #[must_use]
    pub fn tail(&self) -> Position {
        todo!()
    }

    /// Position of the oldest whole entry.
    #[must_use]
    pub fn floor(&self) -> Position {
        todo!()
    }

    /// The header at a position taken from an entry's `previous` or kept from an earlier read.
    ///
    /// # Errors
    /// When it has been overwritten.
    pub fn entry(&self, _position: Position) -> Result<Entry, Lapped> {
        todo!()
    }

    /// Header of a channel's latest record, wherever a refresh may have moved it. `None`: the channel has no value.
    #[must_use]
    pub fn latest(&self, _channel: u32) -> Option<Entry> {
        todo!()
    }

    /// The first words of an entry's body (missing ones are 0).
    ///
    /// # Errors
    /// When it has been overwritten.
    pub fn body_words<const N: usize>(&self, _entry: &Entry) -> Result<[u64; N], Lapped> {
        todo!()
    }

    /// Appends the body from byte `skip` (a multiple of 8) on to `out`; `out` is as it was when this fails.
    ///
    /// # Errors
    /// When it has been overwritten.
    pub fn copy_body(&self, _entry: &Entry, _skip: usize, _out: &mut Vec<u8>) -> Result<(), Lapped> {
        todo!()
    }

    /// Monotonic time of the oldest whole entry, ns: how far history reaches back. `None` in an empty ring.
    #[must_use]
    pub fn oldest_ns(&self) -> Option<u64> {
        todo!()
    }
}

impl Reader {
    /// The next entry, if there is one.
    pub fn next(&mut self) -> Next {
        todo!()
    }

    /// The ring it reads.
    #[must_use]
    pub fn ring(&self) -> &Arc<Ring> {
        todo!()
    }

    /// Goes on at the tail after having been lapped.
    pub fn skip_to_tail(&mut self) {
        todo!()
    }

    /// Says that it will sleep unless something came; true: it may. Pairs with `wake_sleepers`.
    pub fn doze(&self) -> bool {
        todo!()
    }

    /// It is awake again; the publisher need not wake it.
    pub fn rouse(&self) {
        todo!()
    }
}
