//! Lists of channel names as clients give them in a URL or a message.
//!
//! Pure; the front's thread for URLs, the shard's for messages. Folds no case. Invariant: a list holds no name twice and
//! keeps the order of the request.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::Hash;

use percent_encoding::percent_decode_str;

use crate::channel::{ChannelName, ChannelPattern, InvalidChannel};

/// The values of a key in a URL's query, still percent-encoded.
pub(super) fn values<'a>(query: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(move |(found, _)| *found == key).map(|(_, value)| value)
}

/// Percent-decoded text. A `+` stays one: stream names hold it (`kline_1d@+08:00`). `None`: not UTF-8.
pub(super) fn decode(encoded: &str) -> Option<Cow<'_, str>> {
    percent_decode_str(encoded).decode_utf8().ok()
}

/// The names without doubles, in the order in which they first stood.
pub(super) fn distinct<T: Clone + Eq + Hash>(mut names: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::with_capacity(names.len());
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// A channel, or a pattern of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named {
    /// One channel.
    Channel(ChannelName),
    /// Those that match.
    Pattern(ChannelPattern),
}

impl Named {
    /// Whether a channel is one of those meant.
    #[must_use]
    pub fn matches(&self, name: &ChannelName) -> bool {
        match self {
            Self::Channel(wanted) => wanted == name,
            Self::Pattern(pattern) => pattern.matches(name),
        }
    }
}

/// What a name in a list means.
///
/// # Errors
/// Says which rule the name breaks.
pub(super) fn named(name: &str) -> Result<Named, InvalidChannel> {
    if name.contains('*') {
        return ChannelPattern::parse(name).map(Named::Pattern);
    }
    ChannelName::parse(name).map(Named::Channel)
}

/// The channels and the patterns of a list, each without doubles.
///
/// # Errors
/// Says which name breaks which rule.
pub(super) fn sort<'a>(
    names: impl Iterator<Item = &'a str>,
) -> Result<(Vec<ChannelName>, Vec<ChannelPattern>), String> {
    let (mut channels, mut patterns) = (Vec::new(), Vec::new());
    for name in names {
        match named(name).map_err(|why| format!("{why}: {name:?}"))? {
            Named::Channel(channel) => channels.push(channel),
            Named::Pattern(pattern) => patterns.push(pattern),
        }
    }
    Ok((distinct(channels), distinct(patterns)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_by_key() {
        let found: Vec<_> = values("a=1&b=2&a=&c&a=x=y", "a").collect();
        assert_eq!(found, ["1", "", "x=y"]);
        assert_eq!(values("", "a").count(), 0);
    }

    #[test]
    fn names_are_decoded_and_plus_is_no_space() {
        assert_eq!(decode("btcusdt%40kline_1d%40%2B08:00").as_deref(), Some("btcusdt@kline_1d@+08:00"));
        assert_eq!(decode("btcusdt@kline_1d@+08:00").as_deref(), Some("btcusdt@kline_1d@+08:00"));
        assert_eq!(decode("%E5%B8%81@trade").as_deref(), Some("币@trade"));
        assert_eq!(decode("%ff"), None);
    }

    #[test]
    fn doubles_go_and_the_order_stays() {
        let names = ["b@x", "a@x", "b@x", "A@x"].map(|name| ChannelName::parse(name).unwrap());
        let kept = distinct(names.to_vec());
        assert_eq!(kept.iter().map(ChannelName::as_str).collect::<Vec<_>>(), ["b@x", "a@x", "A@x"]);
    }
}
