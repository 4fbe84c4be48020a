//! Heads of frames: written for what a server sends, read strictly from what a client sends (RFC 6455, 5.2).
//!
//! Pure; the shard's thread. Allocates nothing by a length that a peer merely declared. Invariant: a rule that is
//! broken is noticed at the first byte that breaks it, so a liar costs no more than its head.

use super::Opcode;
use crate::subscriber::close::CloseReason;

/// Longest head of a server's frame, in bytes.
pub const HEAD_BYTES_MAX: usize = 10;

/// Longest head of a client's frame, in bytes: the same and a masking key.
pub(super) const CLIENT_HEAD_BYTES_MAX: usize = HEAD_BYTES_MAX + 4;

/// Longest payload of a control frame, in bytes (RFC 6455, 5.5).
const CONTROL_BYTES_MAX: u8 = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// Appends the head of an unmasked, unfragmented frame.
pub fn write_head(opcode: Opcode, payload_bytes: usize, out: &mut Vec<u8>) {
    out.push(FIN | opcode as u8);
    if payload_bytes <= 125 {
        out.push(payload_bytes as u8);
    } else if let Ok(short) = u16::try_from(payload_bytes) {
        out.push(126);
        out.extend_from_slice(&short.to_be_bytes());
    } else {
        out.push(127);
        out.extend_from_slice(&(payload_bytes as u64).to_be_bytes());
    }
}

/// Bytes of the head of a server's frame with this payload.
#[must_use]
pub fn head_bytes(payload_bytes: usize) -> usize {
    match payload_bytes {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => HEAD_BYTES_MAX,
    }
}

/// Appends a close frame.
pub fn write_close(reason: CloseReason, out: &mut Vec<u8>) {
    let (code, text) = reason.code_and_text();
    write_head(Opcode::Close, 2 + text.len(), out);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// The head of a client's frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Whether it ends its message.
    pub(super) fin: bool,
    /// `None`: it continues the message before it.
    pub(super) opcode: Option<Opcode>,
    /// At most the message's limit.
    pub(super) payload_bytes: usize,
    /// What the payload is masked with.
    pub(super) key: [u8; 4],
}

/// What is allowed where a head begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// A message is begun, so only a continuation or a control frame may come.
    pub(super) in_message: bool,
    /// Bytes that the message may still have.
    pub(super) room_bytes: usize,
    /// Fragments that the message may still have.
    pub(super) room_fragments: usize,
}

impl Head {
    /// Reads a head and how many bytes it takes. `None`: so far it is good, and goes on.
    ///
    /// # Errors
    /// `ProtocolError`, `TooManyFragments`, `MessageTooBig`.
    pub(super) fn read(bytes: &[u8], allowed: &Allowed) -> Result<Option<(Self, usize)>, CloseReason> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let (fin, opcode) = read_first(first, allowed)?;
        let Some(&second) = bytes.get(1) else { return Ok(None) };
        let is_control = opcode.is_some_and(Opcode::is_control);
        if second & MASKED == 0 || (is_control && second & !MASKED > CONTROL_BYTES_MAX) {
            return Err(CloseReason::ProtocolError);
        }
        let Some((declared, used)) = read_length(second & !MASKED, &bytes[2..])? else { return Ok(None) };
        let payload_bytes = usize::try_from(declared).unwrap_or(usize::MAX);
        if !is_control && payload_bytes > allowed.room_bytes {
            return Err(CloseReason::MessageTooBig);
        }
        let Some(key) = bytes[2 + used..].first_chunk::<4>() else { return Ok(None) };
        Ok(Some((Self { fin, opcode, payload_bytes, key: *key }, 2 + used + 4)))
    }
}

/// Checks reserved bits, opcode and order.
fn read_first(first: u8, allowed: &Allowed) -> Result<(bool, Option<Opcode>), CloseReason> {
    let fin = first & FIN != 0;
    let opcode = match first & 0x0f {
        0 => None,
        1 => Some(Opcode::Text),
        2 => Some(Opcode::Binary),
        8 => Some(Opcode::Close),
        9 => Some(Opcode::Ping),
        10 => Some(Opcode::Pong),
        _ => return Err(CloseReason::ProtocolError),
    };
    let is_control = opcode.is_some_and(Opcode::is_control);
    let in_order = if is_control { fin } else { opcode.is_none() == allowed.in_message };
    if first & RESERVED != 0 || !in_order {
        return Err(CloseReason::ProtocolError);
    }
    if !is_control && allowed.room_fragments == 0 {
        return Err(CloseReason::TooManyFragments);
    }
    Ok((fin, opcode))
}

/// The payload's length, and how many bytes behind the second one tell it.
fn read_length(short: u8, rest: &[u8]) -> Result<Option<(u64, usize)>, CloseReason> {
    let (length, used, least) = match short {
        126 => (rest.first_chunk().map(|bytes| u16::from_be_bytes(*bytes).into()), 2, 126),
        127 if rest.first().is_some_and(|byte| byte & 0x80 != 0) => return Err(CloseReason::ProtocolError),
        127 => (rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)), 8, 0x1_0000),
        _ => (Some(u64::from(short)), 0, 0),
    };
    if length.is_some_and(|length| length < least) {
        return Err(CloseReason::ProtocolError);
    }
    Ok(length.map(|length| (length, used)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Allowed = Allowed { in_message: false, room_bytes: 65_536, room_fragments: 16 };

    fn read(bytes: &[u8]) -> Result<Option<(Head, usize)>, CloseReason> {
        Head::read(bytes, &OPEN)
    }

    #[test]
    fn heads_of_a_server_have_the_shortest_length() {
        for (payload_bytes, head) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (65_535, vec![0x81, 126, 0xff, 0xff]),
            (65_536, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut out = Vec::new();
            write_head(Opcode::Text, payload_bytes, &mut out);
            assert_eq!(out, head);
            assert_eq!(head_bytes(payload_bytes), head.len());
        }
    }

    #[test]
    fn every_close_frame_is_a_whole_control_frame() {
        for reason in CloseReason::ALL {
            let mut out = Vec::new();
            write_close(reason, &mut out);
            let (code, text) = reason.code_and_text();
            assert_eq!(out[0], 0x88);
            assert_eq!(usize::from(out[1]), out.len() - 2);
            assert!(out[1] <= CONTROL_BYTES_MAX);
            assert_eq!(out[2..4], code.to_be_bytes());
            assert_eq!(&out[4..], text.as_bytes());
        }
    }

    /// The rules for the first two bytes, spelled the other way round: what is allowed, not what is refused.
    fn two_bytes_are_good(first: u8, second: u8, in_message: bool) -> bool {
        let data = if in_message { vec![0x00, 0x80] } else { vec![0x01, 0x02, 0x81, 0x82] };
        let short = (0x80..=0xfd).contains(&second);
        match first {
            0x88..=0x8a => short,
            _ => data.contains(&first) && second >= 0x80,
        }
    }

    #[test]
    fn the_first_two_bytes_exhaustively() {
        for in_message in [false, true] {
            for (first, second) in (0..=255).flat_map(|a| (0..=255).map(move |b| (a, b))) {
                let read = Head::read(&[first, second], &Allowed { in_message, ..OPEN });
                let expected = match two_bytes_are_good(first, second, in_message) {
                    true => Ok(None),
                    false => Err(CloseReason::ProtocolError),
                };
                assert_eq!(read, expected, "{first:#x} {second:#x}, in a message: {in_message}");
            }
        }
    }

    #[test]
    fn lengths_are_minimal_and_below_the_limit_before_the_key_is_there() {
        let long = |length: u64| [&[0x81, 0xff][..], &length.to_be_bytes()].concat();
        assert_eq!(read(&[0x81, 0xfe, 0, 125]), Err(CloseReason::ProtocolError));
        assert_eq!(read(&[0x81, 0xfe, 0, 126]), Ok(None));
        assert_eq!(read(&long(65_535)), Err(CloseReason::ProtocolError));
        assert_eq!(read(&long(65_536)), Ok(None));
        assert_eq!(read(&long(65_537)), Err(CloseReason::MessageTooBig));
        assert_eq!(read(&long(u64::MAX >> 1)), Err(CloseReason::MessageTooBig));
        assert_eq!(read(&long(1 << 63)), Err(CloseReason::ProtocolError));
        assert_eq!(read(&long(u64::MAX)), Err(CloseReason::ProtocolError));
        assert_eq!(
            read(&[0x81, 0xff, 0x80]),
            Err(CloseReason::ProtocolError),
            "at the byte with the top bit"
        );
    }

    #[test]
    fn a_head_is_read_whole_or_not_at_all() {
        let bytes = [0x81, 0xfe, 1, 0, 1, 2, 3, 4, 99];
        for length in 0..8 {
            assert_eq!(read(&bytes[..length]), Ok(None));
        }
        let head = Head { fin: true, opcode: Some(Opcode::Text), payload_bytes: 256, key: [1, 2, 3, 4] };
        assert_eq!(read(&bytes), Ok(Some((head, 8))));
    }
}
