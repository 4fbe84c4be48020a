//! The body that crosses the ring: what the ring itself does not need to know of a record.
//!
//! Pure values, any thread. Invariant: a body is [`Head::BYTES`] bytes of head, then the payload as it came.

/// How a payload is to be framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON value in UTF-8.
    Text,
    /// Bytes of the exchange's own binary form.
    Binary,
}

/// What stands before the payload in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Wall clock at ingest, microseconds since 1970.
    pub wall_us: u64,
    /// The feed's own sequence, if it gave one.
    pub feed_sequence: Option<u64>,
    /// Hash of the payload where the feed gave a sequence (do two feeds agree?), else 0.
    pub payload_hash: u64,
    /// Text or binary.
    pub format: Format,
    /// Which numbering the record's sequence belongs to.
    pub epoch: u32,
}

// The feed sequence's word is free to hold any u64, so its presence is a bit of the last word.
const BINARY: u64 = 1 << 32;
const HAS_FEED_SEQUENCE: u64 = 1 << 33;

impl Head {
    /// Words of a head.
    pub const WORDS: usize = 4;
    /// Bytes of a head.
    pub const BYTES: usize = Self::WORDS * 8;

    /// The head as the ring's words.
    #[must_use]
    pub fn to_words(&self) -> [u64; Self::WORDS] {
        let mut last = u64::from(self.epoch);
        if self.format == Format::Binary {
            last |= BINARY;
        }
        if self.feed_sequence.is_some() {
            last |= HAS_FEED_SEQUENCE;
        }
        [self.wall_us, self.feed_sequence.unwrap_or(0), self.payload_hash, last]
    }

    /// The head as bytes, little-endian words: what is handed to the ring before the payload.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.to_words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// Reads a head back from the first words of a body.
    #[must_use]
    pub fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [wall_us, feed_sequence, payload_hash, last] = words;
        Self {
            wall_us,
            feed_sequence: (last & HAS_FEED_SEQUENCE != 0).then_some(feed_sequence),
            payload_hash,
            format: if last & BINARY == 0 { Format::Text } else { Format::Binary },
            epoch: last as u32,
        }
    }
}

/// Flag of a `data` entry: its channel's first record. What came before it belonged to an older channel of the same name.
pub const FIRST: u8 = 1;

/// What a `status` entry says of its channel: a code in the entry's flags, and for a gap its ends in the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its feeds are gone or silent; the value stays, and may be old.
    Stale,
    /// They are back.
    Live,
    /// The feed skipped these, by its own sequences, both ends included.
    FeedGap {
        /// First.
        from: u64,
        /// Last.
        to: u64,
    },
}

impl Status {
    /// Words of a gap's body; the others have none.
    pub const WORDS: usize = 2;

    /// The flags of the entry.
    #[must_use]
    pub fn flags(self) -> u8 {
        match self {
            Self::Stale => 1,
            Self::Live => 2,
            Self::FeedGap { .. } => 3,
        }
    }

    /// The body of the entry, little-endian words.
    #[must_use]
    pub fn body(self) -> Vec<u8> {
        match self {
            Self::Stale | Self::Live => Vec::new(),
            Self::FeedGap { from, to } => [from.to_le_bytes(), to.to_le_bytes()].concat(),
        }
    }

    /// Reads a status back; `None`: one that this reader does not know and should skip.
    #[must_use]
    pub fn read(flags: u8, body: [u64; Self::WORDS]) -> Option<Self> {
        match flags {
            1 => Some(Self::Stale),
            2 => Some(Self::Live),
            3 => Some(Self::FeedGap { from: body[0], to: body[1] }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_status_comes_back_as_it_went() {
        for status in [Status::Stale, Status::Live, Status::FeedGap { from: 7, to: u64::MAX }] {
            let mut words = [0; Status::WORDS];
            for (word, bytes) in words.iter_mut().zip(status.body().chunks_exact(8)) {
                *word = u64::from_le_bytes(bytes.try_into().unwrap());
            }
            assert_eq!(Status::read(status.flags(), words), Some(status));
        }
        assert_eq!(Status::read(0, [0; 2]), None);
    }

    proptest! {
        #[test]
        fn a_head_comes_back_as_it_went(wall_us: u64, feed_sequence: Option<u64>, payload_hash: u64, binary: bool, epoch: u32) {
            let format = if binary { Format::Binary } else { Format::Text };
            let head = Head { wall_us, feed_sequence, payload_hash, format, epoch };
            prop_assert_eq!(Head::from_words(head.to_words()), head);
        }
    }
}
