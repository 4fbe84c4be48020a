//! Envelopes: one message of JSON into the records it holds.
//!
//! Pure. An envelope is `{"channel":..,"data":..}`, the exchange's combined `{"stream":..,"data":..}`, or a raw
//! exchange event. Invariant: a payload is a slice of the message, byte for byte; nothing is parsed into numbers.
//!
//! An array whose events are all of one whole-market kind is what the exchange sends as `!ticker@arr`, so it is one
//! record; any other array is taken as envelopes.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::error::Category;
use serde_json::value::RawValue;

use super::decode::Decoder;
use super::line;
use super::refusal::{Refusal, RefusalCode};

/// What one message holds.
#[derive(Debug)]
pub enum Message<'a> {
    /// One envelope or raw event.
    One(&'a str),
    /// An array of them.
    Many(Vec<&'a RawValue>),
}

/// What one envelope says.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The channel's name, not checked yet; `None` for a raw event.
    pub channel: Option<Cow<'a, str>>,
    /// The feed's own sequence.
    pub sequence: Option<u64>,
    /// The payload as it came.
    pub payload: &'a str,
}

/// Takes a message apart, as far as that needs no look into its envelopes.
///
/// # Errors
/// When it is not one JSON value, or neither an object nor an array.
pub fn message(text: &str) -> Result<Message<'_>, Refusal> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    match text.as_bytes().first() {
        Some(b'{') => Ok(Message::One(text)),
        Some(b'[') => serde_json::from_str(text).map(Message::Many).map_err(|why| refusal(&why)),
        _ => Err(serde_json::from_str::<&RawValue>(text).map_or_else(|why| refusal(&why), |_| no_envelope())),
    }
}

/// The channel of an array that is one whole-market event.
pub fn array_channel<'d>(events: &[&RawValue], decoder: &'d mut Decoder) -> Option<&'d str> {
    decoder.array_channel(events.iter().map(|event| event.get()))
}

#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow, default)]
    channel: Option<&'a RawValue>,
    #[serde(borrow, default)]
    stream: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    seq: Option<&'a RawValue>,
}

// `null` is a payload like any other.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one envelope.
///
/// # Errors
/// When it is not one JSON object, names a channel without data, or carries a sequence that is none.
pub fn parse(text: &str) -> Result<Envelope<'_>, Refusal> {
    if !text.starts_with('{') {
        return Err(no_envelope());
    }
    let fields: Fields<'_> = serde_json::from_str(text).map_err(|why| refusal(&why))?;
    let sequence = fields.seq.map(|seq| line::sequence(seq.get())).transpose()?;
    match (fields.channel.or(fields.stream), fields.data) {
        (Some(channel), Some(data)) => {
            Ok(Envelope { channel: Some(name(channel)?), sequence, payload: data.get() })
        }
        (Some(_), None) => Err(Refusal::new(RefusalCode::Malformed, "an envelope without 'data'")),
        (None, _) => {
            Ok(Envelope { channel: None, sequence, payload: text.trim_end_matches([' ', '\t', '\r', '\n']) })
        }
    }
}

fn name(channel: &RawValue) -> Result<Cow<'_, str>, Refusal> {
    let quoted = channel.get().strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    match quoted {
        Some(name) if memchr::memchr(b'\\', name.as_bytes()).is_none() => Ok(Cow::Borrowed(name)),
        _ => serde_json::from_str(channel.get())
            .map(Cow::Owned)
            .map_err(|_| Refusal::new(RefusalCode::InvalidChannel, "a channel's name is a text")),
    }
}

fn refusal(why: &serde_json::Error) -> Refusal {
    match why.classify() {
        Category::Data => Refusal::new(RefusalCode::Malformed, "a field stands twice in an envelope"),
        _ => Refusal::invalid_json(why),
    }
}

fn no_envelope() -> Refusal {
    Refusal::new(RefusalCode::Malformed, "an envelope is a JSON object")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn envelope<'a>(channel: Option<&'a str>, sequence: Option<u64>, payload: &'a str) -> Envelope<'a> {
        Envelope { channel: channel.map(Cow::Borrowed), sequence, payload }
    }

    #[test]
    fn each_form_keeps_the_payload_as_it_came() {
        let cases = [
            (
                r#"{"channel":"a@trade","data": {"p": 1.10e0 } }"#,
                envelope(Some("a@trade"), None, r#"{"p": 1.10e0 }"#),
            ),
            (r#"{"stream":"a@depth@100ms","data":[1]}"#, envelope(Some("a@depth@100ms"), None, "[1]")),
            (r#"{"data":null,"seq":7,"channel":"a@trade"}"#, envelope(Some("a@trade"), Some(7), "null")),
            (r#"{"channel":"\u0061@trade","data":1e400}"#, envelope(Some("a@trade"), None, "1e400")),
            (r#"{"e":"trade","s":"A"}"#, envelope(None, None, r#"{"e":"trade","s":"A"}"#)),
            ("{\"e\":\"trade\",\"s\":\"A\"} \r", envelope(None, None, r#"{"e":"trade","s":"A"}"#)),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn each_bad_envelope_has_its_code() {
        let cases = [
            ("1", RefusalCode::Malformed),
            ("{", RefusalCode::InvalidJson),
            (r#"{"channel":"a@trade"}"#, RefusalCode::Malformed),
            (r#"{"channel":5,"data":1}"#, RefusalCode::InvalidChannel),
            (r#"{"channel":"a@t","data":1,"data":2}"#, RefusalCode::Malformed),
            (r#"{"channel":"a@t","data":1,"seq":-1}"#, RefusalCode::InvalidSequence),
            (r#"{"channel":"a@t","data":1,"seq":"1"}"#, RefusalCode::InvalidSequence),
            (r#"{"channel":"a@t","data":1,"seq":1.0}"#, RefusalCode::InvalidSequence),
            (r#"{"channel":"a@t","data":01}"#, RefusalCode::InvalidJson),
            (r#"{"channel":"a@t","data":1} x"#, RefusalCode::InvalidJson),
        ];
        for (text, code) in cases {
            assert_eq!(parse(text).map_err(|refusal| refusal.code), Err(code), "{text}");
        }
    }

    #[test]
    fn a_message_is_one_envelope_or_an_array() {
        assert!(matches!(message(" {\"a\":1}\n"), Ok(Message::One("{\"a\":1}"))));
        assert!(matches!(message("[{},1]"), Ok(Message::Many(items)) if items.len() == 2));
        assert_eq!(message("[{},").map_err(|why| why.code).err(), Some(RefusalCode::InvalidJson));
        assert_eq!(message("").map_err(|why| why.code).err(), Some(RefusalCode::InvalidJson));
        assert_eq!(message("12").map_err(|why| why.code).err(), Some(RefusalCode::Malformed));
    }

    proptest! {
        #[test]
        fn mutated_messages_never_panic(seed in 0usize..4, at in 0usize..200, byte: u8, cut in 0usize..200) {
            let seeds = [
                r#"{"channel":"a@trade","data":{"p":1.0,"q":[1,2,"x"]},"seq":12}"#,
                r#"[{"stream":"a@trade","data":"\u00e9\\"},{"e":"trade","s":"ABC"}]"#,
                r#"{"e":"kline","s":"ABC","k":{"i":"1m","s":"ABC"}}"#,
                r#"[{"e":"24hrTicker","s":"A"},{"e":"24hrTicker","s":"B"}]"#,
            ];
            let mut bytes = seeds[seed].as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut.max(1));
            let Ok(text) = str::from_utf8(&bytes) else { return Ok(()) };
            let mut decoder = Decoder::default();
            match message(text) {
                Ok(Message::One(one)) => drop(parse(one).map(|envelope| decoder.channel(envelope.payload).is_some())),
                Ok(Message::Many(items)) => {
                    array_channel(&items, &mut decoder);
                    for item in items {
                        let _ = parse(item.get());
                    }
                }
                Err(_) => {}
            }
        }
    }
}
