//! What the server says, read by a client's own means: frames by RFC 6455, messages by serde.
//!
//! Pure. It shares no code with the server. Invariant: every byte belongs to one frame.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One frame of the server's.
#[derive(Debug)]
pub(crate) enum Frame<'a> {
    Text(&'a str),
    Close(u16, &'a str),
    Ping(&'a [u8]),
    Pong,
}

/// The frame at the start of `bytes` and how many bytes it has; `None`: it is not whole yet.
pub(crate) fn frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, String> {
    let (Some(&first), Some(&second)) = (bytes.first(), bytes.get(1)) else { return Ok(None) };
    let (head, length) = match second {
        126 if bytes.len() >= 4 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
        127 if bytes.len() >= 10 => (10, u64::from_be_bytes(bytes[2..10].try_into().unwrap()) as usize),
        126 | 127 => return Ok(None),
        short => (2, usize::from(short)),
    };
    let Some(payload) = bytes.get(head..head + length) else { return Ok(None) };
    let text = || std::str::from_utf8(payload).map_err(|_| "a text frame is not UTF-8".to_owned());
    let frame = match first {
        0x81 => Frame::Text(text()?),
        0x88 if length >= 2 => {
            let why = std::str::from_utf8(&payload[2..]).map_err(|_| "a close reason is not UTF-8")?;
            Frame::Close(u16::from_be_bytes([payload[0], payload[1]]), why)
        }
        0x88 => Frame::Close(1005, ""),
        0x89 => Frame::Ping(payload),
        0x8a => Frame::Pong,
        other => return Err(format!("a frame begins with {other:#x}: a torn one was not finished")),
    };
    Ok(Some((frame, head + length)))
}

/// A frame as a client sends it, masked with zeros.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        long => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

/// Any message of the server's, in any dialect.
#[derive(Debug, Deserialize)]
pub(crate) struct Message<'a> {
    pub(crate) op: Option<&'a str>,
    pub(crate) id: Option<u64>,
    pub(crate) ch: Option<&'a str>,
    pub(crate) seq: Option<u64>,
    pub(crate) ts: Option<u64>,
    pub(crate) skipped: Option<u64>,
    #[serde(default)]
    pub(crate) snap: bool,
    #[serde(default)]
    pub(crate) merged: bool,
    #[serde(borrow)]
    pub(crate) data: Option<&'a RawValue>,
    pub(crate) from: Option<u64>,
    pub(crate) to: Option<u64>,
    pub(crate) reason: Option<&'a str>,
    pub(crate) state: Option<&'a str>,
    pub(crate) code: Option<&'a str>,
    pub(crate) stream: Option<&'a str>,
    #[serde(borrow)]
    pub(crate) channels: Option<&'a RawValue>,
    pub(crate) result: Option<&'a RawValue>,
    pub(crate) error: Option<&'a RawValue>,
}

/// One element of an acknowledgement.
#[derive(Debug, Deserialize)]
pub(crate) struct Acked<'a> {
    pub(crate) channel: Option<&'a str>,
    pub(crate) seq: Option<u64>,
    pub(crate) recovered: Option<bool>,
}

/// What the model reads of a payload without an envelope.
#[derive(Debug, Deserialize)]
pub(crate) struct Payload<'a> {
    /// The channel's place, in a depth record's words or in the model's.
    pub(crate) c: Option<usize>,
    pub(crate) s: &'a RawValue,
    #[serde(rename = "U")]
    pub(crate) first: Option<u64>,
    #[serde(rename = "u")]
    pub(crate) last: Option<u64>,
    #[serde(borrow)]
    pub(crate) b: Option<Vec<[&'a str; 2]>>,
    #[serde(borrow)]
    pub(crate) a: Option<Vec<[&'a str; 2]>>,
}
