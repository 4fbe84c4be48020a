//! Channels: their names and ids, how each kind is delivered, and the catalogue of those that exist.
//!
//! Names, patterns and rules are values; who touches the catalogue when is told there. Never on a record's path.
//! Invariant: an id names one channel for as long as its generation is unchanged.

mod catalogue;
mod pattern;
mod rules;

pub use catalogue::{Catalogue, ChannelInfo, PLACES_A_PAGE};
pub use pattern::ChannelPattern;
pub use rules::{Delivery, DeliveryRules, Merge, OnSlow, Rule};

use std::fmt;
use std::sync::Arc;

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
}
