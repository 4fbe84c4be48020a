//! The bytes of a recording: unpacked where they are gzip, and counted as they lie in the file.
//!
//! Owns the open file and its buffers; runs on the replaying thread. It knows nothing of lines.
//! Invariant: what is counted was asked for, within the few kilobytes that unpacking looks ahead.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// RFC 1952, 2.3.1: ID1 and ID2.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A recording's text.
pub(super) enum Reader {
    Plain(Source),
    Gzip(BufReader<MultiGzDecoder<Source>>),
}

impl Reader {
    /// Tells by the first bytes what it is.
    pub(super) fn new(mut source: impl Read + Send + 'static) -> io::Result<Self> {
        let mut magic = Vec::new();
        source.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic)?;
        let is_gzip = magic == GZIP_MAGIC;
        let whole: Box<dyn Read + Send> = Box::new(Cursor::new(magic).chain(source));
        let source = Source { buffered: BufReader::new(whole), taken: 0 };
        Ok(match is_gzip {
            true => Self::Gzip(BufReader::new(MultiGzDecoder::new(source))),
            false => Self::Plain(source),
        })
    }

    pub(super) fn text(&mut self) -> &mut dyn BufRead {
        match self {
            Self::Plain(source) => source,
            Self::Gzip(unpacked) => unpacked,
        }
    }

    /// Bytes of the file that were taken.
    pub(super) fn taken(&self) -> u64 {
        match self {
            Self::Plain(source) => source.taken,
            Self::Gzip(unpacked) => unpacked.get_ref().get_ref().taken,
        }
    }
}

/// A recording's bytes as they lie in the file, counted as they are taken.
pub(super) struct Source {
    buffered: BufReader<Box<dyn Read + Send>>,
    taken: u64,
}

impl Read for Source {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.buffered.read(into)?;
        self.taken += read as u64;
        Ok(read)
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.buffered.fill_buf()
    }

    fn consume(&mut self, bytes: usize) {
        self.taken += bytes as u64;
        self.buffered.consume(bytes);
    }
}
