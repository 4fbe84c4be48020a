//! Recordings: newline-delimited JSON, plain or gzip, read as a stream.
//!
//! Owns the open file and one line buffer; runs on the replaying thread; never talks to a server.
//! Must not hold more than one line, so that memory does not grow with the file.
//! Invariant: a payload is a slice of its line, byte for byte as recorded.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::channel;

/// Longest line of a recording that is read, in bytes; longer ones are bad lines.
pub const LINE_BYTES_MAX: usize = 16 << 20;

/// Bad lines at the start, with no good one among them, after which a file is not taken for a recording.
const BAD_START_MAX: u64 = 20;

/// RFC 1952, 2.3.1: ID1 and ID2.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A recording that is being read.
pub struct Recording {
    reader: Box<dyn BufRead + Send>,
    line: Vec<u8>,
    line_bytes_max: usize,
    lines: u64,
    any_good: bool,
    first_bad: Option<BadLine>,
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
    Open(String, io::Error),
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
    /// The file cannot be opened or read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|cause| Error::Open(path.display().to_string(), cause))?;
        Self::new(file, LINE_BYTES_MAX)
    }

    /// Reads a recording from `source`, with lines of up to `line_bytes_max` bytes.
    ///
    /// # Errors
    /// The first bytes cannot be read.
    pub fn new(mut source: impl Read + Send + 'static, line_bytes_max: usize) -> Result<Self, Error> {
        let mut magic = Vec::new();
        source
            .by_ref()
            .take(GZIP_MAGIC.len() as u64)
            .read_to_end(&mut magic)
            .map_err(|cause| Error::Read(0, cause))?;
        let is_gzip = magic == GZIP_MAGIC;
        let whole = BufReader::new(Cursor::new(magic).chain(source));
        let reader: Box<dyn BufRead + Send> = match is_gzip {
            true => Box::new(BufReader::new(MultiGzDecoder::new(whole))),
            false => Box::new(whole),
        };
        Ok(Self { reader, line: Vec::new(), line_bytes_max, lines: 0, any_good: false, first_bad: None })
    }

    /// The next line that is not blank; none at the end.
    ///
    /// # Errors
    /// The file cannot be read on, or is not a recording. Nothing more can be read then.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, Error> {
        let read = self.read_line()?;
        if read == LineRead::End {
            return self.end().map(|()| None);
        }
        let parsed = match read {
            LineRead::TooLong => Err(format!("longer than {} bytes", self.line_bytes_max)),
            _ => parse(&self.line),
        };
        match parsed {
            Ok(message) => {
                self.any_good = true;
                Ok(Some(Line::Message(message)))
            }
            Err(problem) => {
                let bad = BadLine { number: self.lines, problem };
                if !self.any_good {
                    let first = self.first_bad.get_or_insert_with(|| bad.clone());
                    if self.lines >= BAD_START_MAX {
                        return Err(Error::NotARecording(first.clone()));
                    }
                }
                Ok(Some(Line::Bad(bad)))
            }
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        match self.first_bad.take() {
            Some(first) if !self.any_good => Err(Error::NotARecording(first)),
            _ if self.lines == 0 => Err(Error::Empty),
            _ => Ok(()),
        }
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
        let taken = self.reader.by_ref().take(limit).read_until(b'\n', &mut self.line)?;
        if taken == 0 {
            return Ok(LineRead::End);
        }
        if self.line.pop_if(|last| *last == b'\n').is_none() && taken as u64 == limit {
            self.reader.skip_until(b'\n')?;
            return Ok(LineRead::TooLong);
        }
        Ok(LineRead::Whole)
    }

    // flate2 tells a stream that ends early by `UnexpectedEof` and a damaged one by these two kinds.
    fn read_error(&self, cause: io::Error) -> Error {
        use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
        match cause.kind() {
            UnexpectedEof | InvalidData | InvalidInput => Error::Gzip(self.lines, cause),
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

fn parse(line: &[u8]) -> Result<Message<'_>, String> {
    let line: RawLine<'_> = serde_json::from_slice(line).map_err(|problem| problem.to_string())?;
    if let Some(Text(name)) = &line.channel {
        channel::validate(name).map_err(|problem| format!("channel {name:?}: {problem}"))?;
    }
    Ok(Message {
        time_ns: line.t,
        venue: line.venue.map(|Text(venue)| venue),
        channel: line.channel.map(|Text(name)| name),
        payload: payload_of(line.raw.get()),
    })
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
            Self::Open(path, cause) => write!(f, "cannot open {path}: {cause}"),
            Self::Read(lines, cause) => write!(f, "cannot read on behind line {lines}: {cause}"),
            Self::Gzip(lines, cause) => write!(
                f,
                "the gzip stream is cut short or damaged behind line {lines} ({cause}); fetch the file again"
            ),
            Self::Empty => f.write_str("the file is empty"),
            Self::NotARecording(bad) => write!(
                f,
                "not a recording ({bad}); a line of one reads \
                 {{\"t\":<ns or null>,\"venue\":\"…\",\"channel\":\"…\" or null,\"raw\":<payload>}}"
            ),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const TRADE: &str =
        r#"{"t":1723161254024619568,"venue":"x","channel":"btcusdt@trade","raw":{"p": "1.10", "n":1e2}}"#;
    const CONTROL: &str = r#"{"t":null,"channel":null,"raw":{"result":null,"id":1}}"#;
    const COMBINED: &str = r#"{"t":5,"venue":"x","channel":"a@trade","raw":{"stream":"a@trade@0ms","data": [ 1.50 ,"\u00e9"] }}"#;

    fn read_all(bytes: Vec<u8>, line_bytes_max: usize) -> Result<Vec<String>, Error> {
        let mut recording = Recording::new(Cursor::new(bytes), line_bytes_max)?;
        let mut lines = Vec::new();
        while let Some(line) = recording.next_line()? {
            lines.push(match line {
                Line::Message(m) => format!("{:?} {:?} {}", m.time_ns, m.channel.as_deref(), m.payload),
                Line::Bad(bad) => format!("bad {}", bad.number),
            });
        }
        Ok(lines)
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn plain_and_gzip_give_the_same_verbatim_payloads() {
        let text = format!("{TRADE}\n\n{CONTROL}\r\n{COMBINED}");
        let expected = [
            r#"Some(1723161254024619568) Some("btcusdt@trade") {"p": "1.10", "n":1e2}"#,
            r#"None None {"result":null,"id":1}"#,
            r#"Some(5) Some("a@trade") [ 1.50 ,"\u00e9"]"#,
        ];
        assert_eq!(read_all(text.clone().into(), 1000).unwrap(), expected);
        assert_eq!(read_all(gzip(&text), 1000).unwrap(), expected);
        let members = [gzip(&format!("{TRADE}\n")), gzip(CONTROL)].concat();
        assert_eq!(read_all(members, 1000).unwrap(), expected[..2], "gzip files put one behind another");
    }

    #[test]
    fn only_the_exact_combined_form_is_an_envelope() {
        for raw in [
            r#"{"stream":1,"data":2}"#,
            r#"{"stream":"a","data":2,"x":3}"#,
            r#"{"topic":"a","data":2}"#,
            "[1]",
        ] {
            assert_eq!(payload_of(raw), raw);
        }
        assert_eq!(payload_of(r#"{"data":2.0,"stream":"a"}"#), "2.0");
    }

    #[test]
    fn bad_lines_are_told_with_their_numbers_and_skipped() {
        let no_channel = r#"{"t":1,"raw":1}"#;
        let bad_channel = r#"{"t":1,"channel":"btc usdt@trade","raw":1}"#;
        let long = format!("{{\"channel\":\"a@b\",\"raw\":\"{}\"}}", "x".repeat(300));
        let bad_utf8 = b"{\"channel\":\"a@b\",\"raw\":\"\xff\"}";
        let text = format!("{TRADE}\nnonsense\n\n{no_channel}\n{bad_channel}\n{long}\n").into_bytes();
        let text = [text.as_slice(), bad_utf8, b"\n", CONTROL.as_bytes(), b"\n"].concat();
        let lines = read_all(text, 200).unwrap();
        assert_eq!(lines[1..6], ["bad 2", "bad 4", "bad 5", "bad 6", "bad 7"]);
        assert_eq!(lines.len(), 7);
    }

    #[test]
    fn a_line_of_exactly_the_bound_is_read() {
        let text = format!("{TRADE}\n{TRADE}");
        assert!(read_all(text.clone().into(), TRADE.len()).is_ok());
        assert!(read_all(text.into(), TRADE.len() - 1).is_err(), "all lines too long: not a recording");
    }

    #[test]
    fn a_truncated_gzip_gives_its_lines_and_then_says_so() {
        let text = format!("{TRADE}\n").repeat(1000);
        let mut bytes = gzip(&text);
        bytes.truncate(bytes.len() - 9);
        let mut recording = Recording::new(Cursor::new(bytes), 1000).unwrap();
        let mut good = 0;
        let error = loop {
            match recording.next_line() {
                Ok(line) => good += u64::from(matches!(line.expect("no clean end"), Line::Message(_))),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error, Error::Gzip(lines, _) if lines == good && good > 900),
            "{error:?} after {good}"
        );
    }

    #[test]
    fn what_is_not_a_recording_is_told_early() {
        assert!(matches!(read_all(Vec::new(), 100), Err(Error::Empty)));
        assert!(matches!(read_all(b"\n\n".to_vec(), 100), Ok(lines) if lines.is_empty()));
        let short = read_all(b"a,b,c\n1,2,3\n".to_vec(), 100);
        assert!(matches!(short, Err(Error::NotARecording(BadLine { number: 1, .. }))), "{short:?}");
        let mut csv = Recording::new(Cursor::new(b"1,2\n".repeat(1000)), 1000).unwrap();
        let bad_lines = (0..1000).take_while(|_| csv.next_line().is_ok()).count();
        assert_eq!(bad_lines, 19, "the twentieth ends it");
    }

    #[test]
    fn an_endless_line_is_skipped_without_being_kept() {
        let source = io::repeat(b'x').take(1 << 24).chain(Cursor::new(format!("\n{TRADE}\n")));
        let mut recording = Recording::new(source, 1000).unwrap();
        assert!(matches!(recording.next_line(), Ok(Some(Line::Bad(BadLine { number: 1, .. })))));
        assert!(recording.line.capacity() < 10_000);
        assert!(matches!(recording.next_line(), Ok(Some(Line::Message(_)))));
    }
}
