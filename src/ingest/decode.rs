//! Which channel a raw exchange event belongs to, from its own fields.
//!
//! Ingest thread; pure but for its reused buffers. It reads a scratch copy, because simd-json rewrites its input;
//! the payload itself is never touched, and a number that simd-json refuses (`1e400`) refuses no payload: such an
//! event is read by serde_json instead. Invariant: after warm-up no allocation an event.
//!
//! Fields: "Payload fields" of Binance's `web-socket-streams.md` (spot) and its futures counterpart; Upbit's
//! DEFAULT (`type`, `code`) and SIMPLE (`ty`, `cd`) names.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use simd_json::{Buffers, INPUT_PADDING, Tape};

/// Derives channels; one for the whole stage, since its buffers are as large as the largest event seen.
#[derive(Default)]
pub struct Decoder {
    scratch: Vec<u8>,
    buffers: Buffers,
    nodes: Option<Tape<'static>>,
    name: String,
}

impl Decoder {
    /// The channel of one event: `btcusdt@kline_1m`, `KRW-BTC@ticker`. `None`: it does not follow from the fields.
    /// The name still has to be checked by [`crate::channel::validate`].
    pub fn channel(&mut self, event: &str) -> Option<&str> {
        self.read(event, |event, name| event.name(name)).then_some(self.name.as_str())
    }

    /// The channel of a whole-market array: `!miniTicker@arr`, if each of its events is of that kind.
    pub fn array_channel<'a>(&mut self, events: impl IntoIterator<Item = &'a str>) -> Option<&str> {
        let mut kinds = events.into_iter().map(|event| self.array_kind(event));
        let first = kinds.next()??;
        if !kinds.all(|kind| kind == Some(first)) {
            return None;
        }
        self.name.clear();
        self.name.push('!');
        first.push_to(&mut self.name);
        self.name.push_str("@arr");
        Some(&self.name)
    }

    fn array_kind(&mut self, event: &str) -> Option<ArrayKind> {
        let mut kind = None;
        self.read(event, |event, _| {
            kind = event.event.text().and_then(ArrayKind::of);
            kind.is_some()
        });
        kind
    }

    fn read(&mut self, event: &str, look: impl FnOnce(&Event<'_>, &mut String) -> bool) -> bool {
        self.name.clear();
        if !event.starts_with('{') {
            return false;
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(event.as_bytes());
        self.scratch.resize(event.len() + INPUT_PADDING, 0);
        let mut tape = self.nodes.take().map_or_else(|| Tape(Vec::new()), Tape::reset);
        let filled =
            simd_json::fill_tape_padded(&mut self.scratch, event.len(), &mut self.buffers, &mut tape);
        let mut nodes = simd_json::Deserializer::from_tape(tape);
        let found = match filled {
            Ok(()) => Event::deserialize(&mut nodes).is_ok_and(|event| look(&event, &mut self.name)),
            Err(_) => serde_json::from_str(event).is_ok_and(|event| look(&event, &mut self.name)),
        };
        self.nodes = Some(nodes.into_tape().reset());
        found
    }
}

/// The fields that a channel may follow from, as they came.
#[derive(Debug, Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "e")]
    event: Field<'a>,
    #[serde(borrow, default, rename = "s")]
    symbol: Field<'a>,
    #[serde(borrow, default, rename = "i")]
    index: Field<'a>,
    #[serde(borrow, default, rename = "ps")]
    pair: Field<'a>,
    #[serde(borrow, default, rename = "ct")]
    contract: Field<'a>,
    #[serde(borrow, default, rename = "k")]
    bar: Field<'a>,
    #[serde(borrow, default, rename = "o")]
    order: Field<'a>,
    #[serde(borrow, default, rename = "type", alias = "ty")]
    upbit_type: Field<'a>,
    #[serde(borrow, default, rename = "code", alias = "cd")]
    upbit_code: Field<'a>,
    #[serde(borrow, default, rename = "u")]
    update: Field<'a>,
    #[serde(borrow, default, rename = "b")]
    bid: Field<'a>,
    #[serde(borrow, default, rename = "B")]
    bid_quantity: Field<'a>,
    #[serde(borrow, default, rename = "a")]
    ask: Field<'a>,
    #[serde(borrow, default, rename = "A")]
    ask_quantity: Field<'a>,
}

impl Event<'_> {
    fn name(&self, name: &mut String) -> bool {
        let found = match self.event.text() {
            Some(event) => self.binance(event, name),
            None if self.is_book_ticker() => plain(self.symbol.text(), "bookTicker", name),
            None => self.upbit(name),
        };
        found.is_some()
    }

    fn binance(&self, event: &str, name: &mut String) -> Option<()> {
        match event {
            "trade" | "aggTrade" | "blockTrade" | "referencePrice" | "avgPrice" | "bookTicker"
            | "compositeIndex" => plain(self.symbol.text(), event, name),
            "depthUpdate" => plain(self.symbol.text(), "depth", name),
            "kline" => with_interval(self.symbol.text(), "kline_", &self.bar, name),
            "continuous_kline" => {
                lower(self.pair.text()?, name);
                name.push('_');
                lower(self.contract.text()?, name);
                with_interval(Some(""), "continuousKline_", &self.bar, name)
            }
            "forceOrder" => plain(self.order.symbol(), event, name),
            "indexPriceUpdate" => plain(self.index.text(), "indexPrice", name),
            _ => {
                let kind = ArrayKind::of(event)?;
                plain(self.symbol.text(), "", name)?;
                kind.push_to(name);
                Some(())
            }
        }
    }

    // Spot's bookTicker is the one event without `e` that names its symbol.
    fn is_book_ticker(&self) -> bool {
        let fields = [&self.update, &self.bid, &self.bid_quantity, &self.ask, &self.ask_quantity];
        fields.iter().all(|field| !matches!(field, Field::Absent))
    }

    fn upbit(&self, name: &mut String) -> Option<()> {
        let (kind, code) = (self.upbit_type.text()?, self.upbit_code.text()?);
        let known = matches!(kind, "ticker" | "trade" | "orderbook") || kind.starts_with("candle.");
        known.then(|| name.extend([code, "@", kind]))
    }
}

fn plain(symbol: Option<&str>, kind: &str, name: &mut String) -> Option<()> {
    lower(symbol?, name);
    name.extend(["@", kind]);
    Some(())
}

fn with_interval(symbol: Option<&str>, kind: &str, bar: &Field<'_>, name: &mut String) -> Option<()> {
    plain(symbol, kind, name)?;
    name.push_str(bar.interval()?);
    Some(())
}

// Stream names carry symbols in lower case; symbols outside ASCII exist, but are rare.
fn lower(symbol: &str, name: &mut String) {
    if symbol.is_ascii() {
        let start = name.len();
        name.push_str(symbol);
        name[start..].make_ascii_lowercase();
    } else {
        name.extend(symbol.chars().flat_map(char::to_lowercase));
    }
}

/// Kinds that also come as an array over the whole market.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArrayKind {
    Ticker,
    MiniTicker,
    MarkPrice,
    /// Rolling window; its unit and length (`1h`, `4h`, `1d`).
    Rolling([u8; 2]),
}

impl ArrayKind {
    fn of(event: &str) -> Option<Self> {
        match event {
            "24hrTicker" => Some(Self::Ticker),
            "24hrMiniTicker" => Some(Self::MiniTicker),
            "markPriceUpdate" => Some(Self::MarkPrice),
            _ => match event.strip_suffix("Ticker")?.as_bytes() {
                [length @ b'1'..=b'9', unit @ (b'h' | b'd')] => Some(Self::Rolling([*length, *unit])),
                _ => None,
            },
        }
    }

    fn push_to(self, name: &mut String) {
        match self {
            Self::Ticker => name.push_str("ticker"),
            Self::MiniTicker => name.push_str("miniTicker"),
            Self::MarkPrice => name.push_str("markPrice"),
            Self::Rolling(window) => {
                name.push_str("ticker_");
                name.extend(window.map(char::from));
            }
        }
    }
}

/// A field of any type: the same letter is a text in one event and an object in another.
#[derive(Debug, Default)]
enum Field<'a> {
    #[default]
    Absent,
    Text(Cow<'a, str>),
    Object {
        symbol: Option<Cow<'a, str>>,
        interval: Option<Cow<'a, str>>,
    },
    Other,
}

impl Field<'_> {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn symbol(&self) -> Option<&str> {
        match self {
            Self::Object { symbol, .. } => symbol.as_deref(),
            _ => None,
        }
    }

    fn interval(&self) -> Option<&str> {
        match self {
            Self::Object { interval, .. } => interval.as_deref(),
            _ => None,
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Field<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Field::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Absent)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Field::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let (mut symbol, mut interval) = (None, None);
        while let Some(key) = fields.next_key::<Field<'de>>()? {
            let place = match key.text() {
                Some("s") => &mut symbol,
                Some("i") => &mut interval,
                _ => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if let Field::Text(text) = fields.next_value::<Field<'de>>()? {
                *place = Some(text);
            }
        }
        Ok(Field::Object { symbol, interval })
    }
}

#[cfg(test)]
mod tests;
