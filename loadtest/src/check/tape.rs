//! The tape: what the checker publishes, from a recording or generated.
//!
//! The driver's thread. Must not change a payload's bytes. Invariant: record `n` of a channel gets sequence `n` from a fresh
//! server with one feed, the first being 1, so what a subscriber must see follows from the tape.

use fastrand::Rng;
use flate2::read::MultiGzDecoder;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

/// Longest generated tape, and its mean rate as recorded.
const GENERATED_NS: u64 = 600_000_000_000;
const GENERATED_MEAN_NS: u64 = 1_000_000;
const SYMBOLS: usize = 8;
const KINDS: [&str; 3] = ["bookTicker", "trade", "depth"];

/// Records of some channels in the order in which they are published.
pub(crate) struct Tape {
    pub(crate) channels: Vec<String>,
    pub(crate) records: Vec<TapeRecord>,
    bytes: Vec<u8>,
}

/// One record of a tape.
pub(crate) struct TapeRecord {
    pub(crate) channel: usize,
    /// When it was recorded, ns since the first.
    pub(crate) at_ns: u64,
    span: Range<usize>,
}

impl Tape {
    /// The recording, or without one a tape from the seed; of either what plays in `seconds` at `speed`.
    pub(crate) fn load(recording: Option<&Path>, seed: u64, speed: f64, seconds: f64) -> io::Result<Self> {
        let until_ns = (seconds * speed * 1e9) as u64;
        match recording {
            Some(path) => Self::read(path, until_ns),
            None => Ok(Self::generate(seed, until_ns.min(GENERATED_NS))),
        }
    }

    /// A record's payload.
    pub(crate) fn payload(&self, record: &TapeRecord) -> &[u8] {
        &self.bytes[record.span.clone()]
    }

    fn empty() -> Self {
        Self { channels: Vec::new(), records: Vec::new(), bytes: Vec::new() }
    }

    fn push(&mut self, channel: usize, at_ns: u64, payload: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.records.push(TapeRecord { channel, at_ns, span: start..self.bytes.len() });
    }

    fn read(path: &Path, until_ns: u64) -> io::Result<Self> {
        let (mut tape, mut names) = (Self::empty(), HashMap::new());
        let (mut first_ns, mut at_ns) = (None, 0);
        let mut lines = BufReader::with_capacity(1 << 20, open(path)?);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line)? > 0 {
            let read = read_line(line.trim_ascii_end());
            if let Some(Line { time_ns, channel, payload }) = read {
                // Without a time it follows the one before.
                let time_ns = time_ns.unwrap_or_else(|| first_ns.unwrap_or(0) + at_ns);
                at_ns = time_ns.saturating_sub(*first_ns.get_or_insert(time_ns));
                if at_ns > until_ns {
                    break;
                }
                let count = names.len();
                let channel = *names.entry(channel).or_insert_with_key(|name| {
                    tape.channels.push(name.clone());
                    count
                });
                tape.push(channel, at_ns, payload);
            }
            line.clear();
        }
        if tape.records.is_empty() {
            return Err(io::Error::other(format!("{} holds no record of a channel", path.display())));
        }
        Ok(tape)
    }

    /// Few channels with most records, bursts, and diffs that follow each other.
    fn generate(seed: u64, until_ns: u64) -> Self {
        let (mut tape, mut random) = (Self::empty(), Rng::with_seed(seed));
        let symbols = 0..SYMBOLS;
        tape.channels =
            symbols.flat_map(|symbol| KINDS.map(|kind| format!("made:s{symbol}usdt@{kind}"))).collect();
        let mut updates = vec![0u64; tape.channels.len()];
        let mut at_ns = 0;
        while at_ns < until_ns {
            let channel = random.usize(..updates.len()).min(random.usize(..updates.len()));
            let before = updates[channel];
            updates[channel] += random.u64(1..20);
            let payload = generated(channel, before, updates[channel], &mut random);
            tape.push(channel, at_ns, payload.as_bytes());
            at_ns += if random.u8(..10) == 0 {
                random.u64(..18 * GENERATED_MEAN_NS)
            } else {
                random.u64(..GENERATED_MEAN_NS / 5)
            };
        }
        tape
    }
}

fn generated(channel: usize, before: u64, update: u64, random: &mut Rng) -> String {
    let symbol = channel / KINDS.len();
    let price = |random: &mut Rng| format!("{}.{:02}", 100 + random.u32(..4), random.u32(..100));
    match KINDS[channel % KINDS.len()] {
        "bookTicker" => {
            let (bid, ask) = (price(random), price(random));
            format!(r#"{{"u":{update},"s":"S{symbol}USDT","b":"{bid}","B":"1.5","a":"{ask}","A":"2.5"}}"#)
        }
        "trade" => {
            let price = price(random);
            format!(
                r#"{{"e":"trade","E":{update},"s":"S{symbol}USDT","t":{update},"p":"{price}","q":"0.10","m":true}}"#
            )
        }
        _ => {
            let mut side = || {
                // A price stands once in a diff.
                let prices: std::collections::BTreeSet<_> =
                    (0..random.usize(..12)).map(|_| price(random)).collect();
                let levels = prices.iter().map(|price| format!(r#"["{price}","{}.0"]"#, random.u32(..4)));
                levels.collect::<Vec<_>>().join(",")
            };
            let (bids, asks) = (side(), side());
            let first = before + 1;
            format!(
                r#"{{"e":"depthUpdate","E":{update},"s":"S{symbol}USDT","U":{first},"u":{update},"pu":{before},"b":[{bids}],"a":[{asks}]}}"#
            )
        }
    }
}

/// A file's bytes, plain or gzip, told apart by its first two.
fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    let with_name = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let mut start = [0; 2];
    let is_gzip =
        File::open(path).map_err(with_name)?.read_exact(&mut start).is_ok() && start == [0x1F, 0x8B];
    let file = File::open(path)?;
    Ok(if is_gzip { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) })
}

/// One line of a recording.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    time_ns: Option<u64>,
    /// With its venue in front: two venues may have one name.
    channel: String,
    payload: &'a [u8],
}

/// Reads `{"t":…,"venue":"…","channel":"…",…,"raw":…}`; nothing where it has no channel.
fn read_line(line: &[u8]) -> Option<Line<'_>> {
    const RAW: &[u8] = br#","raw":"#;
    let at = memchr::memmem::find(line, RAW)?;
    let mut head = line[..at].to_vec();
    head.push(b'}');
    let head: serde_json::Value = serde_json::from_slice(&head).ok()?;
    let channel = match (head["venue"].as_str(), head["channel"].as_str()?) {
        (Some(venue), channel) => format!("{venue}:{channel}"),
        (None, channel) => channel.to_owned(),
    };
    let raw = line[at + RAW.len()..].strip_suffix(b"}")?;
    Some(Line { time_ns: head["t"].as_u64(), channel, payload: out_of_envelope(raw) })
}

/// The payload inside the exchange's combined envelope, where there is one.
fn out_of_envelope(raw: &[u8]) -> &[u8] {
    const DATA: &[u8] = br#"","data":"#;
    let inside = || {
        let rest = raw.strip_prefix(br#"{"stream":""#)?;
        let at = memchr::memmem::find(rest, DATA)?;
        rest[at + DATA.len()..].strip_suffix(b"}")
    };
    inside().unwrap_or(raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_as_documented() {
        let line = br#"{"t":17,"venue":"v","channel":"a@b","raw":{"stream":"a@b@0ms","data":{"x": 1}}}"#;
        let read = Line { time_ns: Some(17), channel: "v:a@b".to_owned(), payload: br#"{"x": 1}"# };
        assert_eq!(read_line(line), Some(read));
        let line = br#"{"t":null,"channel":"a@b","raw":[1,{"raw":2}]}"#;
        let read = Line { time_ns: None, channel: "a@b".to_owned(), payload: br#"[1,{"raw":2}]"# };
        assert_eq!(read_line(line), Some(read));
        assert_eq!(read_line(br#"{"t":1,"channel":null,"raw":{}}"#), None);
        assert_eq!(read_line(b""), None);
    }

    #[test]
    fn a_generated_tape_is_the_seeds() {
        let tapes = [1, 1, 2].map(|seed| Tape::generate(seed, 2_000_000_000));
        assert_eq!(tapes[0].bytes, tapes[1].bytes);
        assert_ne!(tapes[0].bytes, tapes[2].bytes);
        let rate = tapes[0].records.len() / 2;
        assert!((500..2_000).contains(&rate), "{rate} records a second");
        for record in &tapes[0].records {
            let payload = tapes[0].payload(record);
            assert!(serde_json::from_slice::<serde_json::Value>(payload).is_ok());
            if tapes[0].channels[record.channel].ends_with("@depth") {
                super::super::depth::Diff::read(payload).expect("a diff");
            }
        }
    }
}
