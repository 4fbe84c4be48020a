//! What stands in the ring: an entry's header, as fields and as words.
//!
//! Pure values, any thread. A header says nothing about whether its place was overwritten meanwhile; `shared` asks that.
//! Invariant: `decode` undoes `encode`, and an entry's length follows from its header alone.

/// Position of an entry: a count of words since the start, never reused.
pub type Position = u64;

/// Words of a header.
pub(super) const HEADER_WORDS: usize = 6;

/// Stands where a position would, and says that there is none.
pub(super) const NOWHERE: Position = Position::MAX;

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
    /// Kind. `Refresh` is the ring's own and not for its user.
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

/// Words of an entry with a body of so many bytes.
pub(super) const fn words_of(body_bytes: usize) -> u64 {
    (HEADER_WORDS + body_bytes.div_ceil(8)) as u64
}

impl Stamp {
    /// The header of this stamp; `previous` may be [`NOWHERE`].
    pub(super) fn encode(&self, body_bytes: usize, previous: Position) -> [u64; HEADER_WORDS] {
        [
            body_bytes as u64 | u64::from(self.kind as u8) << 32 | u64::from(self.flags) << 40,
            u64::from(self.channel) | u64::from(self.generation) << 32,
            self.sequence,
            self.ordinal,
            previous,
            self.monotonic_ns,
        ]
    }
}

impl Entry {
    pub(super) fn decode(position: Position, header: [u64; HEADER_WORDS]) -> Self {
        let [shape, owner, sequence, ordinal, previous, monotonic_ns] = header;
        Self {
            position,
            kind: Kind::from_byte((shape >> 32) as u8),
            flags: (shape >> 40) as u8,
            body_bytes: shape as u32,
            channel: owner as u32,
            generation: (owner >> 32) as u32,
            sequence,
            ordinal,
            previous: (previous != NOWHERE).then_some(previous),
            monotonic_ns,
        }
    }

    /// Where its body begins.
    pub(super) fn body(&self) -> Position {
        self.position + HEADER_WORDS as u64
    }

    /// Position behind it.
    pub(super) fn end(&self) -> Position {
        self.position + words_of(self.body_bytes as usize)
    }

    /// What its publisher said of it, as a refresh says it again.
    pub(super) fn refresh_stamp(&self) -> Stamp {
        Stamp {
            kind: Kind::Refresh,
            flags: self.flags,
            channel: self.channel,
            generation: self.generation,
            sequence: self.sequence,
            ordinal: self.ordinal,
            monotonic_ns: self.monotonic_ns,
        }
    }
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Data, Self::Refresh, Self::Status, Self::Expired, Self::End]
            .into_iter()
            .find(|&kind| kind as u8 == byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_header_comes_back_as_it_went(
            kind in 1_u8..=5, flags: u8, channel: u32, generation: u32, body_bytes: u32, numbers: [u64; 3],
            previous in proptest::option::of(0..NOWHERE),
        ) {
            let kind = Kind::from_byte(kind).unwrap();
            let [sequence, ordinal, monotonic_ns] = numbers;
            let stamp = Stamp { kind, flags, channel, generation, sequence, ordinal, monotonic_ns };
            let header = stamp.encode(body_bytes as usize, previous.unwrap_or(NOWHERE));
            let kind = Some(kind);
            let expected = Entry {
                position: 7, kind, flags, body_bytes, channel, generation, sequence, ordinal, previous, monotonic_ns,
            };
            prop_assert_eq!(Entry::decode(7, header), expected);
        }
    }

    #[test]
    fn an_unknown_kind_is_not_taken_for_a_known_one() {
        for byte in [0, 6, 255] {
            assert_eq!(Kind::from_byte(byte), None);
        }
    }
}
