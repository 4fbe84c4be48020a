//! Messages of the native protocol, as a subscriber reads them.
//!
//! Pure. Must not decode a record's payload, whose bytes are what is compared. Invariant: a record is known by the exact
//! order in which its fields are documented; any other text is a word of the server's, or a violation.

use serde_json::Value;

/// One record's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) channel: &'a str,
    pub(crate) sequence: u64,
    /// The latest record at a subscription.
    pub(crate) is_snapshot: bool,
    /// Values between the one sent before and this one.
    pub(crate) skipped: u64,
    /// It holds what the skipped ones said.
    pub(crate) is_merged: bool,
    pub(crate) payload: &'a [u8],
}

/// What a text frame says.
#[derive(Debug)]
pub(crate) enum Said<'a> {
    Record(Record<'a>),
    /// A word of the server's: `hello`, `ack`, `gap` and the like.
    Word(Value),
    Unknown,
}

/// Reads a text frame.
pub(crate) fn read(text: &[u8]) -> Said<'_> {
    if let Some(record) = read_record(text) {
        return Said::Record(record);
    }
    match serde_json::from_slice::<Value>(text) {
        Ok(word) if word["op"].is_string() => Said::Word(word),
        _ => Said::Unknown,
    }
}

fn read_record(text: &[u8]) -> Option<Record<'_>> {
    let rest = text.strip_prefix(br#"{"ch":""#)?;
    let (name, rest) = rest.split_at(memchr::memchr(b'"', rest)?);
    let (sequence, rest) = number(rest.strip_prefix(br#"","seq":"#)?)?;
    let (_, rest) = number(rest.strip_prefix(br#","ts":"#)?)?;
    let (is_snapshot, rest) = flag(rest, br#","snap":true"#);
    let (skipped, rest) = match rest.strip_prefix(br#","skipped":"#) {
        Some(rest) => number(rest)?,
        None => (0, rest),
    };
    let (is_merged, rest) = flag(rest, br#","merged":true"#);
    let payload = rest.strip_prefix(br#","data":"#)?.strip_suffix(b"}")?;
    let channel = std::str::from_utf8(name).ok()?;
    Some(Record { channel, sequence, is_snapshot, skipped, is_merged, payload })
}

fn flag<'a>(text: &'a [u8], flag: &[u8]) -> (bool, &'a [u8]) {
    text.strip_prefix(flag).map_or((false, text), |rest| (true, rest))
}

fn number(text: &[u8]) -> Option<(u64, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((value, &text[digits..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_field_by_field() {
        let plain = Record {
            channel: "b@t",
            sequence: 7,
            is_snapshot: false,
            skipped: 0,
            is_merged: false,
            payload: br#"{"data":{"a":"}"}}"#,
        };
        let read_as = |marks: &str| {
            let text = format!(r#"{{"ch":"b@t","seq":7,"ts":5{marks},"data":{{"data":{{"a":"}}"}}}}}}"#);
            match read(text.as_bytes()) {
                Said::Record(record) => assert_eq!(record.payload, plain.payload),
                other => panic!("{other:?}"),
            }
            let text = text.leak().as_bytes();
            read_record(text).expect("a record")
        };
        assert_eq!(read_as(""), plain);
        assert_eq!(read_as(r#","snap":true"#), Record { is_snapshot: true, ..plain });
        assert_eq!(read_as(r#","skipped":6"#), Record { skipped: 6, ..plain });
        assert_eq!(read_as(r#","skipped":6,"merged":true"#), Record { skipped: 6, is_merged: true, ..plain });
    }

    #[test]
    fn words_are_told_from_rubbish() {
        assert!(matches!(read(br#"{"op":"pong"}"#), Said::Word(_)));
        for rubbish in
            [&b""[..], b"{}", b"[1]", br#"{"ch":"b@t","seq":-1,"ts":5,"data":{}}"#, br#"{"ch":"b@t"}"#]
        {
            assert!(matches!(read(rubbish), Said::Unknown), "{}", String::from_utf8_lossy(rubbish));
        }
    }
}
