//! What a server answers on a feed's connection: that records were taken, or refused.
//!
//! The feed's thread. Must not keep more than one line or packet. Invariant: an answer cut by a read counts once.
//!
//! How honest a count is depends on the protocol. A server behind the line protocol says how many it accepted.
//! nchan answers every record, and those answers are counted. NATS and MQTT at quality of service 0 say nothing of
//! a record that went well; they answer a ping behind the last one, in order, so what was not refused was taken.

use super::protocol::Protocol;
use crate::mqtt::{self, First};
use memchr::memchr;
use std::io::{self, ErrorKind, Read};

/// A longer answer is cut; one is told by its first bytes.
const ANSWER_BYTES_MAX: usize = 256;
const READ_BYTES_MAX: usize = 16 * 1024;

/// The server's answers on a feed's connection.
#[derive(Default)]
pub(super) struct Answers {
    protocol: Protocol,
    /// A line or a packet that is not whole yet.
    cut: Vec<u8>,
    /// What the server counts: said in its last PONG, or one an answer.
    counted: Option<u64>,
    /// The ping behind the last record was answered.
    ponged: bool,
    /// A ping of the server's that is not answered yet.
    pinged: bool,
    /// Records refused.
    pub(super) refused: u64,
}

impl Answers {
    /// The answers of a server that understands `protocol`.
    pub(super) fn new(protocol: Protocol) -> Self {
        Self { protocol, ..Self::default() }
    }

    /// Records accepted of the `sent`; `None` until the server has said so of all of them.
    pub(super) fn accepted(&self, sent: u64) -> Option<u64> {
        match self.protocol {
            Protocol::Lines => self.counted,
            Protocol::Nats | Protocol::Mqtt => self.ponged.then(|| sent.saturating_sub(self.refused)),
            Protocol::Nchan => {
                let accepted = self.counted.unwrap_or(0);
                (accepted + self.refused >= sent).then_some(accepted)
            }
        }
    }

    /// What the server wants to hear before the next record, once.
    pub(super) fn reply(&mut self) -> &'static [u8] {
        if std::mem::take(&mut self.pinged) { b"PONG\r\n" } else { b"" }
    }

    /// Reads what is there; the end of the stream is an error, for no server may hang up on a feed.
    pub(super) fn read(&mut self, from: &mut impl Read) -> io::Result<()> {
        let mut bytes = [0; READ_BYTES_MAX];
        match from.read(&mut bytes) {
            Ok(0) => Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed the feed's connection")),
            Ok(count) => {
                self.take(&bytes[..count]);
                Ok(())
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        if self.protocol == Protocol::Mqtt {
            return self.take_packets(bytes);
        }
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            self.keep(&rest[..end]);
            self.end_line();
            rest = &rest[end + 1..];
        }
        self.keep(rest);
    }

    fn keep(&mut self, part: &[u8]) {
        let room = ANSWER_BYTES_MAX - self.cut.len();
        self.cut.extend_from_slice(&part[..part.len().min(room)]);
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.cut);
        let text = String::from_utf8_lossy(&line);
        match self.protocol {
            Protocol::Nats => self.nats_line(text.trim_end()),
            Protocol::Nchan => self.http_line(&text),
            Protocol::Lines | Protocol::Mqtt => self.pong_line(&text),
        }
        self.cut = line;
        self.cut.clear();
    }

    fn pong_line(&mut self, line: &str) {
        if let Some(count) = line.strip_prefix("+PONG ") {
            self.counted = count.trim().parse().ok();
        } else if line.starts_with("-ERR") {
            self.refused += 1;
        }
    }

    fn nats_line(&mut self, line: &str) {
        match line {
            "PONG" => self.ponged = true,
            "PING" => self.pinged = true,
            line if line.starts_with("-ERR") => self.refused += 1,
            _ => {}
        }
    }

    /// nchan ends its answer's text without a line's end, so the next answer's status may stand behind it.
    fn http_line(&mut self, line: &str) {
        match line.split_once("HTTP/1.1 ") {
            Some((_, status)) if status.starts_with("20") => *self.counted.get_or_insert(0) += 1,
            Some(_) => self.refused += 1,
            None => {}
        }
    }

    /// A publisher at quality of service 0 gets a CONNACK and answers to its pings, nothing long.
    fn take_packets(&mut self, bytes: &[u8]) {
        self.cut.extend_from_slice(bytes);
        let mut taken = 0;
        while let First::Whole { start, bytes, .. } = mqtt::first(&self.cut[taken..]) {
            taken += bytes;
            self.ponged |= start == mqtt::PINGRESP;
        }
        self.cut.drain(..taken);
        self.cut.truncate(ANSWER_BYTES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answers to `said`, cut into parts of every size.
    fn heard(protocol: Protocol, said: &[u8]) -> impl Iterator<Item = Answers> {
        (1..said.len() + 1).map(move |size| {
            let mut answers = Answers::new(protocol);
            said.chunks(size).for_each(|part| answers.take(part));
            answers
        })
    }

    #[test]
    fn answers_are_read_across_cuts() {
        for answers in heard(Protocol::Lines, b"-ERR 3 json bad\n-ERR 4 x y\n+PONG 17\n") {
            assert_eq!((answers.refused, answers.accepted(19)), (2, Some(17)));
        }
    }

    #[test]
    fn nats_accepted_what_was_sent_before_an_answered_ping_and_not_refused() {
        let info = [&b"INFO {\""[..], &[b'x'; 500], b"\"}\r\n"].concat();
        for mut answers in heard(Protocol::Nats, &[&info, &b"PING\r\n-ERR 'x'\r\n"[..]].concat()) {
            assert_eq!(answers.accepted(10), None);
            assert_eq!((answers.reply(), answers.reply()), (&b"PONG\r\n"[..], &b""[..]));
            answers.take(b"PONG\r\n");
            assert_eq!(answers.accepted(10), Some(9));
        }
    }

    #[test]
    fn mqtt_accepted_all_once_the_ping_is_answered() {
        for mut answers in heard(Protocol::Mqtt, b"\x20\x02\x00\x00\xd0") {
            assert_eq!(answers.accepted(10), None);
            answers.take(b"\x00");
            assert_eq!(answers.accepted(10), Some(10));
        }
    }

    #[test]
    fn nchan_answers_every_record() {
        let said =
            b"HTTP/1.1 202 Accepted\r\nServer: nginx\r\n\r\nqueued messages: 0\r\nlast message id: 1:0\
            HTTP/1.1 201 Created\r\n\r\nlast message id: 1:1HTTP/1.1 413 Request Entity Too Large\r\n";
        for answers in heard(Protocol::Nchan, said) {
            assert_eq!(answers.accepted(4), None, "one is not answered");
            assert_eq!((answers.accepted(3), answers.refused), (Some(2), 1));
        }
    }
}
