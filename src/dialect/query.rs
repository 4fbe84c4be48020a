//! What a URL's query asks of a fallback: channels and patterns, numbers, yes or no, and where to go on.
//!
//! Pure; the front's thread. Invariant: a query is understood whole or refused with a code, and a key that stands twice means what
//! its last value says, but for `channels`, whose lists are joined.

use std::borrow::Cow;

use super::names::{decode, distinct, named, sort, values};
use super::{Fault, FaultCode, Named, Resume, ResumeFrom};
use crate::channel::{ChannelName, ChannelPattern, InvalidChannel};

/// Bytes of an epoch that are kept: more is none of ours, however it goes on.
const EPOCH_BYTES_MAX: usize = 64;

/// Channels and patterns, each without doubles, in the order of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// By name.
    pub channels: Vec<ChannelName>,
    /// By pattern.
    pub patterns: Vec<ChannelPattern>,
}

/// What `channels=a,b*@x` names; there is at least one.
///
/// # Errors
/// `invalid_channel` with the first name that breaks a rule, `invalid_request` where there is none.
pub fn names(query: &str) -> Result<Names, Fault> {
    let mut names = Names::default();
    for list in values(query, "channels") {
        let list = readable(list, "channels")?;
        let (channels, patterns) = sort(list.split(',').filter(|name| !name.is_empty()))
            .map_err(|text| Fault::new(FaultCode::InvalidChannel, text))?;
        names.channels.extend(channels);
        names.patterns.extend(patterns);
    }
    names.channels = distinct(names.channels);
    names.patterns = distinct(names.patterns);
    if names.channels.is_empty() && names.patterns.is_empty() {
        return Err(invalid("channels: name at least one, as channels=btcusdt@trade,*@ticker"));
    }
    Ok(names)
}

/// The one pattern or channel of `key`, if it stands there.
///
/// # Errors
/// `invalid_channel` where it breaks a rule.
pub fn pattern(query: &str, key: &str) -> Result<Option<Named>, Fault> {
    let named = |text: Cow<'_, str>| named(&text).map_err(|why| unnamed(why, &text));
    text(query, key)?.map(named).transpose()
}

fn unnamed(why: InvalidChannel, name: &str) -> Fault {
    Fault::new(FaultCode::InvalidChannel, format!("{why}: {name:?}"))
}

/// The number of `key`, if it stands there.
///
/// # Errors
/// `invalid_request` where it is none, or above `most`.
pub fn number(query: &str, key: &str, most: u64) -> Result<Option<u64>, Fault> {
    let Some(text) = text(query, key)? else { return Ok(None) };
    // Digits alone: a sign or white space that `parse` lets pass is not what a client means.
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse().ok().filter(|&number| digits && number <= most) {
        Some(number) => Ok(Some(number)),
        None => Err(invalid(format!("{key}: a whole number from 0 to {most}, not {text:?}"))),
    }
}

/// Yes or no, if `key` stands there.
///
/// # Errors
/// `invalid_request` where it is neither `true` nor `false`.
pub fn flag(query: &str, key: &str) -> Result<Option<bool>, Fault> {
    match text(query, key)?.as_deref() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => Err(invalid(format!("{key}: true or false, not {other:?}"))),
    }
}

/// The text of `key`, if it stands there.
///
/// # Errors
/// `invalid_request` where it is not UTF-8.
pub fn text<'a>(query: &'a str, key: &'a str) -> Result<Option<Cow<'a, str>>, Fault> {
    values(query, key).last().map(|value| readable(value, key)).transpose()
}

/// Reads `<epoch>:<ordinal>`, as an event's `id` or a poll's cursor has it. `None`: it is not of this form.
#[must_use]
pub fn position(text: &str) -> Option<Resume> {
    let (epoch, ordinal) = text.rsplit_once(':')?;
    let is_number = !ordinal.is_empty() && ordinal.bytes().all(|byte| byte.is_ascii_digit());
    let is_epoch = !epoch.is_empty()
        && epoch.len() <= EPOCH_BYTES_MAX
        && epoch.bytes().all(|byte| byte.is_ascii_graphic());
    let ordinal = ordinal.parse().ok().filter(|_| is_number && is_epoch)?;
    Some(Resume { epoch: epoch.into(), from: ResumeFrom::Ordinal(ordinal) })
}

fn readable<'a>(encoded: &'a str, key: &str) -> Result<Cow<'a, str>, Fault> {
    decode(encoded).ok_or_else(|| invalid(format!("{key}: not UTF-8")))
}

fn invalid(text: impl Into<String>) -> Fault {
    Fault::new(FaultCode::InvalidRequest, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code<T: std::fmt::Debug>(read: Result<T, Fault>) -> &'static str {
        read.unwrap_err().code.label()
    }

    #[test]
    fn names_and_patterns_are_told_apart_and_joined() {
        let names = names("channels=b@x,*@t,a%40x,,b@x&every_ms=1&channels=c@%2B,*@t").unwrap();
        assert_eq!(names.channels.iter().map(ChannelName::as_str).collect::<Vec<_>>(), ["b@x", "a@x", "c@+"]);
        assert_eq!(names.patterns.iter().map(ChannelPattern::as_str).collect::<Vec<_>>(), ["*@t"]);
    }

    #[test]
    fn what_is_wrong_has_its_code() {
        for none in ["", "channels", "channels=", "channels=,,", "channels=%ff", "Channels=a@b"] {
            assert_eq!(code(names(none)), "invalid_request", "{none}");
        }
        for bad in ["channels=a@b,x", "channels=a%20b@c", "channels=*", "channels=a@b%0a"] {
            assert_eq!(code(names(bad)), "invalid_channel", "{bad}");
        }
        for bad in ["n=", "n=-1", "n=%2B1", "n=1e3", "n=11", "n=99999999999999999999", "n=1&n=x"] {
            assert_eq!(code(number(bad, "n", 10)), "invalid_request", "{bad}");
        }
        assert_eq!((number("n=10", "n", 10), number("m=1", "n", 10)), (Ok(Some(10)), Ok(None)));
        assert_eq!(number("n=5&n=7", "n", 10), Ok(Some(7)));
        assert_eq!(code(flag("s=1", "s")), "invalid_request");
        assert_eq!((flag("s=false", "s"), flag("", "s")), (Ok(Some(false)), Ok(None)));
        assert_eq!(code(pattern("match=a", "match")), "invalid_channel");
    }

    #[test]
    fn a_position_is_an_epoch_and_an_ordinal() {
        let read = |text: &str| position(text).map(|resume| (resume.epoch, resume.from));
        assert_eq!(read("61f0a:12"), Some(("61f0a".into(), ResumeFrom::Ordinal(12))));
        assert_eq!(read("a:b:0"), Some(("a:b".into(), ResumeFrom::Ordinal(0))));
        let long = format!("{}:1", "e".repeat(EPOCH_BYTES_MAX + 1));
        for bad in [
            "",
            ":",
            "1",
            "e:",
            ":1",
            "e:-1",
            "e:+1",
            "e: 1",
            "e:1x",
            "e:18446744073709551616",
            " e:1",
            "é:1",
            &long,
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_query_is_read_or_refused(query in "(channels|n|s|m)=[a-z@/,&=%0-9$.*+é]{0,60}") {
            let _ = (names(&query), number(&query, "n", 7), flag(&query, "s"), pattern(&query, "m"));
        }

        #[test]
        fn any_text_is_a_position_or_none(text in any::<String>()) {
            let _ = position(&text);
        }
    }
}
