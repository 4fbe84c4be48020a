//! The line protocol: bytes into lines, lines into what they say, and the answers to them.
//!
//! Pure: no socket, no clock, no channel table. What a line may do at its place in the conversation is decided in
//! `line_feed.rs`. Invariant: a splitter's buffer never holds more than the longest line allowed.

use serde_json::value::RawValue;

use super::refusal::{Refusal, RefusalCode};
use crate::channel::NAME_BYTES_MAX;

/// Bytes that a line may have besides its payload: the name, `#` and a sequence's digits, a space, a little slack.
pub const LINE_OVERHEAD_BYTES: usize = NAME_BYTES_MAX + 32;

// A line feed at its usual pace needs no more; only a long line makes the buffer grow.
const BUFFER_BYTES_START: usize = 64 * 1024;

/// Cuts what a socket gives into lines. A line over the bound is told once, and passed over up to its end.
#[derive(Debug)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Where the first line not handed out begins.
    start: usize,
    /// Up to where there is no line feed, seen from `start`.
    searched: usize,
    /// Behind the last byte that came in.
    end: usize,
    line_bytes_max: usize,
    passing_over: bool,
}

/// One line as it came.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Without its end (`\n` or `\r\n`).
    Whole(&'a [u8]),
    /// Longer than the bound; its bytes are gone.
    TooLong,
}

impl Splitter {
    /// Lines of up to `line_bytes_max` bytes, their end not counted; the buffer's bound is one more.
    #[must_use]
    pub fn new(line_bytes_max: usize) -> Self {
        let buffer = vec![0; BUFFER_BYTES_START.min(line_bytes_max + 1)];
        Self { buffer, start: 0, searched: 0, end: 0, line_bytes_max, passing_over: false }
    }

    /// Room for what comes next, never empty once [`Splitter::next_line`] has said `None`.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.searched -= self.start;
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            let bytes = (2 * self.buffer.len()).min(self.line_bytes_max + 1);
            self.buffer.resize(bytes, 0);
        }
        &mut self.buffer[self.end..]
    }

    /// Says how many bytes were written into [`Splitter::room`].
    pub fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buffer.len());
    }

    /// The next whole line, or `None` until more comes in.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        loop {
            let Some(length) = memchr::memchr(b'\n', &self.buffer[self.searched..self.end]) else {
                return self.without_end().then_some(Line::TooLong);
            };
            let line = self.start..self.searched + length;
            (self.start, self.searched) = (line.end + 1, line.end + 1);
            if !std::mem::take(&mut self.passing_over) {
                let line = &self.buffer[line];
                return Some(Line::Whole(line.strip_suffix(b"\r").unwrap_or(line)));
            }
        }
    }

    /// Whether the bytes so far end inside a line.
    #[must_use]
    pub fn is_inside_line(&self) -> bool {
        self.passing_over || self.start < self.end
    }

    // No line feed in sight; true when this makes the line too long, which is said once.
    fn without_end(&mut self) -> bool {
        self.searched = self.end;
        let too_long = self.end - self.start > self.line_bytes_max;
        if too_long || self.passing_over || self.start == self.end {
            (self.start, self.searched, self.end) = (0, 0, 0);
        }
        too_long && !std::mem::replace(&mut self.passing_over, true)
    }
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// `<channel> <payload>` or `<channel>#<seq> <payload>`.
    Record(Record<'a>),
    /// `PING`.
    Ping,
    /// `AUTH <token>`.
    Auth(&'a str),
    /// `SESSION <name>`.
    Session(&'a str),
}

/// A record as a feed gave it; its channel's name is not checked yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The channel's name.
    pub channel: &'a str,
    /// The feed's own sequence.
    pub sequence: Option<u64>,
    /// One JSON value, without the white space around it, byte for byte.
    pub payload: &'a str,
}

/// Reads one line.
///
/// # Errors
/// When it is neither a command nor a record with one JSON value.
pub fn parse(line: &[u8]) -> Result<Parsed<'_>, Refusal> {
    let line = str::from_utf8(line).map_err(|_| Refusal::invalid_utf8())?;
    let Some(space) = memchr::memchr(b' ', line.as_bytes()) else {
        return if line == "PING" { Ok(Parsed::Ping) } else { Err(no_payload()) };
    };
    let (name, rest) = (&line[..space], &line[space + 1..]);
    match name {
        "AUTH" => Ok(Parsed::Auth(rest)),
        "SESSION" => Ok(Parsed::Session(rest)),
        _ => record(name, rest).map(Parsed::Record),
    }
}

fn record<'a>(name: &'a str, payload: &'a str) -> Result<Record<'a>, Refusal> {
    let (channel, sequence) = match memchr::memchr(b'#', name.as_bytes()) {
        Some(at) => (&name[..at], Some(sequence(&name[at + 1..])?)),
        None => (name, None),
    };
    let payload = serde_json::from_str::<&RawValue>(payload).map_err(|why| Refusal::invalid_json(&why))?;
    Ok(Record { channel, sequence, payload: payload.get() })
}

/// A feed's sequence: decimal digits of a number below 2^64.
///
/// # Errors
/// When it is anything else.
pub(super) fn sequence(digits: &str) -> Result<u64, Refusal> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = plain.then(|| digits.parse().ok()).flatten();
    number.ok_or_else(|| {
        Refusal::new(
            RefusalCode::InvalidSequence,
            "a sequence is a whole number from 0 to 18446744073709551615",
        )
    })
}

fn no_payload() -> Refusal {
    Refusal::new(
        RefusalCode::Malformed,
        "a line is '<channel> <payload>', 'PING', 'AUTH <token>' or 'SESSION <name>'",
    )
}

/// Answers that wait for a feed to read them.
#[derive(Debug, Default)]
pub struct Answers {
    bytes: Vec<u8>,
    sent: usize,
}

impl Answers {
    /// Bytes that may wait; past this the feed is not read until it has read.
    pub const BYTES_MAX: usize = 64 * 1024;

    /// `-ERR <line number> <code> <message>`.
    pub fn error(&mut self, line: u64, code: &str, message: &str) {
        self.push(&["-ERR ", itoa::Buffer::new().format(line), " ", code, " ", message, "\n"]);
    }

    /// `+PONG <records accepted on this connection>`.
    pub fn pong(&mut self, accepted: u64) {
        self.push(&["+PONG ", itoa::Buffer::new().format(accepted), "\n"]);
    }

    /// What has not been sent.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Says how many bytes of [`Answers::unsent`] were taken.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += bytes;
        if self.unsent().is_empty() {
            self.clear();
        }
    }

    /// Whether as much waits as may.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.unsent().len() >= Self::BYTES_MAX
    }

    /// Forgets what waits: nobody will read it.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }

    fn push(&mut self, pieces: &[&str]) {
        // What was sent is cut off before the bytes grow past the bound, so they stay below twice of it.
        if self.sent >= Self::BYTES_MAX {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        for piece in pieces {
            self.bytes.extend_from_slice(piece.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
