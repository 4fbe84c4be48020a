//! The feed: what a sequencer would publish, and a plain log of it, which the reference is checked against.
//!
//! A record's payload follows from its channel and sequence, so nothing of it is kept. Invariant: the log holds exactly what is in the
//! ring or was.

use std::collections::HashMap;
use std::sync::Arc;

use tapecast::channel::{Catalogue, ChannelId, ChannelName, Delivery, DeliveryRules, Merge, OnSlow, Rule};
use tapecast::record::{self, Format, Head, Status};
use tapecast::ring::{Kind, Publisher, Stamp};

use crate::dice::{Dice, mix};
use crate::world::Plan;

/// Levels of a side of a depth record have one of so many prices.
const PRICES: u64 = 6;
/// Updates of the book that one depth record stands for.
pub(crate) const UPDATES: u64 = 10;

/// A channel's name, and all that was ever published under it.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) name: ChannelName,
    pub(crate) rule: Rule,
    pub(crate) id: Option<ChannelId>,
    /// How much the market had published before each record.
    bytes_before: HashMap<u64, u64>,
    /// First and last sequence of each channel that had this name; the last one may still live.
    pub(crate) spans: Vec<(u64, u64)>,
    pub(crate) stale: bool,
    /// The feed-wide count at its last record.
    last_ordinal: u64,
    /// What the feed said that it skipped, and how many records of the market were published before.
    pub(crate) feed_gaps: Vec<(u64, u64)>,
}

impl Channel {
    /// Last sequence ever published under this name.
    pub(crate) fn last(&self) -> u64 {
        self.spans.last().map_or(0, |&(_, last)| last)
    }

    /// The sequence published before this one under this name; 0: none was.
    pub(crate) fn before(&self, sequence: u64) -> u64 {
        let span = self.spans.iter().rposition(|&(first, _)| first <= sequence);
        match span.map(|place| (self.spans[place].0, place)) {
            Some((first, place)) if first == sequence => {
                place.checked_sub(1).map_or(0, |place| self.spans[place].1)
            }
            _ => sequence - 1,
        }
    }

    /// The first sequence of the channel that had this name when this record was published; `None`: there was no such record.
    pub(crate) fn first_of(&self, sequence: u64) -> Option<u64> {
        let span = self.spans.iter().rev().find(|(first, last)| (*first..=*last).contains(&sequence));
        span.map(|&(first, _)| first)
    }
}

/// The one publisher, and the log.
pub(crate) struct Market {
    pub(crate) channels: Vec<Channel>,
    pub(crate) ordinal: u64,
    /// Bytes published, about.
    pub(crate) bytes: u64,
    publisher: Publisher,
    pub(crate) catalogue: Arc<Catalogue>,
    generations: Vec<u32>,
    free: Vec<u32>,
    /// The highest last sequence of any channel that expired.
    floor: u64,
    salt: u64,
    payload: Vec<u8>,
    /// What was published in the last so many bytes is in the ring.
    safe_bytes: u64,
    resume_records_max: u64,
}

/// Kinds of the model, each with its delivery.
pub(crate) const KINDS: [(&str, Rule); 4] = [
    ("ticker", Rule::new(Delivery::Latest)),
    ("trade", Rule::new(Delivery::Every)),
    ("depth", Rule::new(Delivery::Merge(Merge::BinanceDepth))),
    ("order", Rule { delivery: Delivery::Every, on_slow: OnSlow::Close }),
];

/// How each of the model's kinds is delivered.
pub(crate) fn rules() -> DeliveryRules {
    DeliveryRules::new(KINDS.iter().map(|(kind, rule)| ((*kind).into(), *rule)))
}

impl Market {
    pub(crate) fn new(publisher: Publisher, catalogue: Arc<Catalogue>, shape: &Plan, salt: u64) -> Self {
        let Plan { kinds, names, .. } = *shape;
        let channels = (0..names).map(|number| {
            let (kind, rule) = KINDS[number % kinds];
            let name = ChannelName::parse(&format!("s{}@{kind}", number / kinds)).unwrap();
            Channel {
                name,
                rule,
                id: None,
                bytes_before: HashMap::new(),
                spans: Vec::new(),
                stale: false,
                last_ordinal: 0,
                feed_gaps: Vec::new(),
            }
        });
        Self {
            channels: channels.collect(),
            ordinal: 0,
            bytes: 0,
            publisher,
            catalogue,
            generations: vec![0; names],
            free: (0..names as u32).rev().collect(),
            floor: 0,
            salt,
            payload: Vec::new(),
            safe_bytes: shape.ring_bytes as u64 / 4,
            resume_records_max: shape.resume_records_max as u64,
        }
    }

    /// Publishes a channel's next record; a channel that does not exist begins.
    pub(crate) fn publish(&mut self, place: usize) {
        let known = self.channels[place].id;
        let (id, sequence) = match known {
            Some(id) => (id, self.channels[place].last() + 1),
            None => (self.create(place), self.floor + 1),
        };
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        self.payload_of(place, sequence, &mut payload);
        let head =
            Head { wall_us: sequence, feed_sequence: None, payload_hash: 0, format: Format::Text, epoch: 0 };
        let mut stamp = self.stamp(Kind::Data, id, sequence);
        stamp.ordinal += 1;
        stamp.flags = if known.is_none() { record::FIRST } else { 0 };
        let published = self.publisher.publish(&stamp, &[&head.to_bytes(), &payload]);
        match (published, known) {
            (Ok(_), _) => self.log(place, sequence, known.is_none(), payload.len()),
            // The ring is full of latest records: a channel that has none yet never was.
            (Err(_), None) => self.forget(place, id),
            (Err(_), Some(_)) => {}
        }
        self.payload = payload;
    }

    fn log(&mut self, place: usize, sequence: u64, is_first: bool, bytes: usize) {
        self.ordinal += 1;
        self.bytes += bytes as u64 + 80;
        let channel = &mut self.channels[place];
        channel.last_ordinal = self.ordinal;
        channel.bytes_before.insert(sequence, self.bytes);
        match channel.spans.last_mut() {
            Some((_, last)) if !is_first => *last = sequence,
            _ => channel.spans.push((sequence, sequence)),
        }
    }

    fn create(&mut self, place: usize) -> ChannelId {
        let index = self.free.pop().expect("there are as many places as names");
        let id = ChannelId { index, generation: self.generations[index as usize] };
        self.catalogue.insert(&self.channels[place].name, id);
        let channel = &mut self.channels[place];
        (channel.id, channel.stale) = (Some(id), false);
        id
    }

    fn forget(&mut self, place: usize, id: ChannelId) {
        self.catalogue.remove(id);
        self.channels[place].id = None;
        self.generations[id.index as usize] += 1;
        self.free.push(id.index);
    }

    /// A channel expires, if it lives and its last record has no higher ordinal than this.
    pub(crate) fn expire(&mut self, place: usize, seen: u64) {
        let channel = &self.channels[place];
        let Some(id) = channel.id.filter(|_| channel.last_ordinal <= seen) else { return };
        let last = self.channels[place].last();
        self.floor = self.floor.max(last);
        self.bare(Kind::Expired, id, last, 0, &[]);
        self.forget(place, id);
    }

    /// A channel's feeds are gone, or back.
    pub(crate) fn turn_stale(&mut self, place: usize) {
        let Some(id) = self.channels[place].id else { return };
        let stale = !self.channels[place].stale;
        self.channels[place].stale = stale;
        self.catalogue.set_stale(id, stale);
        let status = if stale { Status::Stale } else { Status::Live };
        self.bare(Kind::Status, id, 0, status.flags(), &status.body());
    }

    /// The feed skipped some, and its next record shows it.
    pub(crate) fn skip_in_feed(&mut self, place: usize, dice: &mut Dice) {
        let Some(id) = self.channels[place].id else { return };
        let from = self.ordinal + 1;
        let to = from + dice.below(5) as u64;
        self.channels[place].feed_gaps.push((from, to));
        let status = Status::FeedGap { from, to };
        self.bare(Kind::Status, id, 0, status.flags(), &status.body());
        self.publish(place);
    }

    fn bare(&mut self, kind: Kind, id: ChannelId, sequence: u64, flags: u8, body: &[u8]) {
        let stamp = Stamp { flags, ..self.stamp(kind, id, sequence) };
        self.publisher.publish(&stamp, &[body]).expect("what has no latest record is never refused");
        self.bytes += 48 + body.len() as u64;
    }

    fn stamp(&self, kind: Kind, id: ChannelId, sequence: u64) -> Stamp {
        let ChannelId { index: channel, generation } = id;
        Stamp { kind, flags: 0, channel, generation, sequence, ordinal: self.ordinal, monotonic_ns: 0 }
    }

    /// Whether a resume was judged rightly: behind `after`, where the channel stood at `newest`.
    pub(crate) fn judge_resume(
        &self,
        place: usize,
        is_ours: bool,
        after: u64,
        newest: u64,
        recovered: bool,
        is_rated: bool,
    ) -> Result<(), String> {
        let channel = &self.channels[place];
        let is_same = channel.first_of(newest).is_some_and(|first| first <= after + 1);
        let missed_bytes = channel.bytes_before.get(&(after + 1)).map_or(0, |before| self.bytes - before);
        let is_there =
            missed_bytes < self.safe_bytes && newest - after.min(newest) <= self.resume_records_max;
        match recovered {
            true if !is_ours => Err("recovered from another epoch".to_owned()),
            true if after > newest => Err("recovered from the future".to_owned()),
            true if newest - after > self.resume_records_max && !is_rated => {
                Err("recovered more than allowed".to_owned())
            }
            false if is_ours && after <= newest && newest > 0 && is_same && is_there => {
                Err(format!("{after} to {newest} could have been recovered"))
            }
            _ => Ok(()),
        }
    }

    /// Chance that belongs to one record.
    fn dice_of(&self, place: usize, sequence: u64) -> Dice {
        Dice::new(self.salt ^ mix(sequence.wrapping_mul(64) + place as u64))
    }

    /// Appends the payload that this record has or would have.
    pub(crate) fn payload_of(&self, place: usize, sequence: u64, out: &mut Vec<u8>) {
        if matches!(self.channels[place].rule.delivery, Delivery::Merge(_)) {
            let Book { first, last, bids, asks } = self.book_of(place, sequence);
            let text = format!(
                r#"{{"e":"depthUpdate","E":{last},"s":"{place}","U":{first},"u":{last},"b":[{}],"a":[{}]}}"#,
                levels(&bids),
                levels(&asks)
            );
            return out.extend_from_slice(text.as_bytes());
        }
        let mut dice = self.dice_of(place, sequence);
        let long = dice.once_in(16);
        let padding = dice.below(if long { 700 } else { 60 });
        out.extend_from_slice(format!(r#"{{"c":{place},"s":{sequence},"p":""#).as_bytes());
        out.resize(out.len() + padding, b'x');
        out.extend_from_slice(br#""}"#);
    }

    /// What one depth record changes.
    pub(crate) fn book_of(&self, place: usize, sequence: u64) -> Book {
        let mut dice = self.dice_of(place, sequence);
        let mut side = || -> Vec<(u64, u64)> {
            let first = dice.below(PRICES as usize) as u64;
            (0..dice.below(3) as u64).map(|n| ((first + n) % PRICES, dice.below(100) as u64)).collect()
        };
        let (bids, asks) = (side(), side());
        let first = sequence * UPDATES;
        Book { first, last: first + UPDATES - 1, bids, asks }
    }
}

/// A change of an order book: levels are price and quantity.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Book {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) bids: Vec<(u64, u64)>,
    pub(crate) asks: Vec<(u64, u64)>,
}

fn levels(side: &[(u64, u64)]) -> String {
    let side: Vec<_> =
        side.iter().map(|(price, quantity)| format!(r#"["{price}.0","{quantity}.5"]"#)).collect();
    side.join(",")
}
