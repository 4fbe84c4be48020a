//! Which records a subscriber has whole, by the bytes that it received; and whether they are the right ones.
//!
//! Pure. Must not touch a socket. Invariant: a record is handed out once, when the last byte of its frame is there.

use super::script::Script;
use std::ops::Range;

/// How far a subscriber is in the stream.
#[derive(Default)]
pub(super) struct Cursor {
    bytes: u64,
    records: usize,
}

impl Cursor {
    /// Takes so many more bytes: the records that are whole now and were not before.
    pub(super) fn advance(&mut self, bytes: usize, ends: &[u64]) -> Range<usize> {
        let before = self.records;
        self.bytes += bytes as u64;
        while ends.get(self.records).is_some_and(|end| *end <= self.bytes) {
            self.records += 1;
        }
        before..self.records
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn records(&self) -> usize {
        self.records
    }
}

/// Compares a stream with what it must be, byte by byte.
#[derive(Default)]
pub(super) struct Proof {
    /// The frame that is expected now, and how much of it was there.
    frame: Vec<u8>,
    content: Vec<u8>,
    matched: usize,
    next: usize,
}

impl Proof {
    /// Takes what came next. An error names the record at which it is something else.
    pub(super) fn take(&mut self, mut came: &[u8], script: &Script<'_>) -> Result<(), usize> {
        while !came.is_empty() {
            if self.matched == self.frame.len() {
                self.expect_next(script)?;
            }
            let expected = &self.frame[self.matched..];
            let both = expected.len().min(came.len());
            if came[..both] != expected[..both] {
                return Err(self.next - 1);
            }
            self.matched += both;
            came = &came[both..];
        }
        Ok(())
    }

    fn expect_next(&mut self, script: &Script<'_>) -> Result<(), usize> {
        if self.next == script.records() {
            return Err(self.next);
        }
        self.frame.clear();
        self.matched = 0;
        script.append_frame(self.next, &mut self.content, &mut self.frame);
        self.next += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::tests::BINANCE;
    use super::*;
    use crate::check::Tape;

    fn tape() -> Tape {
        Tape::load(None, 3, 1.0, 1.0).expect("it is generated")
    }

    fn stream(script: &Script<'_>) -> Vec<u8> {
        let (mut stream, mut content) = (Vec::new(), Vec::new());
        (0..script.records()).for_each(|index| script.append_frame(index, &mut content, &mut stream));
        stream
    }

    #[test]
    fn a_record_counts_with_its_last_byte_wherever_the_stream_is_cut() {
        let tape = tape();
        let script = Script::new(&tape, 0..12, 1.0, BINANCE);
        for cut in 0..=script.bytes() {
            let mut cursor = Cursor::default();
            let whole = script.ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(cursor.advance(cut as usize, &script.ends), 0..whole, "cut at {cut}");
            assert_eq!(cursor.advance((script.bytes() - cut) as usize, &script.ends), whole..12);
            assert_eq!((cursor.records(), cursor.bytes()), (12, script.bytes()));
            assert_eq!(cursor.advance(5, &script.ends), 12..12, "what is too much is no record");
            assert_ne!(cursor.bytes(), script.bytes());
        }
    }

    #[test]
    fn the_right_stream_is_right_wherever_it_is_cut() {
        let tape = tape();
        let script = Script::new(&tape, 0..12, 1.0, BINANCE);
        let stream = stream(&script);
        for cut in 0..=stream.len() {
            let mut proof = Proof::default();
            assert_eq!(proof.take(&stream[..cut], &script), Ok(()));
            assert_eq!(proof.take(&stream[cut..], &script), Ok(()));
            assert_eq!(proof.take(b"\x89\0", &script), Err(12), "a ping behind the last");
        }
    }

    #[test]
    fn another_byte_is_told_with_its_record() {
        let tape = tape();
        let script = Script::new(&tape, 0..12, 1.0, BINANCE);
        let stream = stream(&script);
        for at in 0..stream.len() {
            let mut wrong = stream.clone();
            wrong[at] ^= 1;
            let record = script.ends.iter().filter(|end| **end <= at as u64).count();
            assert_eq!(Proof::default().take(&wrong, &script), Err(record), "byte {at}");
        }
    }
}
