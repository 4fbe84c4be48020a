//! Binance's diff depth, spot and futures: the union of the levels, `U` and `pu` of the first diff, the rest of the last.
//!
//! Pure. Prices and quantities are text from end to end: a level's key is its price as the exchange spells it, which is one
//! way a symbol. A quantity of zero deletes a level of the reader's book, so it is a value like any other. Invariant: who
//! applies a merged diff has the book of who applied each of its diffs.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{Merged, unite};
use crate::fault::{self, Planted};

/// What `e` says of a diff.
const EVENT: &str = r#""depthUpdate""#;

/// A price and its quantity.
type Level<'a> = (&'a str, &'a str);

/// Levels of all diffs of one call, oldest first.
#[derive(Default)]
struct Levels<'a> {
    bids: Vec<Level<'a>>,
    asks: Vec<Level<'a>>,
}

struct Diff<'a> {
    /// Its fields in its own order.
    fields: Vec<(&'a str, Field<'a>)>,
    symbol: &'a str,
    /// `U`
    first: u64,
    /// `u`
    last: u64,
    /// `pu`, which futures have: the previous diff's `u`.
    previous: Option<u64>,
    /// Which of [`Levels`] are its own.
    bids: Range<usize>,
    asks: Range<usize>,
}

#[derive(Clone, Copy)]
enum Field<'a> {
    First,
    Last,
    Previous,
    Bids,
    Asks,
    /// Anything else, as it is written.
    Other(&'a RawValue),
}

pub(super) fn merge(payloads: &[&[u8]]) -> Vec<Merged> {
    let mut levels = Levels::default();
    let diffs: Vec<_> = payloads.iter().map(|payload| read(payload, &mut levels)).collect();
    let mut places = HashMap::default();
    unite(&diffs, follows, |first, last| {
        let bids = newest(&mut levels.bids[start(&first.bids)..last.bids.end], &mut places);
        let asks = newest(&mut levels.asks[start(&first.asks)..last.asks.end], &mut places);
        write(first, last, bids, asks)
    })
}

/// Where the levels of a union begin: with those of its first diff.
fn start(of_first: &Range<usize>) -> usize {
    if fault::is(Planted::MergeForgetsFirst) { of_first.end } else { of_first.start }
}

/// Whether nothing is missing between two diffs: futures say so by `pu`, spot counts on.
fn follows(one: &Diff<'_>, next: &Diff<'_>) -> bool {
    let joins = match (one.previous, next.previous) {
        (Some(_), Some(previous)) => previous == one.last,
        (None, None) => one.last.checked_add(1) == Some(next.first),
        _ => false,
    };
    joins && one.symbol == next.symbol
}

/// Moves each price's newest quantity to the place of its first, in the order in which prices first appeared.
fn newest<'s, 'a>(
    levels: &'s mut [Level<'a>],
    places: &mut HashMap<&'a str, usize, foldhash::fast::RandomState>,
) -> &'s [Level<'a>] {
    places.clear();
    for at in 0..levels.len() {
        let (price, quantity) = levels[at];
        let end = places.len();
        let place = *places.entry(price).or_insert(end);
        levels[place] = (price, quantity);
    }
    &levels[..places.len()]
}

fn write(first: &Diff<'_>, last: &Diff<'_>, bids: &[Level<'_>], asks: &[Level<'_>]) -> Vec<u8> {
    let of_level = |(price, quantity): &Level<'_>| price.len() + quantity.len() + r#"["",""],"#.len();
    let bytes: usize = bids.iter().chain(asks).map(of_level).sum();
    let mut out = Vec::with_capacity(256 + bytes);
    let mut digits = itoa::Buffer::new();
    for (place, (name, field)) in last.fields.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"{\"" } else { b",\"" });
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        match field {
            Field::First => out.extend_from_slice(digits.format(first.first).as_bytes()),
            Field::Last => out.extend_from_slice(digits.format(last.last).as_bytes()),
            Field::Previous => {
                out.extend_from_slice(digits.format(first.previous.unwrap_or_default()).as_bytes());
            }
            Field::Bids => write_levels(bids, &mut out),
            Field::Asks => write_levels(asks, &mut out),
            Field::Other(value) => out.extend_from_slice(value.get().as_bytes()),
        }
    }
    out.push(b'}');
    out
}

fn write_levels(levels: &[Level<'_>], out: &mut Vec<u8>) {
    out.push(b'[');
    for (place, (price, quantity)) in levels.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"[\"" } else { b",[\"" });
        out.extend_from_slice(price.as_bytes());
        out.extend_from_slice(b"\",\"");
        out.extend_from_slice(quantity.as_bytes());
        out.extend_from_slice(b"\"]");
    }
    out.push(b']');
}

/// A diff, its levels put behind those that are there. What a payload that is none leaves there lies between two merges, and
/// so in neither.
fn read<'a>(payload: &'a [u8], levels: &mut Levels<'a>) -> Option<Diff<'a>> {
    let text = std::str::from_utf8(payload).ok()?;
    let mut json = serde_json::Deserializer::from_str(text);
    let diff = DiffReader { levels }.deserialize(&mut json).ok()?;
    json.end().ok().map(|()| diff)
}

struct DiffReader<'s, 'a> {
    levels: &'s mut Levels<'a>,
}

impl<'de> DeserializeSeed<'de> for DiffReader<'_, 'de> {
    type Value = Diff<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for DiffReader<'_, 'de> {
    type Value = Diff<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a diff of a book")
    }

    // A name or a decimal that holds an escape cannot be borrowed and is refused: no exchange writes one.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut fields, mut event, mut symbol) = (Vec::with_capacity(12), None, None);
        let (mut first, mut last, mut previous) = (None, None, None);
        let (mut bids, mut asks) = (None, None);
        while let Some(name) = map.next_key::<&'de str>()? {
            let (field, is_second) = match name {
                "U" => (Field::First, first.replace(map.next_value()?).is_some()),
                "u" => (Field::Last, last.replace(map.next_value()?).is_some()),
                "pu" => (Field::Previous, previous.replace(map.next_value()?).is_some()),
                "b" => {
                    let own = map.next_value_seed(LevelsReader { levels: &mut self.levels.bids })?;
                    (Field::Bids, bids.replace(own).is_some())
                }
                "a" => {
                    let own = map.next_value_seed(LevelsReader { levels: &mut self.levels.asks })?;
                    (Field::Asks, asks.replace(own).is_some())
                }
                _ => {
                    let value: &RawValue = map.next_value()?;
                    let is_second = match name {
                        "e" => event.replace(value.get()).is_some(),
                        "s" => symbol.replace(value.get()).is_some(),
                        _ => false,
                    };
                    (Field::Other(value), is_second)
                }
            };
            if is_second {
                return Err(A::Error::custom("a field is there twice"));
            }
            fields.push((name, field));
        }
        if event != Some(EVENT) {
            return Err(A::Error::custom("another event"));
        }
        Ok(Diff {
            fields,
            symbol: symbol.ok_or_else(|| A::Error::missing_field("s"))?,
            first: first.ok_or_else(|| A::Error::missing_field("U"))?,
            last: last.ok_or_else(|| A::Error::missing_field("u"))?,
            previous,
            bids: bids.ok_or_else(|| A::Error::missing_field("b"))?,
            asks: asks.ok_or_else(|| A::Error::missing_field("a"))?,
        })
    }
}

/// Puts one side's levels behind those that are there; gives the places of its own.
struct LevelsReader<'s, 'a> {
    levels: &'s mut Vec<Level<'a>>,
}

impl<'de> DeserializeSeed<'de> for LevelsReader<'_, 'de> {
    type Value = Range<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for LevelsReader<'_, 'de> {
    type Value = Range<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("levels, each a price and a quantity as text")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut levels: A) -> Result<Self::Value, A::Error> {
        let start = self.levels.len();
        while let Some(level) = levels.next_element::<Level<'de>>()? {
            self.levels.push(level);
        }
        Ok(start..self.levels.len())
    }
}
