//! Channel names, ids and delivery kinds, and the catalogue that joins them.
//!
//! Threads: names and rules are values; the catalogue is written by the ingest thread when a channel
//! appears or expires, and read by shards and the front when somebody subscribes. Never on a record's path.
//! Invariant: an id names one channel for as long as its generation is unchanged.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
#[expect(
    clippy::disallowed_types,
    reason = "the catalogue: touched when channels change, never by a record"
)]
use std::sync::RwLock;

/// Longest channel name, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// A valid channel name, `<symbol>@<kind>`; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelName(Arc<str>);

/// Why a name is not a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidChannel {
    /// No bytes at all.
    Empty,
    /// More than [`NAME_BYTES_MAX`] bytes.
    TooLong,
    /// No `@`, or nothing before the first one.
    NoSymbol,
    /// Nothing behind the first `@`.
    NoKind,
    /// White space, a control character, or one of `" \ * > #`.
    BadCharacter,
    /// A symbol that begins or ends with `.`, holds `..`, or begins with `$`.
    BadSymbol,
}

impl fmt::Display for InvalidChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "a channel name is empty",
            Self::TooLong => "a channel name is longer than 128 bytes",
            Self::NoSymbol => "a channel name needs a symbol before its first '@'",
            Self::NoKind => "a channel name needs a kind behind its first '@'",
            Self::BadCharacter => {
                "a channel name holds white space, a control character, or one of '\"', '\\', '*', '>', '#'"
            }
            Self::BadSymbol => {
                "a symbol neither begins nor ends with '.', holds no '..', and does not begin with '$'"
            }
        })
    }
}

impl std::error::Error for InvalidChannel {}

/// Checks a name without keeping it: what ingest does for each record of a channel it does not know yet.
///
/// # Errors
/// Says which rule the name breaks.
pub fn validate(name: &str) -> Result<(), InvalidChannel> {
    if name.is_empty() {
        return Err(InvalidChannel::Empty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(InvalidChannel::TooLong);
    }
    let forbidden =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '\\' | '*' | '>' | '#');
    if name.contains(forbidden) {
        return Err(InvalidChannel::BadCharacter);
    }
    let (symbol, kind) = name.split_once('@').ok_or(InvalidChannel::NoSymbol)?;
    if symbol.is_empty() {
        return Err(InvalidChannel::NoSymbol);
    }
    if kind.is_empty() {
        return Err(InvalidChannel::NoKind);
    }
    if symbol.starts_with(['.', '$']) || symbol.ends_with('.') || symbol.contains("..") {
        return Err(InvalidChannel::BadSymbol);
    }
    Ok(())
}

impl ChannelName {
    /// Takes a name that keeps the rules of a channel.
    ///
    /// # Errors
    /// Says which rule the name breaks.
    pub fn parse(name: &str) -> Result<Self, InvalidChannel> {
        validate(name).map(|()| Self(name.into()))
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the first `@`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.0.split_once('@').map_or("", |(_, kind)| kind)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl std::borrow::Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// A channel's place in the tables, and which of the channels that ever held this place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChannelId {
    /// Index into the tables, below `channels_max`.
    pub index: u32,
    /// Rises each time the place is given to another channel.
    pub generation: u32,
}

/// What a subscriber that cannot keep up gets of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// Only the newest record matters: older waiting ones are conflated.
    Latest,
    /// Each record is an event: none may be left out silently.
    Every,
}

/// Which kinds are delivered how; the first rule that matches wins, no rule means [`Delivery::Every`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryRules(Vec<(Box<str>, Delivery)>);

impl Default for DeliveryRules {
    /// `latest` for states (`ticker*`, `miniTicker`, `bookTicker`, `avgPrice`, `depth<N>`, `orderbook`), `every` for events.
    fn default() -> Self {
        let latest = ["ticker*", "miniTicker", "bookTicker", "avgPrice", "depth#", "orderbook"];
        Self(latest.iter().map(|kind| ((*kind).into(), Delivery::Latest)).collect())
    }
}

impl DeliveryRules {
    /// Rules in order. A `*` at the end of a kind stands for any run of characters, a `#` there for digits.
    #[must_use]
    pub fn new(rules: impl IntoIterator<Item = (Box<str>, Delivery)>) -> Self {
        Self(rules.into_iter().collect())
    }

    /// One delivery for all kinds.
    #[must_use]
    pub fn all(delivery: Delivery) -> Self {
        Self::new([("*".into(), delivery)])
    }

    /// How channels of this kind are delivered. An update speed behind a further `@` is ignored.
    #[must_use]
    pub fn delivery(&self, kind: &str) -> Delivery {
        let kind = kind.split('@').next().unwrap_or(kind);
        let rule = self.0.iter().find(|(pattern, _)| kind_matches(pattern, kind));
        rule.map_or(Delivery::Every, |(_, delivery)| *delivery)
    }
}

fn kind_matches(pattern: &str, kind: &str) -> bool {
    if let Some(prefix) = pattern.strip_suffix('*') {
        return kind.starts_with(prefix);
    }
    if let Some(prefix) = pattern.strip_suffix('#') {
        let digits = kind.strip_prefix(prefix).unwrap_or("");
        return !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    }
    pattern == kind
}

/// What the catalogue knows of a channel.
#[derive(Clone, Debug)]
pub struct ChannelInfo {
    /// Its name.
    pub name: ChannelName,
    /// Its id.
    pub id: ChannelId,
    /// How it is delivered.
    pub delivery: Delivery,
}

/// Every channel that exists, by name and by index. Shared; see the module's header for who touches it when.
#[derive(Debug)]
#[expect(clippy::disallowed_types, reason = "touched when channels change, never by a record")]
pub struct Catalogue {
    rules: DeliveryRules,
    tables: RwLock<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    by_name: HashMap<ChannelName, u32>,
    by_index: Vec<Option<ChannelInfo>>,
}

#[expect(clippy::disallowed_types, reason = "touched when channels change, never by a record")]
impl Catalogue {
    /// An empty catalogue whose channels will be delivered by these rules.
    #[must_use]
    pub fn new(rules: DeliveryRules) -> Self {
        Self { rules, tables: RwLock::new(Tables::default()) }
    }

    /// How a channel of this name is or would be delivered.
    #[must_use]
    pub fn delivery(&self, name: &ChannelName) -> Delivery {
        self.rules.delivery(name.kind())
    }

    /// Enters a channel, before its first record is published. An older channel at the same index is forgotten.
    pub fn insert(&self, name: &ChannelName, id: ChannelId) {
        let info = ChannelInfo { name: name.clone(), id, delivery: self.delivery(name) };
        let mut tables = self.write();
        let place = id.index as usize;
        if tables.by_index.len() <= place {
            tables.by_index.resize(place + 1, None);
        }
        if let Some(old) = tables.by_index[place].replace(info) {
            tables.by_name.remove(&old.name);
        }
        tables.by_name.insert(name.clone(), id.index);
    }

    /// Forgets a channel, after its `expired` entry was published.
    pub fn remove(&self, id: ChannelId) {
        let mut tables = self.write();
        let Some(place) = tables.by_index.get_mut(id.index as usize) else { return };
        if let Some(old) = place.take_if(|info| info.id == id) {
            tables.by_name.remove(&old.name);
        }
    }

    /// The channel of this name, if it exists.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<ChannelInfo> {
        let tables = self.read();
        let index = *tables.by_name.get(name)?;
        tables.by_index.get(index as usize)?.clone()
    }

    /// The channel at this index, if there is one.
    #[must_use]
    pub fn at(&self, index: u32) -> Option<ChannelInfo> {
        self.read().by_index.get(index as usize)?.clone()
    }

    /// How many channels exist.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().by_name.len()
    }

    /// Places given to channels so far, expired ones included: no channel's index is as high.
    #[must_use]
    pub fn places(&self) -> u32 {
        u32::try_from(self.read().by_index.len()).unwrap_or(u32::MAX)
    }

    /// Whether none exists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // A panic while the lock is held leaves maps that are whole: every change to them is one call.
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_the_wire_documents_rules() {
        let longest = format!("{}@trade", "x".repeat(NAME_BYTES_MAX - 6));
        for good in [
            "btcusdt@trade",
            "btcusdt@depth@100ms",
            "KRW-BTC@ticker",
            "!miniTicker@arr",
            "币安@trade",
            &longest,
        ] {
            assert_eq!(validate(good), Ok(()), "{good}");
        }
        let too_long = format!("{longest}x");
        let bad = [
            ("", InvalidChannel::Empty),
            (too_long.as_str(), InvalidChannel::TooLong),
            ("btcusdt", InvalidChannel::NoSymbol),
            ("@trade", InvalidChannel::NoSymbol),
            ("btcusdt@", InvalidChannel::NoKind),
            ("btc usdt@trade", InvalidChannel::BadCharacter),
            ("btc\u{a0}usdt@trade", InvalidChannel::BadCharacter),
            ("btcusdt@tra\r\nde", InvalidChannel::BadCharacter),
            ("btcusdt@\0", InvalidChannel::BadCharacter),
            ("*@trade", InvalidChannel::BadCharacter),
            ("a>@trade", InvalidChannel::BadCharacter),
            ("a#1@trade", InvalidChannel::BadCharacter),
            ("a..b@trade", InvalidChannel::BadSymbol),
            (".a@trade", InvalidChannel::BadSymbol),
            ("a.@trade", InvalidChannel::BadSymbol),
            ("$JS.API@x", InvalidChannel::BadSymbol),
        ];
        for (name, why) in bad {
            assert_eq!(validate(name), Err(why), "{name:?}");
        }
    }

    #[test]
    fn default_deliveries_are_the_wire_documents() {
        let rules = DeliveryRules::default();
        for kind in [
            "trade",
            "aggTrade",
            "blockTrade",
            "depth",
            "depth@100ms",
            "kline_1m",
            "candle.1s",
            "arr",
            "other",
        ] {
            assert_eq!(rules.delivery(kind), Delivery::Every, "{kind}");
        }
        for kind in [
            "ticker",
            "ticker_1h",
            "miniTicker",
            "bookTicker",
            "avgPrice",
            "depth5",
            "depth20@100ms",
            "orderbook",
        ] {
            assert_eq!(rules.delivery(kind), Delivery::Latest, "{kind}");
        }
    }

    #[test]
    fn first_matching_rule_wins() {
        let rules =
            DeliveryRules::new([("tra*".into(), Delivery::Latest), ("trade".into(), Delivery::Every)]);
        assert_eq!(rules.delivery("trade"), Delivery::Latest);
        assert_eq!(DeliveryRules::all(Delivery::Every).delivery("ticker"), Delivery::Every);
    }

    #[test]
    fn a_place_given_to_another_channel_forgets_the_first() {
        let catalogue = Catalogue::new(DeliveryRules::default());
        let (one, two) = (ChannelName::parse("a@trade").unwrap(), ChannelName::parse("b@ticker").unwrap());
        let first = ChannelId { index: 3, generation: 0 };
        let second = ChannelId { index: 3, generation: 1 };
        catalogue.insert(&one, first);
        assert_eq!(catalogue.find("a@trade").map(|info| info.id), Some(first));
        catalogue.insert(&two, second);
        assert!(catalogue.find("a@trade").is_none());
        catalogue.remove(first);
        assert_eq!(
            catalogue.at(3).map(|info| info.delivery),
            Some(Delivery::Latest),
            "an old id removes nothing"
        );
        catalogue.remove(second);
        assert!(catalogue.is_empty());
    }
}
