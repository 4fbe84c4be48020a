//! Why a record was refused: the code that is counted and answered, and the words for the feed's operator.
//!
//! Pure values. Invariant: a message is one line of printable text, for it goes into answers and logs as it is.

use std::borrow::Cow;

use crate::channel::InvalidChannel;

/// Why a feed's record was refused; a label in metrics and the code in answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RefusalCode {
    /// Neither a line of the protocol nor an envelope.
    Malformed,
    /// Not valid UTF-8.
    InvalidUtf8,
    /// The payload is not one JSON value.
    InvalidJson,
    /// The channel breaks the rules.
    InvalidChannel,
    /// A raw event whose channel cannot be derived.
    UnknownEvent,
    /// The payload is over the limit.
    TooLarge,
    /// A line without end.
    LineTooLong,
    /// The table of channels is full.
    TooManyChannels,
    /// The latest records of all channels would take more than a quarter of the ring.
    RingFull,
    /// A sequence that is not a whole number.
    InvalidSequence,
}

impl RefusalCode {
    /// How many codes there are.
    pub const COUNT: usize = 10;

    /// Every code, in the order of [`super::Stats::refused`].
    pub const ALL: [Self; Self::COUNT] = [
        Self::Malformed,
        Self::InvalidUtf8,
        Self::InvalidJson,
        Self::InvalidChannel,
        Self::UnknownEvent,
        Self::TooLarge,
        Self::LineTooLong,
        Self::TooManyChannels,
        Self::RingFull,
        Self::InvalidSequence,
    ];

    /// The code as it stands in answers and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidJson => "invalid_json",
            Self::InvalidChannel => "invalid_channel",
            Self::UnknownEvent => "unknown_event",
            Self::TooLarge => "too_large",
            Self::LineTooLong => "line_too_long",
            Self::TooManyChannels => "too_many_channels",
            Self::RingFull => "ring_full",
            Self::InvalidSequence => "invalid_sequence",
        }
    }

    /// Whether the record could not even be read: an HTTP body of nothing else is answered 400.
    pub(super) fn is_unreadable(self) -> bool {
        matches!(self, Self::Malformed | Self::InvalidUtf8 | Self::InvalidJson | Self::UnknownEvent)
    }
}

/// A code with the words that go with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is counted.
    pub code: RefusalCode,
    /// What is said, without a line feed.
    pub message: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(code: RefusalCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn invalid_utf8() -> Self {
        Self::new(RefusalCode::InvalidUtf8, "not valid UTF-8")
    }

    pub(super) fn invalid_json(why: &serde_json::Error) -> Self {
        Self::new(RefusalCode::InvalidJson, why.to_string())
    }
}

impl From<InvalidChannel> for Refusal {
    fn from(why: InvalidChannel) -> Self {
        Self::new(RefusalCode::InvalidChannel, why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_stands_at_its_own_place() {
        for (place, code) in RefusalCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, place, "{}", code.as_str());
        }
    }

    #[test]
    fn the_protocols_document_tells_each() {
        let document = include_str!("../../docs/protocol.md");
        for code in RefusalCode::ALL.map(RefusalCode::as_str) {
            assert!(document.contains(&format!("\n| `{code}` |")), "docs/protocol.md has no row for {code}");
        }
    }
}
