//! WebSocket frames (RFC 6455, 5): heads of what goes out, a strict decoder of what comes in.
//!
//! Pure: bytes in, events out; the shard's thread calls it with what a socket gave. No frame is interpreted that breaks
//! a rule. Invariant: a decoder holds only what a client really sent, and of one message never more than its limit.

mod decoder;
mod head;
mod mask;

pub use decoder::{Decoder, Event, Limits};
pub use head::{HEAD_BYTES_MAX, head_bytes, write_close, write_head};

/// Opcodes of whole messages and control frames (RFC 6455, 5.2). A continuation has none of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// UTF-8 text.
    Text = 1,
    /// Bytes.
    Binary = 2,
    /// Close.
    Close = 8,
    /// Ping.
    Ping = 9,
    /// Pong.
    Pong = 10,
}

impl Opcode {
    /// Control frames are short, never fragmented, and may stand between the fragments of a message (RFC 6455, 5.5).
    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}
