//! A feed's side of the lines protocol: connect, gather lines, write them in batches, read the answers.
//!
//! Owns one connection and its two buffers; runs on the runtime of whoever publishes; decides nothing about timing.
//! Must not stop reading answers while it writes: a server does not read a feed that leaves its answers unread.
//! Invariant: every future here may be dropped at any point, and nothing is written twice or lost by it.

use std::fmt;
use std::io::{self, ErrorKind};
use std::time::Duration;

use memchr::memchr;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes gathered after which a batch is worth a write.
pub const BATCH_BYTES: usize = 64 << 10;

/// Refusals whose text is kept; later ones are counted only.
pub const REFUSALS_KEPT: u64 = 10;

/// Longest answer of a server, in bytes: a line number, a code and a short message.
const ANSWER_BYTES_MAX: usize = 4 << 10;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for a server to take in what was written before and answer a `PING`.
const PONG_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection to a feed listener.
#[derive(Debug)]
pub struct Client {
    to: String,
    stream: TcpStream,
    outgoing: Vec<u8>,
    written: usize,
    incoming: Vec<u8>,
    refused: u64,
    refusals: Vec<String>,
    last_refusal: Option<String>,
    accepted: Option<u64>,
}

/// Why a connection to a feed listener cannot be made, or broke.
#[derive(Debug)]
pub enum Error {
    /// Nothing could be reached at this address.
    Connect(String, io::Error),
    /// The connection broke, or the server closed it.
    Lost {
        /// The server's address.
        to: String,
        /// What the system said; `UnexpectedEof` where the server closed.
        cause: io::Error,
        /// The server's last `-ERR` line: often the reason.
        last_refusal: Option<String>,
    },
    /// Something answered that is no feed listener; with what it said.
    NotAFeedListener(String, String),
    /// No `+PONG` in time.
    Silent(String),
}

impl Client {
    /// Connects to `to` (host and port), and presents the token if there is one.
    ///
    /// # Errors
    /// The address cannot be resolved or reached within ten seconds.
    pub async fn connect(to: &str, token: Option<&str>) -> Result<Self, Error> {
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(to)).await;
        let stream = connecting.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        let stream = stream
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|cause| Error::Connect(to.to_owned(), cause))?;
        let mut outgoing = Vec::with_capacity(2 * BATCH_BYTES);
        if let Some(token) = token {
            outgoing.extend([b"AUTH ", token.as_bytes(), b"\n"].concat());
        }
        Ok(Self {
            to: to.to_owned(),
            stream,
            outgoing,
            written: 0,
            incoming: Vec::new(),
            refused: 0,
            refusals: Vec::new(),
            last_refusal: None,
            accepted: None,
        })
    }

    /// Gathers one record. `channel` must be valid and `payload` one JSON value without a line feed.
    pub fn push(&mut self, channel: &str, payload: &str) {
        for part in [channel, " ", payload, "\n"] {
            self.outgoing.extend_from_slice(part.as_bytes());
        }
    }

    /// Bytes that are gathered and not yet written; the caller flushes at [`BATCH_BYTES`].
    #[must_use]
    pub fn gathered_bytes(&self) -> usize {
        self.outgoing.len() - self.written
    }

    /// Records that the server refused so far.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// The texts of refusals since the last call, [`REFUSALS_KEPT`] in all.
    pub fn take_refusals(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refusals)
    }

    /// Writes what is gathered, and reads answers meanwhile.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn flush(&mut self) -> Result<(), Error> {
        while self.gathered_bytes() > 0 {
            self.turn(Interest::READABLE | Interest::WRITABLE).await?;
        }
        Ok(())
    }

    /// Reads answers for this long.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn wait(&mut self, time: Duration) -> Result<(), Error> {
        let reading = async {
            loop {
                self.turn(Interest::READABLE).await?;
            }
        };
        timeout(time, reading).await.unwrap_or(Ok(()))
    }

    /// Writes what is gathered, and asks how many records of this connection were accepted.
    ///
    /// # Errors
    /// The connection broke, or no answer came within fifteen seconds.
    pub async fn settle(&mut self) -> Result<u64, Error> {
        self.accepted = None;
        self.outgoing.extend_from_slice(b"PING\n");
        let asking = async {
            self.flush().await?;
            loop {
                if let Some(accepted) = self.accepted {
                    return Ok(accepted);
                }
                self.turn(Interest::READABLE).await?;
            }
        };
        let answer = timeout(PONG_TIMEOUT, asking).await;
        answer.unwrap_or_else(|_| Err(Error::Silent(self.to.clone())))
    }

    /// Waits until the socket is ready for something, and does it.
    async fn turn(&mut self, interest: Interest) -> Result<(), Error> {
        let ready = self.stream.ready(interest).await;
        match ready.and_then(|ready| self.exchange(ready)) {
            Ok(()) => {}
            Err(cause) => return Err(self.lost(cause)),
        }
        self.take_answers()
    }

    fn exchange(&mut self, ready: Ready) -> io::Result<()> {
        if ready.is_readable() {
            self.read_some()?;
        }
        if ready.is_writable() {
            self.write_some()?;
        }
        Ok(())
    }

    fn read_some(&mut self) -> io::Result<()> {
        self.incoming.reserve(ANSWER_BYTES_MAX);
        let read = unless_blocked(self.stream.try_read_buf(&mut self.incoming))?;
        if read == Some(0) { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn write_some(&mut self) -> io::Result<()> {
        let taken = unless_blocked(self.stream.try_write(&self.outgoing[self.written..]))?;
        self.written += taken.unwrap_or(0);
        if self.written == self.outgoing.len() {
            self.outgoing.clear();
            self.written = 0;
        }
        Ok(())
    }

    fn take_answers(&mut self) -> Result<(), Error> {
        let incoming = std::mem::take(&mut self.incoming);
        let mut rest = incoming.as_slice();
        while let Some(end) = memchr(b'\n', rest) {
            self.take_answer(rest[..end].trim_ascii_end())?;
            rest = &rest[end + 1..];
        }
        if rest.len() > ANSWER_BYTES_MAX {
            return Err(self.not_a_feed_listener(rest));
        }
        let done = incoming.len() - rest.len();
        self.incoming = incoming;
        self.incoming.drain(..done);
        Ok(())
    }

    fn take_answer(&mut self, answer: &[u8]) -> Result<(), Error> {
        match parse_answer(answer) {
            Some(Answer::Accepted(accepted)) => self.accepted = Some(accepted),
            Some(Answer::Refused(text)) => {
                self.refused += 1;
                if self.refused <= REFUSALS_KEPT {
                    self.refusals.push(text.clone());
                }
                self.last_refusal = Some(text);
            }
            None => return Err(self.not_a_feed_listener(answer)),
        }
        Ok(())
    }

    // A write may fail while the server's last words, which say why, still lie in the socket unread.
    fn lost(&mut self, cause: io::Error) -> Error {
        while matches!(self.stream.try_read_buf(&mut self.incoming), Ok(1..)) {
            if let Err(error) = self.take_answers() {
                return error;
            }
        }
        Error::Lost { to: self.to.clone(), cause, last_refusal: self.last_refusal.take() }
    }

    fn not_a_feed_listener(&self, said: &[u8]) -> Error {
        Error::NotAFeedListener(self.to.clone(), printable(&said[..said.len().min(80)]))
    }
}

enum Answer {
    Accepted(u64),
    Refused(String),
}

fn parse_answer(answer: &[u8]) -> Option<Answer> {
    if let Some(text) = answer.strip_prefix(b"-ERR ") {
        return Some(Answer::Refused(printable(text)));
    }
    let count = answer.strip_prefix(b"+PONG ")?;
    str::from_utf8(count).ok()?.parse().ok().map(Answer::Accepted)
}

// A server may quote what a feed sent, and this goes to a terminal.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(char::is_control, "?")
}

fn unless_blocked(result: io::Result<usize>) -> io::Result<Option<usize>> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(to, cause) => {
                write!(f, "cannot connect to {to}: {cause}; is a server running there (tapecast serve)?")
            }
            Self::Lost { to, cause, last_refusal } => {
                match cause.kind() {
                    ErrorKind::UnexpectedEof => write!(f, "{to} closed the connection")?,
                    _ => write!(f, "lost the connection to {to}: {cause}")?,
                }
                match last_refusal {
                    Some(text) => write!(f, "; the last thing it said was \"{text}\""),
                    None => f.write_str("; its log says why"),
                }
            }
            Self::NotAFeedListener(to, said) => write!(
                f,
                "{to} is not a feed listener (it said \"{said}\"); give the address that serve prints \
                 as \"listening ingest\""
            ),
            Self::Silent(to) => {
                write!(
                    f,
                    "{to} took the records but did not say within {PONG_TIMEOUT:?} how many it accepted"
                )
            }
        }
    }
}

impl std::error::Error for Error {}
