//! Patterns: channel names with `*` for any run of characters on either side of the `@`.
//!
//! Values; any thread. Invariant: a pattern matches only valid channel names, and matching takes a time linear in both.

use std::fmt;
use std::sync::Arc;

use super::{ChannelName, InvalidChannel, validate};

/// A pattern, `<symbol>@<kind>` with at least one `*`; cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelPattern(Arc<str>);

impl ChannelPattern {
    /// Takes a name with `*` in it that would be a channel's name with a letter in the place of each.
    ///
    /// # Errors
    /// Says which rule the name breaks.
    pub fn parse(pattern: &str) -> Result<Self, InvalidChannel> {
        if !pattern.contains('*') {
            return Err(InvalidChannel::BadCharacter);
        }
        validate(&pattern.replace('*', "x"))?;
        Ok(Self(pattern.into()))
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a channel is one of those meant.
    #[must_use]
    pub fn matches(&self, name: &ChannelName) -> bool {
        let Some((symbols, kinds)) = self.0.split_once('@') else { return false };
        let Some((symbol, kind)) = name.as_str().split_once('@') else { return false };
        is_like(symbols, symbol) && is_like(kinds, kind)
    }
}

/// Whether a text is like a pattern with `*` for any run of characters: the first piece begins it, the last one ends it, and
/// those between are found in their order, each as early as can be.
fn is_like(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(first) else { return false };
    let (between, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for piece in between.split('*') {
        let Some(at) = text.find(piece) else { return false };
        text = &text[at + piece.len()..];
    }
    text.ends_with(last)
}

impl fmt::Debug for ChannelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, by brute force.
    fn is_like_naive(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|skip| is_like_naive(rest, &text[skip..])),
            Some((byte, rest)) => text.first() == Some(byte) && is_like_naive(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_star_stands_for_any_run(pattern in "[ab*]{0,8}", text in "[ab]{0,10}") {
            prop_assert_eq!(is_like(&pattern, &text), is_like_naive(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn a_star_does_not_reach_over_the_first_at() {
        let pattern = |text| ChannelPattern::parse(text).unwrap();
        let name = |text| ChannelName::parse(text).unwrap();
        assert!(pattern("*@trade").matches(&name("btcusdt@trade")));
        assert!(pattern("btc*@*").matches(&name("btcusdt@depth@100ms")));
        assert!(!pattern("*@100ms").matches(&name("btcusdt@depth@100ms")));
        assert!(!pattern("*@trade").matches(&name("btcusdt@aggTrade")));
    }

    #[test]
    fn a_pattern_is_a_name_with_stars() {
        for bad in ["btcusdt@trade", "*", "*trade", "@*", "*@", "a b*@trade", "$*@trade", "..*@x"] {
            assert!(ChannelPattern::parse(bad).is_err(), "{bad}");
        }
    }
}
