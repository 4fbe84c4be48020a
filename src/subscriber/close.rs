//! Every reason to end a subscriber: close code, text, metric label.
//!
//! Pure. Invariant: nothing ends a subscriber without a reason of this list, so the metric by label accounts for all.

/// Why a subscriber ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CloseReason {
    /// The client closed, with this handshake answered.
    ClientClosed,
    /// The socket ended or failed without a close frame.
    ClientVanished,
    /// The server is going away.
    Shutdown,
    /// A frame broke RFC 6455.
    ProtocolError,
    /// A text message or close reason was not UTF-8.
    InvalidUtf8,
    /// A message was larger than the limit.
    MessageTooBig,
    /// A message came in more fragments than the limit.
    TooManyFragments,
    /// A binary message, which no dialect reads.
    UnsupportedData,
    /// Messages or pings came faster than the limit.
    TooManyRequests,
    /// An `every` channel's queue outgrew its bound.
    Slow,
    /// The pool of torn frames was empty and this one's rest was the oldest.
    TornPoolFull,
    /// The shard was lapped by the publisher and `every` records are lost.
    Lapped,
    /// No pong came in time.
    PongTimeout,
    /// A message or close handshake was begun and not finished in time.
    ReadTimeout,
    /// Closed by the operator.
    Admin,
    /// What it asked for cannot be, and it cannot ask for anything else.
    Refused,
}

impl CloseReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::ClientClosed,
        Self::ClientVanished,
        Self::Shutdown,
        Self::ProtocolError,
        Self::InvalidUtf8,
        Self::MessageTooBig,
        Self::TooManyFragments,
        Self::UnsupportedData,
        Self::TooManyRequests,
        Self::Slow,
        Self::TornPoolFull,
        Self::Lapped,
        Self::PongTimeout,
        Self::ReadTimeout,
        Self::Admin,
        Self::Refused,
    ];

    /// Its place in [`CloseReason::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }

    /// Close code (RFC 6455, 7.4.1) and text, as sent.
    #[must_use]
    pub fn code_and_text(self) -> (u16, &'static str) {
        match self {
            Self::ClientClosed | Self::ClientVanished => (1000, ""),
            Self::Shutdown => (1001, "server is shutting down"),
            Self::ProtocolError => (1002, "protocol error"),
            Self::UnsupportedData => (1003, "only text messages are read"),
            Self::InvalidUtf8 => (1007, "invalid UTF-8"),
            Self::TooManyFragments => (1008, "too many fragments"),
            Self::TooManyRequests => (1008, "Too many requests"),
            Self::Slow => (1008, "too slow: an every-record channel outgrew the queue"),
            Self::TornPoolFull => (1008, "too slow: the server is out of memory for slow readers"),
            Self::PongTimeout => (1008, "no pong"),
            Self::ReadTimeout => (1008, "message not finished in time"),
            Self::Admin => (1008, "closed by the operator"),
            Self::Refused => (1008, "the request was refused"),
            Self::MessageTooBig => (1009, "message too big"),
            Self::Lapped => (1012, "server lost records; reconnect"),
        }
    }

    /// Label in metrics and logs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ClientVanished => "client_vanished",
            Self::Shutdown => "shutdown",
            Self::ProtocolError => "protocol_error",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::MessageTooBig => "message_too_big",
            Self::TooManyFragments => "too_many_fragments",
            Self::UnsupportedData => "unsupported_data",
            Self::TooManyRequests => "too_many_requests",
            Self::Slow => "slow",
            Self::TornPoolFull => "torn_pool_full",
            Self::Lapped => "lapped",
            Self::PongTimeout => "pong_timeout",
            Self::ReadTimeout => "read_timeout",
            Self::Admin => "admin",
            Self::Refused => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_stands_at_its_number_and_fits_a_control_frame() {
        for (place, reason) in CloseReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), place);
            assert!(reason.code_and_text().1.len() <= 123, "{reason:?}");
        }
    }

    #[test]
    fn the_protocols_document_tells_each_and_no_other() {
        let document = include_str!("../../docs/protocol.md");
        let told: HashSet<_> = CloseReason::ALL.map(CloseReason::code_and_text).into();
        for (code, text) in &told {
            let text = if text.is_empty() { String::new() } else { format!("`{text}` ") };
            let row = format!("| {code} | {text}|");
            assert!(document.contains(&row), "docs/protocol.md has no row {row}");
        }
        let rows = document.lines().filter(|line| line.starts_with("| 10")).count();
        assert_eq!(rows, told.len(), "close codes in docs/protocol.md");
    }
}
