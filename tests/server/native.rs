//! What a native subscriber may rely on, checked record by record: each step of a sequence is explained.
//!
//! Pure, but for `publish`. The feeds of these tests publish, as a record's payload, the sequence that it will have in its channel. Invariant: a record
//! that passes here stands where it must, with the payload that was published for it.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::client::Feed;

/// A record in the native shape.
#[derive(Debug, Deserialize)]
pub(crate) struct Record<'a> {
    pub(crate) ch: &'a str,
    pub(crate) seq: u64,
    #[serde(default)]
    pub(crate) snap: bool,
    #[serde(default)]
    pub(crate) skipped: u64,
    /// Its sequence, or an array of that and something that fills.
    #[serde(borrow)]
    data: &'a RawValue,
}

impl<'a> Record<'a> {
    pub(crate) fn read(text: &'a str) -> Self {
        let record: Self = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let number = record.data.get().trim_start_matches('[').split(',').next();
        let is_its_own = number.is_some_and(|number| number.parse() == Ok(record.seq));
        assert!(is_its_own, "the payload of another record: {text:.200}");
        record
    }
}

/// Publishes `records` more on one channel, whose last sequence was `last`; the sequence it has then.
pub(crate) fn publish(feed: &mut Feed, channel: &str, last: u64, records: u64) -> u64 {
    publish_as(feed, channel, last, records, |sequence| sequence.to_string())
}

/// The same with payloads of this form.
pub(crate) fn publish_as(
    feed: &mut Feed,
    channel: &str,
    last: u64,
    records: u64,
    payload: impl Fn(u64) -> String,
) -> u64 {
    for sequence in last + 1..=last + records {
        feed.publish(channel, &payload(sequence));
    }
    feed.ping();
    last + records
}

/// A payload that carries its sequence and is about `bytes` long.
pub(crate) fn filled(sequence: u64, bytes: usize) -> String {
    format!(r#"[{sequence},"{}"]"#, "x".repeat(bytes))
}

#[derive(Deserialize)]
struct Ack<'a> {
    #[serde(borrow)]
    channels: Vec<Joined<'a>>,
}

#[derive(Deserialize)]
struct Joined<'a> {
    /// Absent for a pattern.
    channel: Option<&'a str>,
    #[serde(default)]
    seq: u64,
}

/// Records that will not come.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub(crate) struct Gap<'a> {
    pub(crate) ch: &'a str,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) reason: &'a str,
}

impl<'a> Gap<'a> {
    /// `None`: it is another message.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        text.starts_with(r#"{"op":"gap""#).then(|| serde_json::from_str(text).unwrap())
    }
}

/// Where one channel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// Acknowledged at this sequence; 0: it did not exist.
    Joining(u64),
    At(u64),
}

/// The channels of one native subscriber, and where each stands.
#[derive(Default)]
pub(crate) struct Stands {
    channels: HashMap<String, Stand>,
    /// Records that came.
    pub(crate) heard: u64,
    /// Records that were skipped, by what was said.
    pub(crate) skipped: u64,
    /// Records that will not come, by what was said.
    pub(crate) lost: u64,
}

impl Stands {
    /// A subscription was acknowledged.
    pub(crate) fn join(&mut self, ack: &str) {
        let ack: Ack<'_> = serde_json::from_str(ack).unwrap();
        for joined in ack.channels {
            let Some(channel) = joined.channel else { continue };
            self.channels.entry(channel.to_owned()).or_insert(Stand::Joining(joined.seq));
        }
    }

    /// The subscriber has a channel's records up to this sequence already: what follows begins behind it.
    pub(crate) fn stand_at(&mut self, channel: &str, sequence: u64) {
        self.channels.insert(channel.to_owned(), Stand::At(sequence));
    }

    /// Takes what is said of a channel's own numbering; true: it was a gap.
    pub(crate) fn hear_gap(&mut self, text: &str) -> bool {
        let Some(gap) = Gap::read(text) else { return false };
        let Some(stand) = self.channels.get_mut(gap.ch) else { panic!("not subscribed: {text}") };
        let (Stand::At(last) | Stand::Joining(last)) = *stand;
        assert!(gap.from == last + 1 && gap.to >= gap.from, "behind {last}: {text}");
        self.lost += gap.to - last;
        *stand = Stand::At(gap.to);
        true
    }

    /// An unsubscription was acknowledged: from here on, a record of the channel is wrong.
    pub(crate) fn leave(&mut self, channel: &str) {
        self.channels.remove(channel);
    }

    /// Takes a record; where it stands now.
    pub(crate) fn hear(&mut self, text: &str) -> u64 {
        let record = Record::read(text);
        let Some(stand) = self.channels.get_mut(record.ch) else { panic!("not subscribed: {text:.200}") };
        match *stand {
            Stand::Joining(at) if at > 0 => {
                assert!(record.snap && record.seq >= at, "no snapshot of {at}: {text:.200}");
            }
            Stand::Joining(last) | Stand::At(last) => {
                assert!(!record.snap, "a second snapshot: {text:.200}");
                assert_eq!(record.seq, last + 1 + record.skipped, "behind {last}: {text:.200}");
                let is_latest = record.ch.ends_with("@bookTicker");
                assert!(is_latest || record.skipped == 0, "an every channel skips: {text:.200}");
            }
        }
        *stand = Stand::At(record.seq);
        self.heard += 1;
        self.skipped += record.skipped;
        record.seq
    }

    /// Whether the channel has come to this sequence.
    pub(crate) fn is_at(&self, channel: &str, sequence: u64) -> bool {
        matches!(self.channels.get(channel), Some(Stand::At(at) | Stand::Joining(at)) if *at == sequence)
    }
}
