//! The NATS protocol, as a subscriber hears it: lines, and messages whose line says how long they are.
//!
//! Pure. Must not look into a message's payload, which may hold anything, line ends included.
//! Invariant: what is taken is whole lines, and whole messages with the line end behind them.

use super::{First, Said};
use memchr::memchr;
use std::io;

const MESSAGE: &[u8] = b"MSG ";
const LINE_END_BYTES: usize = 2;

/// The first line or message in `bytes`.
pub(super) fn first(bytes: &[u8]) -> First<'_> {
    let Some(end) = memchr(b'\n', bytes) else { return Ok(None) };
    let line = bytes[..end].trim_ascii_end();
    let line_bytes = end + 1;
    if line.starts_with(MESSAGE) {
        let payload_bytes = last_number(line).ok_or_else(|| bad(line))?;
        let payload = bytes.get(line_bytes..).and_then(|rest| rest.get(..payload_bytes + LINE_END_BYTES));
        return Ok(payload.map(|payload| {
            (Said::Record(&payload[..payload_bytes]), line_bytes + payload_bytes + LINE_END_BYTES)
        }));
    }
    let said = match line {
        b"PING" => Said::Ping,
        b"PONG" => Said::Subscribed,
        line if line.starts_with(b"-ERR") => Said::Refused(line),
        _ => Said::Other,
    };
    Ok(Some((said, line_bytes)))
}

/// `MSG <subject> <sid> [reply-to] <bytes>`.
fn last_number(line: &[u8]) -> Option<usize> {
    let digits = line.rsplit(|byte| *byte == b' ').next()?;
    digits.iter().try_fold(0usize, |value, byte| match byte {
        b'0'..=b'9' if value <= super::MESSAGE_BYTES_MAX => Some(value * 10 + usize::from(byte - b'0')),
        _ => None,
    })
}

fn bad(line: &[u8]) -> io::Error {
    io::Error::other(format!("not a message of NATS: {}", String::from_utf8_lossy(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_without_its_size_is_an_error() {
        assert!(first(b"MSG a@trade 1 x\r\nxyz\r\n").is_err());
        assert!(first(b"MSG a@trade 1 99999999999999999999\r\n").is_err());
        assert_eq!(first(b"MSG a@trade 1 3\r\nxyz\r").ok(), Some(None));
    }
}
