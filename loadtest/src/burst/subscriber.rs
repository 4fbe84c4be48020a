//! One subscriber of all channels: upgrade and subscription, then bytes, counted or compared.
//!
//! The audience's thread. Must not copy what it only counts. Invariant: counting begins behind the answer to the
//! subscription, before anything was published, so the first byte counted is the first record's.

use super::cursor::{Cursor, Proof};
use super::script::Script;
use crate::frame;
use crate::subscription::{Answer, Dialect, upgraded};
use crate::swarm::{Inner, Said};
use rustix::net::{RecvFlags, recv};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::Range;
use std::time::Duration;

const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Subscriber {
    pub(super) socket: TcpStream,
    pub(super) cursor: Cursor,
    reader: Reader,
    /// The record at which its stream was not what it had to be.
    pub(super) differs_at: Option<usize>,
    pub(super) is_closed: bool,
}

/// What is done with the bytes.
enum Reader {
    /// Counted, and thrown away in the kernel.
    Count,
    /// Compared byte by byte, and counted.
    Compare(Box<Proof>),
    /// Cut into messages, each compared with the record that is due: the server makes its frames as it likes.
    Messages(Box<Messages>),
}

/// What is left of a read, and the messages within the frames.
struct Messages {
    inner: Inner,
    cut: Vec<u8>,
    /// Whether payloads are compared, not their lengths alone.
    is_compared: bool,
}

impl Reader {
    /// MQTT's packets have frames of their own, so they need no cutting.
    fn of(inner: Option<Inner>, dialect: Dialect, is_compared: bool) -> Self {
        match inner.filter(|_| dialect == Dialect::Nats) {
            Some(inner) => Self::Messages(Box::new(Messages { inner, cut: Vec::new(), is_compared })),
            None if is_compared => Self::Compare(Box::default()),
            None => Self::Count,
        }
    }
}

impl Subscriber {
    /// Connects, subscribes to all channels, and waits for the answer.
    pub(super) fn connect(to: SocketAddr, script: &Script<'_>, is_compared: bool) -> io::Result<Self> {
        let (dialect, channels) = (script.wire.dialect, script.channels());
        let mut socket = TcpStream::connect(to)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWERED_WITHIN))?;
        let by_url = dialect.is_by_url().then_some(channels);
        socket.write_all(dialect.request(&to.to_string(), by_url).as_bytes())?;
        let left = upgrade(&mut socket)?;
        let inner = match by_url {
            // Upgraded is subscribed.
            Some(_) if left.is_empty() => None,
            Some(_) => return Err(io::Error::other("there is more behind the upgrade")),
            None => {
                socket.write_all(&dialect.subscribe(channels))?;
                subscribed(&mut socket, left, dialect)?
            }
        };
        socket.set_nonblocking(true)?;
        let reader = Reader::of(inner, dialect, is_compared);
        Ok(Self { socket, cursor: Cursor::default(), reader, differs_at: None, is_closed: false })
    }

    /// Reads once: the records that are whole now. `None` where there was nothing to read.
    pub(super) fn read(&mut self, scratch: &mut [u8], script: &Script<'_>) -> Option<Range<usize>> {
        let flags = if matches!(self.reader, Reader::Count) { RecvFlags::TRUNC } else { RecvFlags::empty() };
        match recv(&self.socket, &mut *scratch, flags).map_err(io::Error::from) {
            Ok((_, 0)) => self.is_closed = true,
            Ok((_, bytes)) => return Some(self.take(bytes, scratch, script)),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => self.is_closed = true,
        }
        None
    }

    fn take(&mut self, bytes: usize, scratch: &[u8], script: &Script<'_>) -> Range<usize> {
        let differs_at = match &mut self.reader {
            Reader::Count => None,
            // What comes behind the first difference tells nothing more.
            Reader::Compare(_) if self.differs_at.is_some() => None,
            Reader::Compare(proof) => proof.take(&scratch[..bytes], script).err(),
            Reader::Messages(messages) => {
                let before = self.cursor.records();
                let wrong = messages.take(&scratch[..bytes], script, &mut self.cursor).err();
                self.differs_at = self.differs_at.or(wrong);
                return before..self.cursor.records();
            }
        };
        self.differs_at = self.differs_at.or(differs_at);
        self.cursor.advance(bytes, &script.ends)
    }

    /// Whether it got all, and nothing else.
    pub(super) fn is_whole(&self, script: &Script<'_>) -> bool {
        self.cursor.bytes() == script.bytes() && self.differs_at.is_none()
    }

    /// Tells the server that somebody is here.
    pub(super) fn pong(&self) {
        let mut pong = Vec::new();
        frame::append_client(&mut pong, frame::PONG, &[]);
        // A socket too full for a pong is about to be closed by the server, which is what then counts.
        let _ = (&self.socket).write(&pong);
    }
}

impl Messages {
    /// Takes what came next; each record that is the due one advances the cursor. An error names the first that is another.
    fn take(&mut self, came: &[u8], script: &Script<'_>, cursor: &mut Cursor) -> Result<(), usize> {
        self.cut.extend_from_slice(came);
        let mut differs_at = None;
        let is_compared = self.is_compared;
        let taken = self.inner.take(&self.cut, |said| {
            // A ping of the protocol is left unanswered: no burst is as long as a server waits for two answers.
            if let Said::Record(payload) = said {
                let next = cursor.records();
                let is_due = next < script.records() && {
                    let due = script.payload(next);
                    payload.len() == due.len() && (!is_compared || payload == due)
                };
                if is_due {
                    cursor.advance(script.bytes_of(&(next..next + 1)) as usize, &script.ends);
                } else {
                    differs_at.get_or_insert(next);
                }
            }
            Ok(())
        });
        match (taken, differs_at) {
            (Ok(taken), None) => {
                self.cut.drain(..taken);
                Ok(())
            }
            (Ok(taken), Some(record)) => {
                self.cut.drain(..taken);
                Err(record)
            }
            (Err(_), _) => Err(cursor.records()),
        }
    }
}

/// Reads the answer to the upgrade; what came behind it.
fn upgrade(socket: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    loop {
        read_more(socket, &mut bytes)?;
        if let Some(taken) = upgraded(&bytes)? {
            return Ok(bytes.split_off(taken));
        }
    }
}

/// Reads frames, of which `bytes` have come, until the subscription is answered; the reader of what is within them, where that
/// is a protocol of its own.
fn subscribed(socket: &mut TcpStream, mut bytes: Vec<u8>, dialect: Dialect) -> io::Result<Option<Inner>> {
    let mut inner = Inner::of(dialect);
    loop {
        let (answer, taken) = match &mut inner {
            Some(inner) => answer_within(inner, &bytes)?,
            None => answer(dialect, &bytes)?,
        };
        let is_all = taken == bytes.len() && inner.as_ref().is_none_or(Inner::is_between_frames);
        match answer {
            Answer::Subscribed if is_all => return Ok(inner),
            Answer::Subscribed => return Err(io::Error::other("there is more behind the last answer")),
            Answer::Refused => return Err(io::Error::other("the server refused the subscription")),
            Answer::Other | Answer::Welcome => {}
        }
        bytes.drain(..taken);
        read_more(socket, &mut bytes)?;
    }
}

/// What whole frames say, and their bytes.
fn answer(dialect: Dialect, bytes: &[u8]) -> io::Result<(Answer, usize)> {
    let mut answer = Answer::Other;
    let walked = frame::walk(bytes, |frame| {
        if frame.opcode == frame::TEXT && answer == Answer::Other {
            answer = dialect.answer(frame.payload);
        }
    });
    let taken =
        walked.map_err(|error| io::Error::other(format!("the server sent a bad frame: {error:?}")))?;
    Ok((answer, taken))
}

fn answer_within(inner: &mut Inner, bytes: &[u8]) -> io::Result<(Answer, usize)> {
    let mut answer = Answer::Other;
    let taken = inner.take(bytes, |said| {
        match said {
            Said::Subscribed => answer = Answer::Subscribed,
            Said::Refused(_) => answer = Answer::Refused,
            Said::Control(_) | Said::Record(_) | Said::Ping | Said::Other => {}
        }
        Ok(())
    })?;
    Ok((answer, taken))
}

fn read_more(socket: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut chunk = [0; 4096];
    match socket.read(&mut chunk)? {
        0 => Err(io::Error::other("the server closed a connection before it was subscribed")),
        count => {
            bytes.extend_from_slice(&chunk[..count]);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::Wire;
    use super::*;
    use crate::check::Tape;
    use crate::feed::Protocol;

    const NATS: Wire = Wire { dialect: Dialect::Nats, feed: Protocol::Nats };

    fn messages(is_compared: bool) -> Messages {
        let inner = Inner::of(Dialect::Nats).expect("it has a protocol of its own");
        Messages { inner, cut: Vec::new(), is_compared }
    }

    /// What a server sends of some records, in two frames that end anywhere, a ping before the last record.
    fn stream(script: &Script<'_>, records: &[usize]) -> Vec<u8> {
        let mut content = Vec::new();
        for (place, index) in records.iter().enumerate() {
            let payload = script.payload(*index);
            let ping = if place + 1 == records.len() { "PING\r\n" } else { "" };
            content.extend_from_slice(format!("{ping}MSG a@trade 1 {}\r\n", payload.len()).as_bytes());
            content.extend_from_slice(payload);
            content.extend_from_slice(b"\r\n");
        }
        let (mut wire, middle) = (Vec::new(), content.len() / 2);
        frame::append_server(&mut wire, frame::BINARY, &content[..middle]);
        frame::append_server(&mut wire, frame::BINARY, &content[middle..]);
        wire
    }

    #[test]
    fn messages_advance_by_the_records_that_are_due_however_reads_cut_them() {
        let tape = Tape::load(None, 3, 1.0, 1.0).expect("it is generated");
        let script = Script::new(&tape, 0..6, 1.0, NATS);
        let wire = stream(&script, &[0, 1, 2, 3, 4, 5]);
        for cut in 0..=wire.len() {
            let (mut messages, mut cursor) = (messages(true), Cursor::default());
            for part in [&wire[..cut], &wire[cut..]] {
                assert_eq!(messages.take(part, &script, &mut cursor), Ok(()), "cut at {cut}");
            }
            assert_eq!((cursor.records(), cursor.bytes()), (6, script.bytes()));
        }
    }

    #[test]
    fn a_record_lost_or_more_is_told() {
        let tape = Tape::load(None, 3, 1.0, 1.0).expect("it is generated");
        let script = Script::new(&tape, 0..6, 1.0, NATS);
        for (sent, wrong) in [(&[0, 1, 3, 4, 5][..], 2), (&[0, 1, 2, 3, 4, 5, 5][..], 6)] {
            let mut cursor = Cursor::default();
            let taken = messages(true).take(&stream(&script, sent), &script, &mut cursor);
            assert_eq!(taken, Err(wrong), "{sent:?}");
        }
    }
}
