//! The decoder of a client's frames: strict, and fed as bytes arrive.
//!
//! Pure; the shard's thread, with the shard's one read buffer: a message that lies whole in it is never copied.
//! Must not allocate by a declared length. Invariant: what is kept was received, and is at most one message, one
//! control frame and one head.

use std::ops::Range;
use std::str;

use super::head::{Allowed, CLIENT_HEAD_BYTES_MAX, Head};
use super::{Opcode, mask};
use crate::subscriber::close::CloseReason;

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
    /// A whole binary message; its payload is not kept.
    Binary,
    /// A ping with its payload, at most 125 bytes.
    Ping(&'a [u8]),
    /// A pong.
    Pong,
    /// A close frame; `code` as the client gave it.
    Close(Option<u16>),
}

/// Decodes a client's frames as bytes arrive. One pointer while nothing is half-read; a half-read message takes at most
/// twice its limit, for a buffer that grows by doubling.
#[derive(Debug, Default)]
pub struct Decoder {
    partial: Option<Box<Partial>>,
}

impl Decoder {
    /// The next event in `input[*at..]`, which it unmasks in place; `at` moves behind what was used. `None`: all of
    /// `input` was taken, the rest of a frame or message is kept. Call it until then: an event's message is let go of
    /// by the call after it.
    ///
    /// # Errors
    /// The reason to close the subscriber with: `ProtocolError`, `InvalidUtf8`, `MessageTooBig`, `TooManyFragments`.
    /// Nothing behind an error or a [`Event::Close`] means anything: do not call it again.
    pub fn next<'a>(
        &'a mut self,
        input: &'a mut [u8],
        at: &mut usize,
        limits: &Limits,
    ) -> Result<Option<Event<'a>>, CloseReason> {
        self.let_go_of_delivered();
        while let Some(frame) = self.frame_in_hand(input, at, limits)? {
            if let Some(found) = self.take_payload(frame, input, at)? {
                return self.event(found, input).map(Some);
            }
            if *at == input.len() {
                break;
            }
        }
        Ok(None)
    }

    /// Whether a frame or message is half-read (the read time-out runs).
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.is_half_read())
    }

    /// Whether a message is half-read: control frames may come before its end.
    #[must_use]
    pub fn is_in_message(&self) -> bool {
        self.partial.as_ref().is_some_and(|partial| partial.message.is_some())
    }

    fn let_go_of_delivered(&mut self) {
        if !self.is_partial() {
            self.partial = None;
        } else if let Some(partial) = self.partial.as_mut().filter(|partial| partial.frame.is_none()) {
            partial.control.clear();
        }
    }

    /// The frame whose payload comes next: one half-read, or one whose head is complete now.
    fn frame_in_hand(
        &mut self,
        input: &[u8],
        at: &mut usize,
        limits: &Limits,
    ) -> Result<Option<Frame>, CloseReason> {
        if let Some(frame) = self.partial.as_mut().and_then(|partial| partial.frame.take()) {
            return Ok(Some(frame));
        }
        let allowed = self.allowed(limits);
        let rest = &input[*at..];
        let head = match self.partial.as_mut().filter(|partial| partial.head_bytes > 0) {
            Some(partial) => partial.complete_head(rest, at, &allowed)?,
            None => self.read_head(rest, at, &allowed)?,
        };
        Ok(head.map(|head| Frame { head, taken_bytes: 0 }))
    }

    fn read_head(
        &mut self,
        rest: &[u8],
        at: &mut usize,
        allowed: &Allowed,
    ) -> Result<Option<Head>, CloseReason> {
        if let Some((head, used)) = Head::read(rest, allowed)? {
            *at += used;
            return Ok(Some(head));
        }
        if !rest.is_empty() {
            self.partial.get_or_insert_default().keep_head(rest);
            *at += rest.len();
        }
        Ok(None)
    }

    fn allowed(&self, limits: &Limits) -> Allowed {
        let message = self.partial.as_ref().and_then(|partial| partial.message.as_ref());
        let (bytes, fragments) = message.map_or((0, 0), |message| (message.bytes, message.fragments));
        Allowed {
            in_message: message.is_some(),
            room_bytes: limits.message_bytes_max.saturating_sub(bytes),
            room_fragments: limits.fragments_max.saturating_sub(fragments),
        }
    }

    /// Takes what `input` has of the frame's payload: in place if that is an event by itself, else it is kept.
    fn take_payload(
        &mut self,
        mut frame: Frame,
        input: &mut [u8],
        at: &mut usize,
    ) -> Result<Option<Found>, CloseReason> {
        let piece_bytes = (frame.head.payload_bytes - frame.taken_bytes).min(input.len() - *at);
        let range = *at..*at + piece_bytes;
        *at = range.end;
        let piece = &mut input[range.clone()];
        mask::apply(piece, frame.head.key, frame.taken_bytes);
        if piece_bytes == frame.head.payload_bytes
            && frame.head.fin
            && let Some(opcode) = frame.head.opcode
        {
            return Ok(Some(Found { opcode, place: Place::Input(range) }));
        }
        frame.taken_bytes += piece_bytes;
        self.partial.get_or_insert_default().keep_payload(frame, piece)
    }

    fn event<'a>(&'a self, found: Found, input: &'a [u8]) -> Result<Event<'a>, CloseReason> {
        let payload = match found.place {
            Place::Input(range) => &input[range],
            Place::Kept => self.partial.as_ref().map_or(&[][..], |partial| partial.payload(found.opcode)),
        };
        Ok(match found.opcode {
            Opcode::Text => Event::Text(str::from_utf8(payload).map_err(|_| CloseReason::InvalidUtf8)?),
            Opcode::Binary => Event::Binary,
            Opcode::Close => Event::Close(close_code(payload)?),
            Opcode::Ping => Event::Ping(payload),
            Opcode::Pong => Event::Pong,
        })
    }
}

/// Checks the payload of a close frame (RFC 6455, 5.5.1 and 7.4; 1012 to 1014 are IANA's).
fn close_code(payload: &[u8]) -> Result<Option<u16>, CloseReason> {
    let Some((code, text)) = payload.split_first_chunk() else {
        return if payload.is_empty() { Ok(None) } else { Err(CloseReason::ProtocolError) };
    };
    let code = u16::from_be_bytes(*code);
    if !matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999) {
        return Err(CloseReason::ProtocolError);
    }
    str::from_utf8(text).map_err(|_| CloseReason::InvalidUtf8)?;
    Ok(Some(code))
}

/// An event, before anything is borrowed for it.
struct Found {
    opcode: Opcode,
    place: Place,
}

enum Place {
    Input(Range<usize>),
    Kept,
}

/// A frame whose head is read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    head: Head,
    taken_bytes: usize,
}

/// What is half-read.
#[derive(Debug, Default)]
struct Partial {
    head: [u8; CLIENT_HEAD_BYTES_MAX],
    head_bytes: usize,
    frame: Option<Frame>,
    /// Payload of a torn control frame.
    control: Vec<u8>,
    message: Option<Message>,
    /// The text of a message that was torn or fragmented, until the call after its event.
    delivered: Vec<u8>,
}

impl Partial {
    fn is_half_read(&self) -> bool {
        self.head_bytes > 0 || self.frame.is_some() || self.message.is_some()
    }

    fn payload(&self, opcode: Opcode) -> &[u8] {
        if opcode.is_control() { &self.control } else { &self.delivered }
    }

    fn keep_head(&mut self, rest: &[u8]) {
        self.head[..rest.len()].copy_from_slice(rest);
        self.head_bytes = rest.len();
    }

    fn complete_head(
        &mut self,
        rest: &[u8],
        at: &mut usize,
        allowed: &Allowed,
    ) -> Result<Option<Head>, CloseReason> {
        let kept = self.head_bytes;
        let added = rest.len().min(CLIENT_HEAD_BYTES_MAX - kept);
        self.head[kept..kept + added].copy_from_slice(&rest[..added]);
        let Some((head, used)) = Head::read(&self.head[..kept + added], allowed)? else {
            self.head_bytes += added;
            *at += added;
            return Ok(None);
        };
        self.head_bytes = 0;
        *at += used - kept;
        Ok(Some(head))
    }

    fn keep_payload(&mut self, frame: Frame, piece: &[u8]) -> Result<Option<Found>, CloseReason> {
        let is_whole = frame.taken_bytes == frame.head.payload_bytes;
        self.frame = (!is_whole).then_some(frame);
        if piece.is_empty() && !is_whole {
            // A payload that comes later in one piece is an event by itself: no message is begun for it.
            return Ok(None);
        }
        if let Some(opcode) = frame.head.opcode.filter(|opcode| opcode.is_control()) {
            self.control.extend_from_slice(piece);
            return Ok(is_whole.then_some(Found { opcode, place: Place::Kept }));
        }
        // A continuation has no opcode; its message is there, or its head would have been refused.
        let opcode = frame.head.opcode.unwrap_or(Opcode::Text);
        let message = self.message.get_or_insert_with(|| Message::new(opcode));
        message.add(piece)?;
        message.fragments += usize::from(is_whole);
        Ok(if is_whole && frame.head.fin { self.deliver() } else { None })
    }

    fn deliver(&mut self) -> Option<Found> {
        let message = self.message.take()?;
        self.delivered = message.text;
        Some(Found { opcode: message.opcode, place: Place::Kept })
    }
}

/// A message half-read.
#[derive(Debug)]
struct Message {
    opcode: Opcode,
    /// Fragments received whole.
    fragments: usize,
    bytes: usize,
    /// Empty where the message is binary.
    text: Vec<u8>,
    /// How much of `text` is known to be UTF-8; at most three bytes behind its end.
    checked_bytes: usize,
}

impl Message {
    fn new(opcode: Opcode) -> Self {
        Self { opcode, fragments: 0, bytes: 0, text: Vec::new(), checked_bytes: 0 }
    }

    fn add(&mut self, piece: &[u8]) -> Result<(), CloseReason> {
        self.bytes += piece.len();
        if self.opcode == Opcode::Text {
            self.text.extend_from_slice(piece);
            self.check()?;
        }
        Ok(())
    }

    /// Fails at the first byte that no text can go on from, even inside a character.
    fn check(&mut self) -> Result<(), CloseReason> {
        match str::from_utf8(&self.text[self.checked_bytes..]) {
            Ok(_) => self.checked_bytes = self.text.len(),
            Err(error) if error.error_len().is_none() => self.checked_bytes += error.valid_up_to(),
            Err(_) => return Err(CloseReason::InvalidUtf8),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
