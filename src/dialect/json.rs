//! What the dialects share of JSON: parsing a request strictly, appending strings and lists.
//!
//! Pure; the shard's thread. Ids stay the text they came as, never a number. Invariant: what is appended is JSON,
//! whatever the client wrote.

use serde::de::Deserializer;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{Fault, FaultCode};

/// Reads a message that is one object.
///
/// # Errors
/// `InvalidJson` or `InvalidRequest`, with serde's text.
pub(super) fn parse<'a, T: Deserialize<'a>>(message: &'a [u8]) -> Result<T, Fault> {
    // For serde an array of the fields is a struct, too; no client means that.
    let is_object = message.trim_ascii_start().first() == Some(&b'{');
    let error = match serde_json::from_slice(message) {
        Ok(value) if is_object => return Ok(value),
        Err(error) if is_object => error.to_string(),
        _ => "expected an object".to_owned(),
    };
    // Some of serde's errors about types are filed under syntax: only a second look tells.
    Err(match serde_json::from_slice::<&RawValue>(message) {
        Ok(_) => Fault::new(FaultCode::InvalidRequest, error),
        Err(error) => Fault::new(FaultCode::InvalidJson, error.to_string()),
    })
}

/// For a field where `null` is not the same as absence.
pub(super) fn present<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The id of a message that could not be read otherwise.
pub(super) fn salvage_id(message: &[u8]) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct OnlyId<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        id: Option<&'a RawValue>,
    }
    parse::<OnlyId<'_>>(message).ok()?.id
}

/// Whether a raw value is an integer of any size.
pub(super) fn is_integer(raw: &RawValue) -> bool {
    raw.get().bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Whether a raw value is a string.
pub(super) fn is_string(raw: &RawValue) -> bool {
    raw.get().starts_with('"')
}

/// Appends a value, escaped where JSON asks for it.
pub(super) fn push<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a Vec takes every byte, and our values have no maps");
}

/// Appends items as an array, each by the same function.
pub(super) fn push_array<T>(
    items: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    push_item: impl Fn(T, &mut Vec<u8>),
) {
    out.push(b'[');
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        push_item(item, out);
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct One {
        a: u8,
    }

    fn code(message: &str) -> FaultCode {
        parse::<One>(message.as_bytes()).unwrap_err().code
    }

    #[test]
    fn only_an_object_is_a_request() {
        assert_eq!(parse::<One>(b" {\"a\":1} "), Ok(One { a: 1 }));
        for message in ["[1]", " [1]", "1", "null", "\"a\"", "{\"a\":\"\\ud800\"}", "{}", "{\"a\":1,\"a\":1}"]
        {
            assert_eq!(code(message), FaultCode::InvalidRequest, "{message}");
        }
        for message in ["", " ", "{", "{\"a\":1", "{\"a\":1}}", "{\"a\":01}", "{a:1}", "[1"] {
            assert_eq!(code(message), FaultCode::InvalidJson, "{message}");
        }
    }

    #[test]
    fn null_is_not_absence() {
        let id = |message: &'static str| salvage_id(message.as_bytes()).map(RawValue::get);
        assert_eq!(id(r#"{"id": null}"#), Some("null"));
        assert_eq!(id(r#"{"id": 12345678901234567890123 }"#), Some("12345678901234567890123"));
        assert_eq!(id("{}"), None);
        assert_eq!(id(r#"{"id":1"#), None);
    }
}
