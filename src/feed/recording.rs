//! Recordings: newline-delimited JSON, plain or gzip, read as a stream.
//!
//! Owns the open file and one line buffer; runs on the replaying thread; never talks to a server.
//! Must not hold more than one line, so that memory does not grow with the file.
//! Invariant: a payload is a slice of its line, byte for byte as recorded.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, ErrorKind, Read};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::channel;

mod source;
#[cfg(test)]
mod tests;

use source::Reader;

/// Longest line of a recording that is read, in bytes; longer ones are bad lines.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Bad lines at the start, with no good one among them, after which a file is not taken for a recording.
const BAD_START_MAX: usize = 20;

/// Longest text of what is wrong with a line.
const PROBLEM_CHARS_MAX: usize = 200;

/// A recording that is being read.
pub struct Recording {
    reader: Reader,
    bytes: Option<u64>,
    line: Vec<u8>,
    line_bytes_max: usize,
    lines: u64,
    /// Bad lines before the first good one, and that one, which lies in the buffer.
    held: VecDeque<BadLine>,
    at_hand: Option<LineRead>,
}

/// One line of a recording.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// A message as it came from the exchange.
    Message(Message<'a>),
    /// A line that could not be read; it is skipped.
    Bad(BadLine),
}

/// A recorded message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The number of its line, from 1.
    pub number: u64,
    /// When it was received, in nanoseconds since 1970, where that is known.
    pub time_ns: Option<u64>,
    /// Which exchange or market it came from, where that is known.
    pub venue: Option<Cow<'a, str>>,
    /// A valid channel name; none for control messages.
    pub channel: Option<Cow<'a, str>>,
    /// The payload: where the recorded message is the combined envelope, the `data` inside it.
    pub payload: &'a str,
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Its number, from 1.
    pub number: u64,
    /// What is wrong with it.
    pub problem: String,
}

/// Why a recording cannot be read, or not to its end.
#[derive(Debug)]
pub enum Error {
    /// The file could not be opened.
    Open(io::Error),
    /// Reading failed after so many lines.
    Read(u64, io::Error),
    /// The gzip stream ends early or is damaged, after so many lines.
    Gzip(u64, io::Error),
    /// It holds no line at all.
    Empty,
    /// It holds lines, but the first ones are nothing that a recording has.
    NotARecording(BadLine),
}

#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct RawLine<'a> {
    #[serde(default)]
    t: Option<u64>,
    #[serde(borrow, default)]
    venue: Option<Text<'a>>,
    // May be null, must be there: a line without it was not written by a recorder.
    #[serde(borrow, deserialize_with = "Option::deserialize")]
    channel: Option<Text<'a>>,
    #[serde(borrow)]
    raw: &'a RawValue,
}

/// The combined form of an exchange's message: these two fields and no other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Combined<'a> {
    #[serde(borrow, rename = "stream")]
    _stream: Text<'a>,
    #[serde(borrow)]
    data: &'a RawValue,
}

// serde borrows a `Cow` only where it is the field's own type, not inside an `Option`.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Recording {
    /// Opens a file, plain or gzip, told by its first bytes.
    ///
    /// # Errors
    /// The file cannot be opened or read, or is not a recording.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::Open)?;
        let about = file.metadata().map_err(Error::Open)?;
        if about.is_dir() {
            return Err(Error::Open(ErrorKind::IsADirectory.into()));
        }
        let recording = Self::new(file, LINE_BYTES_MAX)?;
        Ok(Self { bytes: about.is_file().then_some(about.len()), ..recording })
    }

    /// Reads a recording from `source`, with lines of up to `line_bytes_max` bytes.
    ///
    /// # Errors
    /// The first lines cannot be read, or are nothing that a recording has.
    pub fn new(source: impl Read + Send + 'static, line_bytes_max: usize) -> Result<Self, Error> {
        let reader = Reader::new(source).map_err(|cause| Error::Read(0, cause))?;
        let (line, held) = (Vec::new(), VecDeque::new());
        let mut recording = Self { reader, bytes: None, line, line_bytes_max, lines: 0, held, at_hand: None };
        recording.begin()?;
        Ok(recording)
    }

    /// Reads up to the first good line.
    fn begin(&mut self) -> Result<(), Error> {
        while self.held.len() < BAD_START_MAX {
            let read = self.read_line()?;
            if read == LineRead::End {
                break;
            }
            let Err(bad) = self.parsed(read) else {
                self.at_hand = Some(read);
                return Ok(());
            };
            self.held.push_back(bad);
        }
        Err(self.held.pop_front().map_or(Error::Empty, Error::NotARecording))
    }

    /// How much of the file is read, packed as it is, from 0 to 1; none where its size is not known.
    #[must_use]
    pub fn share_read(&self) -> Option<f64> {
        self.bytes.map(|bytes| self.reader.taken() as f64 / bytes as f64)
    }

    /// The next line that is not blank; none at the end.
    ///
    /// # Errors
    /// The file cannot be read on. Nothing more can be read then.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, Error> {
        if let Some(bad) = self.held.pop_front() {
            return Ok(Some(Line::Bad(bad)));
        }
        let read = self.at_hand.take().map_or_else(|| self.read_line(), Ok)?;
        if read == LineRead::End {
            return Ok(None);
        }
        Ok(Some(self.parsed(read).map_or_else(Line::Bad, Line::Message)))
    }

    fn parsed(&self, read: LineRead) -> Result<Message<'_>, BadLine> {
        let parsed = match read {
            LineRead::TooLong => Err(format!("longer than {} bytes", self.line_bytes_max)),
            _ => parse(self.lines, &self.line),
        };
        // What is wrong may be quoted, and as long as the line.
        let cut = |problem: String| problem.chars().take(PROBLEM_CHARS_MAX).collect();
        parsed.map_err(|problem| BadLine { number: self.lines, problem: cut(problem) })
    }

    /// Fills the line buffer with the next line that is not blank, its line feed cut off.
    fn read_line(&mut self) -> Result<LineRead, Error> {
        loop {
            self.line.clear();
            let read = self.read_bounded().map_err(|cause| self.read_error(cause))?;
            self.lines += u64::from(read != LineRead::End);
            if read != LineRead::Whole || !self.line.trim_ascii().is_empty() {
                return Ok(read);
            }
        }
    }

    fn read_bounded(&mut self) -> io::Result<LineRead> {
        let limit = self.line_bytes_max as u64 + 1;
        let taken = self.reader.text().take(limit).read_until(b'\n', &mut self.line)?;
        if taken == 0 {
            return Ok(LineRead::End);
        }
        if self.line.pop_if(|last| *last == b'\n').is_none() && taken as u64 == limit {
            self.reader.text().skip_until(b'\n')?;
            return Ok(LineRead::TooLong);
        }
        Ok(LineRead::Whole)
    }

    // flate2 tells a stream that ends early by `UnexpectedEof` and a damaged one by these two kinds.
    fn read_error(&self, cause: io::Error) -> Error {
        match cause.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput => {
                Error::Gzip(self.lines, cause)
            }
            _ => Error::Read(self.lines, cause),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum LineRead {
    Whole,
    TooLong,
    End,
}

fn parse(number: u64, line: &[u8]) -> Result<Message<'_>, String> {
    let line: RawLine<'_> = serde_json::from_slice(line).map_err(|error| problem(&error))?;
    if let Some(Text(name)) = &line.channel {
        channel::validate(name).map_err(|problem| format!("channel {name:?}: {problem}"))?;
    }
    Ok(Message {
        number,
        time_ns: line.t,
        venue: line.venue.map(|Text(venue)| venue),
        channel: line.channel.map(|Text(name)| name),
        payload: payload_of(line.raw.get()),
    })
}

// The parser sees one line, and would call it line 1.
fn problem(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" at line 1 column ") {
        Some((what, column)) => format!("{what} at column {column}"),
        None => text,
    }
}

fn payload_of(raw: &str) -> &str {
    serde_json::from_str::<Combined<'_>>(raw).map_or(raw, |combined| combined.data.get())
}

impl fmt::Debug for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.number, self.problem)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(cause) => write!(f, "cannot be opened: {cause}; {}", what_to_do(cause.kind())),
            Self::Read(lines, cause) => {
                write!(f, "cannot be read on behind line {lines}: {cause}; {}", what_to_do(cause.kind()))
            }
            Self::Gzip(lines, cause) if cause.kind() == ErrorKind::UnexpectedEof => {
                write!(f, "the gzip stream is cut short behind line {lines}; fetch the file again")
            }
            Self::Gzip(lines, cause) => {
                write!(f, "the gzip stream is damaged behind line {lines} ({cause}); fetch the file again")
            }
            Self::Empty => f.write_str("the file is empty; name one that a recorder wrote"),
            Self::NotARecording(bad) => write!(
                f,
                "not a recording ({bad}); a line of one reads \
                 {{\"t\":<ns or null>,\"venue\":\"…\",\"channel\":\"…\" or null,\"raw\":<payload>}}; \
                 gzip is unpacked here, unpack anything else first"
            ),
        }
    }
}

fn what_to_do(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "is the path right, seen from the current directory?",
        ErrorKind::IsADirectory => "name one file in it",
        ErrorKind::PermissionDenied => "let this user read it (chmod u+r), or run as one who may",
        _ => "copy it to a place that can be read, and try again",
    }
}

impl std::error::Error for Error {}
