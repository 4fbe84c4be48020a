//! How single values are written in a configuration: whole numbers, times, addresses, words.
//!
//! Pure. It knows no key. Invariant: a value of the wrong form is refused with a sentence that says how it is written,
//! and what was taken is written again in a form that is taken.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::de::{Deserialize, Deserializer, Error};
use toml::Value;

use super::nearest;

/// Characters of a refused value that are shown: enough to find it.
const SHOWN_CHARS_MAX: usize = 40;

/// A whole number that fits its place.
pub(super) fn whole<'de, D: Deserializer<'de>, T: TryFrom<i64>>(deserializer: D) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let whole = value.as_integer().and_then(|number| T::try_from(number).ok());
    whole.ok_or_else(|| match 8 * size_of::<T>() {
        // TOML's own numbers end at 2^63.
        64.. => refused(&value, "a whole number, not negative"),
        bits => refused(&value, format_args!("a whole number, not negative, below 2^{bits}")),
    })
}

/// A path.
pub(super) fn path<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PathBuf>, D::Error> {
    let wants = r#"a path in quotes, as "/run/tapecast/feed.sock""#;
    parsed(deserializer, |text| Some(Some(PathBuf::from(text))), wants)
}

/// A text that no message shows.
pub(super) fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let Value::String(text) = Value::deserialize(deserializer)? else {
        return Err(Error::custom("what stands here is not text; write it in quotes"));
    };
    Ok(Some(text))
}

/// An address to listen on.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parsed(deserializer, |text| text.parse().ok(), r#"an address and a port, as "127.0.0.1:9001""#)
}

fn parsed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl Fn(&str) -> Option<T>,
    wants: impl Display,
) -> Result<T, D::Error> {
    let value = Value::deserialize(deserializer)?;
    value.as_str().and_then(parse).ok_or_else(|| refused(&value, wants))
}

fn refused<E: Error>(value: &Value, wants: impl Display) -> E {
    E::custom(format_args!("{} cannot be; write {wants}", shown(value)))
}

/// A value as it is shown to whoever wrote it.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        // As TOML it may take several lines.
        Value::String(text) => format!("{text:?}"),
        other => other.to_string().replace(char::is_control, "?"),
    };
    let end = text.char_indices().nth(SHOWN_CHARS_MAX).map(|(at, _)| at);
    end.map_or_else(|| text.clone(), |end| format!("{}…", &text[..end]))
}

/// What is said of a value that is none of these words.
pub(super) fn not_a_word(value: &Value, words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
    let near = value.as_str().and_then(|wrong| nearest::word(wrong, words));
    let near = near.map_or_else(String::new, |word| format!("; did you mean {word:?}?"));
    format!("{} cannot be; write {}{near}", shown(value), nearest::or(&quoted))
}

/// Times with their unit.
pub(super) mod time {
    use std::time::Duration;

    use serde::de::Error;
    use serde::{Deserializer, Serializer};

    /// A hundred years: that far from now, all clocks still count.
    const LONGEST: Duration = Duration::from_secs(100 * 31_557_600);

    pub(in super::super) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*time))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let parse = |text: &str| humantime::parse_duration(text).ok();
        let time = super::parsed(from, parse, r#"a time with its unit, as "20s", "500ms" or "7d""#)?;
        if time > LONGEST {
            return Err(D::Error::custom(r#"no server runs as long as this; write a time up to "100years""#));
        }
        Ok(time)
    }
}

/// An address to listen on, or `"none"`.
pub(super) mod address_or_none {
    use std::net::SocketAddr;

    use serde::{Deserializer, Serializer};

    pub(in super::super) fn serialize<S: Serializer>(
        listen: &Option<SocketAddr>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match listen {
            Some(address) => to.collect_str(address),
            None => to.serialize_str("none"),
        }
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let parse = |text: &str| if text == "none" { Some(None) } else { text.parse().ok().map(Some) };
        super::parsed(from, parse, r#"an address and a port, as "127.0.0.1:9002", or "none""#)
    }
}

/// What becomes of who lost records without a word for it.
pub(super) mod on_gap {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;
    use toml::Value;

    use crate::shard::OnGap;

    const WORDS: [&str; 2] = ["close", "skip"];

    pub(in super::super) fn serialize<S: Serializer>(on_gap: &OnGap, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match on_gap {
            OnGap::Close => "close",
            OnGap::Skip => "skip",
        })
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<OnGap, D::Error> {
        let value = Value::deserialize(from)?;
        match value.as_str() {
            Some("close") => Ok(OnGap::Close),
            Some("skip") => Ok(OnGap::Skip),
            _ => Err(D::Error::custom(super::not_a_word(&value, &WORDS))),
        }
    }
}

/// One delivery for every kind, or rules in order.
pub(super) mod delivery {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;
    use toml::Value;

    use super::super::rules;
    use crate::channel::DeliveryRules;

    pub(in super::super) fn serialize<S: Serializer>(
        rules: &DeliveryRules,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(rules.iter().map(|(kind, rule)| rules::write(kind, rule)))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<DeliveryRules, D::Error> {
        rules::read(&Value::deserialize(from)?).map_err(|faults| {
            let texts: Vec<String> = faults.into_iter().map(|fault| fault.text).collect();
            D::Error::custom(texts.join("; "))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn said<T>(result: Result<T, toml::de::Error>) -> String {
        result.err().map_or_else(String::new, |error| error.message().to_owned())
    }

    #[test]
    fn times_are_written_with_their_unit() {
        let read = |text: &str| time::deserialize(Value::String(text.into()));
        for (text, ms) in
            [("20s", 20_000), ("500ms", 500), ("7d", 604_800_000), ("1m 30s", 90_000), ("0s", 0)]
        {
            assert_eq!(read(text).unwrap(), Duration::from_millis(ms), "{text}");
        }
        for text in ["", "20", "s", "-1s", "20 parsecs", "99999999999999999999d"] {
            assert!(
                said(read(text)).contains(r#"cannot be; write a time with its unit, as "20s""#),
                "{text}"
            );
        }
        assert!(said(time::deserialize(Value::Integer(20))).starts_with("20 cannot be; write a time"));
        // Added to a clock, more would begin anew at its start.
        assert!(said(read("101years")).ends_with(r#"write a time up to "100years""#));
    }

    #[test]
    fn times_are_written_so_that_they_are_read_again() {
        for ns in
            [0, 1, 1_500_000, 500_000_000, 90_000_000_000, 604_800_000_000_000, 3_155_760_000_000_000_000]
        {
            let time = Duration::from_nanos(ns);
            let text = time::serialize(&time, serde_json::value::Serializer).unwrap();
            let text = text.as_str().unwrap().to_owned();
            assert_eq!(time::deserialize(Value::String(text)).unwrap(), time);
        }
    }

    #[test]
    fn numbers_are_whole_and_fit() {
        assert_eq!(whole::<_, u16>(Value::Integer(65_535)).unwrap(), 65_535);
        assert!(said(whole::<_, u16>(Value::Integer(65_536))).contains("65536 cannot be; write a whole"));
        assert!(said(whole::<_, u16>(Value::Integer(65_536))).contains("below 2^16"));
        assert!(said(whole::<_, u64>(Value::Integer(-1))).contains("-1 cannot be; write a whole number"));
        assert!(said(whole::<_, u64>(Value::Float(1.0))).contains("1.0 cannot be"));
    }

    #[test]
    fn addresses_hold_a_port() {
        assert_eq!(address(Value::String("[::1]:80".into())).unwrap().port(), 80);
        assert!(said(address(Value::String("localhost".into()))).contains("127.0.0.1:9001"));
        assert_eq!(address_or_none::deserialize(Value::String("none".into())).unwrap(), None);
    }

    #[test]
    fn words_are_told_with_the_nearest() {
        let said = |text: &str| said(on_gap::deserialize(Value::String(text.into())));
        assert_eq!(said("skp"), r#""skp" cannot be; write "close" or "skip"; did you mean "skip"?"#);
        assert_eq!(said("newest"), r#""newest" cannot be; write "close" or "skip""#);
    }

    #[test]
    fn a_secret_is_not_shown_and_a_long_value_is_cut() {
        assert!(!said(secret(Value::Integer(123_456))).contains("123456"));
        assert_eq!(shown(&"a\nb".into()), r#""a\nb""#, "a problem is one line");
        assert!(!shown(&Value::Array(vec!["a\nb".into()])).contains('\n'));
        let long = said(path(Value::Array(vec![Value::String("ä".repeat(1000))])));
        assert!(long.chars().count() < 120 && long.contains('…'), "{long}");
    }
}
