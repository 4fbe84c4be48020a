//! WebSocket frames: heads of what goes out, a strict decoder of what comes in.
//! SKELETON: the signatures are the contract.

use super::close::CloseReason;

/// Opcodes of what the server sends (RFC 6455, 5.2).
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

/// Longest head of a server's frame, in bytes.
pub const HEAD_BYTES_MAX: usize = 10;

/// Appends the head of an unmasked, unfragmented frame.
pub fn write_head(_opcode: Opcode, _payload_bytes: usize, _out: &mut Vec<u8>) {
    todo!()
}

/// Bytes of the head of a server's frame with this payload.
#[must_use]
pub fn head_bytes(_payload_bytes: usize) -> usize {
    todo!()
}

/// Appends a close frame.
pub fn write_close(_reason: CloseReason, _out: &mut Vec<u8>) {
    todo!()
}

/// Bounds of what a client may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a message, all fragments together.
    pub message_bytes_max: usize,
    /// Fragments of a message, empty ones included.
    pub fragments_max: usize,
}

/// One thing a client said.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole text message, valid UTF-8.
    Text(&'a str),
    /// A whole binary message.
    Binary,
    /// A ping with its payload, at most 125 bytes.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// A close frame; `code` as the client gave it.
    Close(Option<u16>),
}

/// Decodes a client's frames as bytes arrive. Small while nothing is half-read.
#[derive(Debug, Default)]
pub struct Decoder {}

impl Decoder {
    /// The next event in `input[*at..]`, which it unmasks in place; `at` moves behind what was used. `None`: all of
    /// `input` was taken, the rest of a frame or message is kept.
    ///
    /// # Errors
    /// The reason to close the subscriber with: `ProtocolError`, `InvalidUtf8`, `MessageTooBig`, `TooManyFragments`.
    pub fn next<'a>(
        &'a mut self,
        _input: &'a mut [u8],
        _at: &mut usize,
        _limits: &Limits,
    ) -> Result<Option<Event<'a>>, CloseReason> {
        todo!()
    }

    /// Whether a frame or message is half-read (the read time-out runs).
    #[must_use]
    pub fn is_partial(&self) -> bool {
        todo!()
    }
}
