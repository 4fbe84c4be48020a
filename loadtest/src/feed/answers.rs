//! What a server answers on a feed's connection: PONGs and refusals.
//!
//! The feed's thread. Must not keep more than one line. Invariant: an answer cut by a read counts once.

use std::io::{self, ErrorKind, Read};

/// A longer answer is cut; one is told by its first bytes.
const LINE_BYTES_MAX: usize = 256;

/// The server's answers on a feed's connection.
#[derive(Default)]
pub(super) struct Answers {
    line: Vec<u8>,
    /// Of the last PONG.
    pub(super) accepted: Option<u64>,
    pub(super) refused: u64,
}

impl Answers {
    /// Reads what is there; the end of the stream is an error, for no server may hang up on a feed.
    pub(super) fn read(&mut self, from: &mut impl Read) -> io::Result<()> {
        let mut bytes = [0; 4096];
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
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                byte if self.line.len() < LINE_BYTES_MAX => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line);
        if let Some(count) = line.strip_prefix("+PONG ") {
            self.accepted = count.trim().parse().ok();
        } else if line.starts_with("-ERR") {
            self.refused += 1;
        }
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_across_cuts() {
        let mut answers = Answers::default();
        for part in [&b"-ERR 3 json ba"[..], b"d\n-ERR 4 x y\n+PO", b"NG 17\n"] {
            answers.take(part);
        }
        assert_eq!((answers.refused, answers.accepted), (2, Some(17)));
    }
}
