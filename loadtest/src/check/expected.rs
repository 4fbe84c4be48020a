//! What a subscriber must see: every payload by channel and sequence, kept in files that all processes of a check read.
//!
//! Written once by the driver, read by each reader. Must not hold payloads in memory: a hash and a place for each.
//! Invariant: `(channel, sequence)` has one payload; anything else under that name is a violation.

use super::depth::Diff;
use super::tape::Tape;
use foldhash::HashMap;
use foldhash::fast::FixedState;
use std::fs::{self, File};
use std::hash::BuildHasher;
use std::io::{self, BufWriter, Write};
use std::ops::RangeInclusive;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

const CHANNELS: &str = "channels";
const INDEX: &str = "index";
const PAYLOADS: &str = "payloads";
/// Channel, length, hash.
const ENTRY_BYTES: usize = 16;

/// A folder that holds what is expected, removed with this.
pub(crate) struct Spool(PathBuf);

impl Spool {
    /// Writes down a tape.
    pub(crate) fn write(tape: &Tape) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(format!("tapecast-check-{process}-{number}"));
        fs::create_dir_all(&folder)?;
        let spool = Self(folder);
        fs::write(spool.0.join(CHANNELS), tape.channels.join("\n"))?;
        let mut index = BufWriter::new(File::create(spool.0.join(INDEX))?);
        let mut payloads = BufWriter::new(File::create(spool.0.join(PAYLOADS))?);
        for record in &tape.records {
            let payload = tape.payload(record);
            index.write_all(&(record.channel as u32).to_le_bytes())?;
            index.write_all(&(payload.len() as u32).to_le_bytes())?;
            index.write_all(&hash(payload).to_le_bytes())?;
            payloads.write_all(payload)?;
        }
        index.flush()?;
        payloads.flush()?;
        Ok(spool)
    }

    /// Where it is.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // Nothing is left to do where it cannot be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}

struct Payload {
    start: u64,
    bytes: u32,
    hash: u64,
    /// Its place on the whole tape.
    place: u32,
}

/// What is expected of each channel.
pub(crate) struct Expected {
    names: Vec<String>,
    by_name: HashMap<String, usize>,
    /// By channel, by sequence less one.
    channels: Vec<Vec<Payload>>,
    payloads: File,
}

impl Expected {
    /// Reads what a spool holds.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let names: Vec<String> =
            fs::read_to_string(folder.join(CHANNELS))?.lines().map(str::to_owned).collect();
        let by_name = names.iter().enumerate().map(|(channel, name)| (name.clone(), channel)).collect();
        let mut channels: Vec<Vec<Payload>> = names.iter().map(|_| Vec::new()).collect();
        let (index, mut start) = (fs::read(folder.join(INDEX))?, 0);
        for (place, entry) in index.chunks_exact(ENTRY_BYTES).enumerate() {
            let word =
                |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
            let (channel, bytes) = (word(0) as usize, word(4));
            let hash = u64::from(word(8)) | u64::from(word(12)) << 32;
            channels[channel].push(Payload { start, bytes, hash, place: place as u32 });
            start += u64::from(bytes);
        }
        let payloads = File::open(folder.join(PAYLOADS))?;
        Ok(Self { names, by_name, channels, payloads })
    }

    /// Names, by channel.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The channel of this name.
    pub(crate) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The last sequence that a channel will have.
    pub(crate) fn last(&self, channel: usize) -> u64 {
        self.channels[channel].len() as u64
    }

    /// Where on the tape a sequence of a channel stands.
    pub(crate) fn place(&self, channel: usize, sequence: u64) -> Option<usize> {
        Some(self.at(channel, sequence)?.place as usize)
    }

    /// Whether this is the sequence's payload; else what is wrong.
    pub(crate) fn check(&self, channel: usize, sequence: u64, payload: &[u8]) -> Result<(), String> {
        match self.at(channel, sequence) {
            None => Err("was never published".to_owned()),
            Some(expected) if expected.hash == hash(payload) && expected.bytes as usize == payload.len() => {
                Ok(())
            }
            Some(_) => Err(format!("has another payload than was published: {}", shortened(payload))),
        }
    }

    /// Whether this is what the diffs of these sequences say together; else what is wrong.
    pub(crate) fn check_union(
        &self,
        channel: usize,
        sequences: RangeInclusive<u64>,
        payload: &[u8],
    ) -> Result<(), String> {
        let diffs = sequences.clone().map(|sequence| Diff::read(&self.payload(channel, sequence)?));
        let expected =
            Diff::union(diffs).map_err(|why| format!("cannot be the union of {sequences:?}: {why}"))?;
        match Diff::read(payload) {
            Ok(diff) if diff == expected => Ok(()),
            Ok(_) => Err(format!("is not the union of {sequences:?}: {}", shortened(payload))),
            Err(why) => Err(format!("is no diff ({why}): {}", shortened(payload))),
        }
    }

    fn payload(&self, channel: usize, sequence: u64) -> Result<Vec<u8>, String> {
        let of = self.at(channel, sequence).ok_or_else(|| format!("{sequence} was never published"))?;
        let mut payload = vec![0; of.bytes as usize];
        self.payloads.read_exact_at(&mut payload, of.start).map_err(|error| error.to_string())?;
        Ok(payload)
    }

    fn at(&self, channel: usize, sequence: u64) -> Option<&Payload> {
        self.channels[channel].get(usize::try_from(sequence.checked_sub(1)?).ok()?)
    }
}

fn hash(payload: &[u8]) -> u64 {
    FixedState::default().hash_one(payload)
}

fn shortened(payload: &[u8]) -> String {
    String::from_utf8_lossy(&payload[..payload.len().min(200)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_published_is_expected() {
        let tape = Tape::load(None, 3, 1.0, 1.0).expect("a tape");
        let spool = Spool::write(&tape).expect("a spool");
        let expected = Expected::open(spool.folder()).expect("read back");
        let mut sequences = vec![0; tape.channels.len()];
        for (place, record) in tape.records.iter().enumerate() {
            sequences[record.channel] += 1;
            let (channel, sequence) = (record.channel, sequences[record.channel]);
            assert_eq!(expected.place(channel, sequence), Some(place));
            assert_eq!(expected.check(channel, sequence, tape.payload(record)), Ok(()));
            let mut other = tape.payload(record).to_vec();
            other[5] ^= 1;
            assert!(expected.check(channel, sequence, &other).is_err());
        }
        assert!(expected.check(0, expected.last(0) + 1, b"1").is_err());
        assert!(expected.check(0, 0, b"1").is_err());
        let depth = expected.find("made:s0usdt@depth").expect("a depth channel");
        let alone = expected.payload(depth, 2).expect("published");
        assert_eq!(expected.check_union(depth, 2..=2, &alone), Ok(()));
        assert!(expected.check_union(depth, 1..=2, &alone).is_err());
    }
}
