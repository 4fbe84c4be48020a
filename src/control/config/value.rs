//! How single values are written in a configuration: whole numbers, times, addresses, rules of delivery.
//!
//! Pure. It knows no key. Invariant: a value of the wrong form is refused with a sentence that says how it is written.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Unexpected, Visitor};

use crate::channel::{Delivery, DeliveryRules, Merge, OnSlow, Rule};
use crate::shard::OnGap;

/// A whole number that fits its place.
pub(super) fn whole<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    deserializer.deserialize_u64(Whole(PhantomData))
}

/// A time with its unit.
pub(super) fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let parse = |text: &str| humantime::parse_duration(text).ok();
    deserializer
        .deserialize_str(Text { parse, expected: r#"a time with its unit, as "20s", "500ms" or "7d""# })
}

/// An address to listen on.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let parse = |text: &str| text.parse().ok();
    deserializer.deserialize_str(Text { parse, expected: r#"an address and a port, as "127.0.0.1:9001""# })
}

/// An address to listen on, or `"none"`.
pub(super) fn address_or_none<'de, D: Deserializer<'de>>(d: D) -> Result<Option<SocketAddr>, D::Error> {
    let parse = |text: &str| if text == "none" { Some(None) } else { text.parse().ok().map(Some) };
    d.deserialize_str(Text { parse, expected: r#"an address and a port, as "127.0.0.1:9002", or "none""# })
}

/// One delivery for every kind, or rules in order.
pub(super) fn delivery<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DeliveryRules, D::Error> {
    deserializer.deserialize_any(Rules)
}

/// What becomes of who lost records without a word for it.
pub(super) fn on_gap<'de, D: Deserializer<'de>>(deserializer: D) -> Result<OnGap, D::Error> {
    let parse = |text: &str| match text {
        "close" => Some(OnGap::Close),
        "skip" => Some(OnGap::Skip),
        _ => None,
    };
    deserializer.deserialize_str(Text { parse, expected: r#""close" or "skip""# })
}

struct Whole<T>(PhantomData<T>);

impl<T: TryFrom<u64>> Visitor<'_> for Whole<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = 8 * size_of::<T>();
        write!(f, "a whole number, not negative, below 2^{bits}")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
        T::try_from(value).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
        let fitting = u64::try_from(value).ok().and_then(|value| T::try_from(value).ok());
        fitting.ok_or_else(|| E::invalid_value(Unexpected::Signed(value), &self))
    }
}

struct Text<F> {
    parse: F,
    expected: &'static str,
}

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

struct Rules;

impl<'de> Visitor<'de> for Rules {
    type Value = DeliveryRules;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(r#""every", "latest", or rules as [{ kind = "ticker*", delivery = "latest" }]"#)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<DeliveryRules, E> {
        match text {
            "every" => Ok(DeliveryRules::all(Delivery::Every)),
            "latest" => Ok(DeliveryRules::all(Delivery::Latest)),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<DeliveryRules, A::Error> {
        let mut rules = Vec::new();
        while let Some(written) = seq.next_element::<WrittenRule>()? {
            let rule =
                written.resolve().map_err(|why| Error::custom(format!("{:?}: {why}", written.kind.0)))?;
            rules.push((written.kind.0, rule));
        }
        Ok(DeliveryRules::new(rules))
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields, expecting = r#"a rule as { kind = "ticker*", delivery = "latest" }"#)]
struct WrittenRule {
    kind: KindPattern,
    delivery: Option<WrittenDelivery>,
    merge: Option<WrittenMerge>,
    slow: Option<WrittenSlow>,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenDelivery {
    Every,
    Latest,
}

#[derive(Clone, Copy, serde::Deserialize)]
enum WrittenMerge {
    #[serde(rename = "binance-depth")]
    Depth,
    #[serde(rename = "binance-array")]
    Array,
    #[serde(rename = "binance-kline")]
    Kline,
}

#[derive(Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenSlow {
    Gap,
    Close,
}

impl WrittenRule {
    /// What the parts say together, or which of them to leave out.
    fn resolve(&self) -> Result<Rule, &'static str> {
        use WrittenDelivery::{Every, Latest};
        let delivery = match (self.delivery, self.merge) {
            (None, None) => {
                return Err(
                    r#"missing field `delivery`; write delivery = "every" or "latest", or a `merge`"#,
                );
            }
            (Some(Latest), Some(_)) => {
                return Err(
                    r#"delivery = "latest" leaves out what `merge` would keep; write `merge` without `delivery`"#,
                );
            }
            (Some(Latest), None) if self.slow.is_some() => {
                return Err(
                    r#"with delivery = "latest" no queue grows; leave `slow` out, or write delivery = "every""#,
                );
            }
            (Some(Every) | None, Some(merge)) => Delivery::Merge(merge.into()),
            (Some(Every), None) => Delivery::Every,
            (Some(Latest), None) => Delivery::Latest,
        };
        let on_slow = match self.slow {
            Some(WrittenSlow::Close) => OnSlow::Close,
            Some(WrittenSlow::Gap) | None => OnSlow::Gap,
        };
        Ok(Rule { delivery, on_slow })
    }
}

impl From<WrittenMerge> for Merge {
    fn from(written: WrittenMerge) -> Self {
        match written {
            WrittenMerge::Depth => Self::BinanceDepth,
            WrittenMerge::Array => Self::BinanceArray,
            WrittenMerge::Kline => Self::BinanceKline,
        }
    }
}

struct KindPattern(Box<str>);

impl<'de> Deserialize<'de> for KindPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parse = |text: &str| is_kind_pattern(text).then(|| Self(text.into()));
        let expected = "a kind; '*' only at its end (any run of characters), '#' only at its end (digits)";
        deserializer.deserialize_str(Text { parse, expected })
    }
}

fn is_kind_pattern(text: &str) -> bool {
    let stem = text.strip_suffix(['*', '#']).unwrap_or(text);
    !text.is_empty() && !stem.contains(['*', '#', '@', '"', '\\', '>']) && !stem.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use toml::Value;

    fn said<T>(result: Result<T, toml::de::Error>) -> String {
        result.err().map_or_else(String::new, |error| error.message().to_owned())
    }

    #[test]
    fn times_are_written_with_their_unit() {
        let read = |text: &str| time(Value::String(text.into()));
        for (text, ms) in
            [("20s", 20_000), ("500ms", 500), ("7d", 604_800_000), ("1m 30s", 90_000), ("0s", 0)]
        {
            assert_eq!(read(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        for text in ["", "20", "s", "-1s", "20 parsecs", "99999999999999999999d"] {
            assert!(said(read(text)).contains(r#"expected a time with its unit, as "20s""#), "{text}");
        }
        assert!(said(time(Value::Integer(20))).contains("invalid type: integer `20`"));
    }

    #[test]
    fn numbers_are_whole_and_fit() {
        assert_eq!(whole::<_, u16>(Value::Integer(65_535)).unwrap(), 65_535);
        assert!(said(whole::<_, u16>(Value::Integer(65_536))).contains("below 2^16"));
        assert!(said(whole::<_, u64>(Value::Integer(-1))).contains("invalid value: integer `-1`"));
        assert!(said(whole::<_, u64>(Value::Float(1.0))).contains("invalid type: floating point"));
    }

    #[test]
    fn addresses_hold_a_port() {
        assert_eq!(address(Value::String("[::1]:80".into())).unwrap().port(), 80);
        assert!(said(address(Value::String("localhost".into()))).contains("127.0.0.1:9001"));
        assert_eq!(address_or_none(Value::String("none".into())).unwrap(), None);
    }

    #[test]
    fn rules_say_how_to_merge_and_what_becomes_of_the_slow() {
        let read = |text: &str| delivery(text.parse::<Value>().unwrap());
        let depth = Delivery::Merge(Merge::BinanceDepth);
        for (written, delivery, on_slow) in [
            (r#"merge = "binance-depth""#, depth, OnSlow::Gap),
            (r#"delivery = "every", merge = "binance-depth", slow = "gap""#, depth, OnSlow::Gap),
            (
                r#"merge = "binance-array", slow = "close""#,
                Delivery::Merge(Merge::BinanceArray),
                OnSlow::Close,
            ),
            (r#"merge = "binance-kline""#, Delivery::Merge(Merge::BinanceKline), OnSlow::Gap),
            (r#"delivery = "every", slow = "close""#, Delivery::Every, OnSlow::Close),
        ] {
            let rules = read(&format!(r#"[{{ kind = "depth", {written} }}]"#)).unwrap();
            assert_eq!(rules.rule("depth@100ms"), Rule { delivery, on_slow }, "{written}");
        }
        for (written, part) in [
            (r#"merge = "binance""#, "expected one of `binance-depth`, `binance-array`, `binance-kline`"),
            (r#"delivery = "every", slow = "drop""#, "expected `gap` or `close`"),
            (
                r#"delivery = "latest", merge = "binance-kline""#,
                "\"depth\": delivery = \"latest\" leaves out what `merge` would keep; write `merge` without",
            ),
            (r#"delivery = "latest", slow = "close""#, "leave `slow` out"),
            (r#"slow = "close""#, "missing field `delivery`"),
        ] {
            let said = said(read(&format!(r#"[{{ kind = "depth", {written} }}]"#)));
            assert!(said.contains(part), "{written}: {said}");
        }
    }

    #[test]
    fn deliveries_are_one_word_or_rules() {
        let read = |text: &str| delivery(text.parse::<Value>().unwrap());
        assert_eq!(read(r#""latest""#).unwrap(), DeliveryRules::all(Delivery::Latest));
        let rules =
            read(r#"[{ kind = "ticker*", delivery = "latest" }, { kind = "*", delivery = "every" }]"#);
        let expected = DeliveryRules::new([
            ("ticker*".into(), Rule::new(Delivery::Latest)),
            ("*".into(), Rule::new(Delivery::Every)),
        ]);
        assert_eq!(rules.unwrap(), expected);
        for (text, part) in [
            (r#""some""#, r#""every", "latest", or rules"#),
            ("5", r#""every", "latest", or rules"#),
            (r#"[{ kind = "a*b", delivery = "latest" }]"#, "'*' only at its end"),
            (r#"[{ kind = "", delivery = "latest" }]"#, "'*' only at its end"),
            (r#"[{ kind = "a", delivery = "newest" }]"#, "expected `every` or `latest`"),
            (r#"[{ kind = "a", deliver = "latest" }]"#, "one of `kind`, `delivery`, `merge`, `slow`"),
            (r#"[{ kind = "a" }]"#, "\"a\": missing field `delivery`; write delivery = \"every\""),
            (r#"[{ delivery = "latest" }]"#, "missing field `kind`"),
        ] {
            assert!(said(read(text)).contains(part), "{text}: {}", said(read(text)));
        }
    }
}
