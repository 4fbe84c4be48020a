//! Depth by merge over the recording: the book of a slow reader of merged diffs is that of a reader of every diff.
//!
//! Runs over the recorded diffs of spot, USD-M and COIN-M futures, or over generated ones where the recording is absent.
//! Chunks are random from a printed seed.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde_json::Value;
use tapecast::channel::Merge;
use tapecast::feed::recording::{Line, Recording};
use tapecast::merge::{Merged, merge};

const SEED: u64 = 20_240_808;

/// Records that one call is given at most.
const CHUNK_MAX: usize = 256;

/// What a build without optimization gets through in seconds.
const DIFFS_MAX: usize = if cfg!(debug_assertions) { 20_000 } else { usize::MAX };

#[test]
fn a_slow_readers_book_is_a_fast_readers_at_every_common_update() {
    println!("seed {SEED}");
    let mut random = Random(SEED);
    for (channel, diffs) in channels() {
        let (mut fast, mut slow) = (Reader::default(), Reader::default());
        let (mut from, mut common) = (0, 0);
        while from < diffs.len() {
            // Long ones and short ones as often.
            let most = 1 + random.below(CHUNK_MAX);
            let chunk = 1 + random.below(most).min(diffs.len() - from - 1);
            let payloads: Vec<&[u8]> = diffs[from..from + chunk].iter().map(|diff| diff.as_bytes()).collect();
            let merged = merge(Merge::BinanceDepth, &payloads);
            assert_eq!(merged.len(), 1, "{channel}: the recording has no holes, and so a chunk is one diff");
            for Merged { last, payload } in merged {
                assert_eq!(last, chunk - 1);
                slow.take(payload.as_deref().unwrap_or(payloads[last]));
                payloads.iter().for_each(|payload| fast.take(payload));
            }
            assert_eq!(slow.last, fast.last, "{channel}: the merged diff ends where its last one does");
            assert!(slow.book == fast.book, "{channel}: the books differ at {:?}", slow.last);
            common += 1;
            from += chunk;
        }
        println!(
            "{channel}: {} diffs, books of {} levels equal at {common} updates",
            diffs.len(),
            slow.book.len()
        );
    }
}

/// A reader that holds the exchange's rules: nothing missing between two diffs, zero deletes.
#[derive(Default)]
struct Reader {
    book: HashMap<(char, String), String>,
    last: Option<u64>,
}

impl Reader {
    fn take(&mut self, payload: &[u8]) {
        let diff: Value = serde_json::from_slice(payload).unwrap();
        if let Some(last) = self.last {
            match diff["pu"].as_u64() {
                Some(previous) => assert_eq!(previous, last),
                None => assert_eq!(diff["U"].as_u64(), Some(last + 1)),
            }
        }
        self.last = Some(diff["u"].as_u64().unwrap());
        for side in ['b', 'a'] {
            for level in diff[side.to_string()].as_array().unwrap() {
                let (price, quantity) = (level[0].as_str().unwrap().to_owned(), level[1].as_str().unwrap());
                match quantity.parse::<f64>().unwrap() == 0.0 {
                    true => self.book.remove(&(side, price)),
                    false => self.book.insert((side, price), quantity.to_owned()),
                };
            }
        }
    }
}

/// The diffs of each channel.
fn channels() -> Vec<(String, Vec<String>)> {
    match Recording::open(&path()) {
        Ok(recording) => {
            let channels = recorded(recording);
            let venues = ["spot", "usdm", "coinm"].map(|venue| format!("binance-{venue}:"));
            let is_there = |venue: &String| channels.iter().any(|(channel, _)| channel.starts_with(venue));
            assert!(venues.iter().all(is_there), "spot and both kinds of futures are recorded");
            channels
        }
        Err(error) => {
            println!("generated diffs: {error}");
            vec![
                ("generated spot".to_owned(), generated(false)),
                ("generated futures".to_owned(), generated(true)),
            ]
        }
    }
}

fn recorded(mut recording: Recording) -> Vec<(String, Vec<String>)> {
    let (mut channels, mut taken) = (BTreeMap::<String, Vec<String>>::new(), 0);
    while let Some(line) = recording.next_line().unwrap() {
        let Line::Message(message) = line else { panic!("a bad line of the recording: {line:?}") };
        let (Some(venue), Some(channel)) = (message.venue, message.channel) else { continue };
        if channel.ends_with("@depth") {
            channels.entry(format!("{venue}:{channel}")).or_default().push(message.payload.to_owned());
            taken += 1;
        }
        if taken == DIFFS_MAX {
            break;
        }
    }
    channels.into_iter().collect()
}

/// Diffs around a price that walks, as a market's are.
fn generated(is_futures: bool) -> Vec<String> {
    let (mut random, mut last, mut middle) = (Random(SEED), 1_000_000, 6_000_000);
    let diff = |_| {
        middle = middle + random.below(21) - 10;
        let mut side = |sign: i64| {
            let mut level = |_| {
                let cents = middle as i64 + sign * random.below(400) as i64;
                let quantity = random.below(3) * random.below(1000);
                format!(r#"["{}.{:02}","{quantity}.000"]"#, cents / 100, cents % 100)
            };
            (0..12).map(&mut level).collect::<Vec<_>>().join(",")
        };
        let (bids, asks) = (side(-1), side(1));
        let previous = if is_futures { format!(r#","pu":{last}"#) } else { String::new() };
        let first = last + 1 + if is_futures { random.below(9) } else { 0 };
        last = first + random.below(30);
        let head = format!(r#""e":"depthUpdate","E":{last},"s":"BTCUSDT","U":{first},"u":{last}{previous}"#);
        format!(r#"{{{head},"b":[{bids}],"a":[{asks}]}}"#)
    };
    (0..DIFFS_MAX.min(20_000)).map(diff).collect()
}

#[expect(clippy::disallowed_methods, reason = "where the recordings lie is not the program's configuration")]
fn path() -> PathBuf {
    let beside = || concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/data").to_owned();
    let folder = std::env::var("TAPECAST_DATA").unwrap_or_else(|_| beside());
    PathBuf::from(folder).join("binance_6inst_20240808.jsonl.gz")
}

/// Numbers from a seed: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}
