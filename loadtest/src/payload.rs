//! The record that the tools send: a JSON object of a given size with a stamp at a fixed place.
//!
//! Pure. Must not parse JSON: the swarm reads a stamp at its offset or not at all.
//! Invariant: every payload of one [`Lines`] has the same number of bytes, so that frames can be
//! counted by dividing bytes.
//!
//! ```text
//! {"t":"<stamp ns, 20>","c":"<channel, 5>","n":"<sequence, 10>","e":"trade",…,"x":"…"}
//! ```
//! The fields after the sequence look like a real trade's, for a validator handed one long string would
//! look faster than it is; only what they leave (most of a payload over 250 bytes) is one string.

const STAMP_AT: usize = 6;
const STAMP_DIGITS: usize = 20;
const CHANNEL_AT: usize = 33;
const CHANNEL_DIGITS: usize = 5;
const SEQUENCE_AT: usize = 45;
const SEQUENCE_DIGITS: usize = 10;
const HEAD: &str = r#"{"t":"00000000000000000000","c":"00000","n":"0000000000""#;
const FIELDS: [&str; 10] = [
    r#","e":"trade""#,
    r#","E":1723161254024"#,
    r#","s":"BTCUSDT""#,
    r#","p":"61234.56000000""#,
    r#","q":"0.00123000""#,
    r#","m":true"#,
    r#","b":"61234.55000000""#,
    r#","B":"12.40210000""#,
    r#","a":"61234.57000000""#,
    r#","A":"3.88400000""#,
];

/// The smallest payload that holds stamp, channel and sequence.
pub(crate) const PAYLOAD_BYTES_MIN: usize = HEAD.len() + 1;
/// The most channels whose number fits its digits.
pub(crate) const CHANNELS_MAX: u32 = 100_000;

/// What a payload says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamped {
    pub(crate) stamp_ns: u64,
    pub(crate) channel: u32,
    pub(crate) sequence: u64,
}

/// Reads a payload made by [`Lines`]; `None` for anything else.
pub(crate) fn read(payload: &[u8]) -> Option<Stamped> {
    if payload.len() < PAYLOAD_BYTES_MIN || !payload.starts_with(&HEAD.as_bytes()[..STAMP_AT]) {
        return None;
    }
    Some(Stamped {
        stamp_ns: number(&payload[STAMP_AT..STAMP_AT + STAMP_DIGITS])?,
        channel: number(&payload[CHANNEL_AT..CHANNEL_AT + CHANNEL_DIGITS])? as u32,
        sequence: number(&payload[SEQUENCE_AT..SEQUENCE_AT + SEQUENCE_DIGITS])?,
    })
}

/// A channel's name: `s00017@trade`.
pub(crate) fn channel_name(channel: u32, kind: &str) -> String {
    format!("s{channel:0CHANNEL_DIGITS$}@{kind}")
}

/// Bytes of every channel's name.
pub(crate) const fn channel_name_bytes(kind: &str) -> usize {
    1 + CHANNEL_DIGITS + 1 + kind.len()
}

/// A stamp as its 20 digits.
pub(crate) fn stamp_text(stamp_ns: u64) -> [u8; STAMP_DIGITS] {
    let mut text = [0; STAMP_DIGITS];
    write_number(&mut text, stamp_ns);
    text
}

/// Writes records, `<channel> <payload>\n` or however a server wants them, from one template.
pub(crate) struct Lines {
    template: Vec<u8>,
    channel_at: usize,
    payload_at: usize,
}

impl Lines {
    /// Records on channels of `kind` whose payloads have exactly `payload_bytes`, as `append` writes them: it holds
    /// the channel's name and the payload byte for byte, and nothing else in it depends on their numbers.
    ///
    /// `payload_bytes` is at least [`PAYLOAD_BYTES_MIN`] (the arguments see to it).
    pub(crate) fn new(
        kind: &str,
        payload_bytes: usize,
        append: impl FnOnce(&mut Vec<u8>, &str, &[u8]),
    ) -> Self {
        let (name, payload) = (channel_name(0, kind), payload(payload_bytes));
        let mut template = Vec::new();
        append(&mut template, &name, payload.as_bytes());
        let at = |part: &[u8]| template.windows(part.len()).position(|window| window == part).unwrap_or(0);
        let (channel_at, payload_at) = (at(name.as_bytes()) + 1, at(payload.as_bytes()));
        Self { template, channel_at, payload_at }
    }

    /// Bytes of a record as it is written.
    pub(crate) fn line_bytes(&self) -> usize {
        self.template.len()
    }

    /// Appends one record.
    pub(crate) fn append(&self, out: &mut Vec<u8>, stamp: &[u8; STAMP_DIGITS], channel: u32, sequence: u64) {
        let start = out.len();
        out.extend_from_slice(&self.template);
        let line = &mut out[start..];
        write_number(&mut line[self.channel_at..self.channel_at + CHANNEL_DIGITS], u64::from(channel));
        let payload = &mut line[self.payload_at..];
        payload[STAMP_AT..STAMP_AT + STAMP_DIGITS].copy_from_slice(stamp);
        write_number(&mut payload[CHANNEL_AT..CHANNEL_AT + CHANNEL_DIGITS], u64::from(channel));
        write_number(&mut payload[SEQUENCE_AT..SEQUENCE_AT + SEQUENCE_DIGITS], sequence);
    }
}

/// Bytes of such a payload once somebody has parsed it and written it again: all but the spaces that fill it.
pub(crate) fn rewritten_bytes(payload_bytes: usize) -> usize {
    payload(payload_bytes).bytes().filter(|byte| *byte != b' ').count()
}

fn payload(bytes: usize) -> String {
    let mut text = String::from(HEAD);
    for field in FIELDS {
        if text.len() + field.len() < bytes {
            text.push_str(field);
        }
    }
    fill(&mut text, bytes);
    text.push('}');
    text
}

/// Fills up to one byte less than `bytes`: with a string, or with spaces where none fits.
fn fill(text: &mut String, bytes: usize) {
    const FILLER: &str = r#","x":"""#;
    let rest = bytes.saturating_sub(text.len() + 1);
    if rest < FILLER.len() {
        text.extend(std::iter::repeat_n(' ', rest));
        return;
    }
    text.push_str(&FILLER[..FILLER.len() - 1]);
    text.extend(std::iter::repeat_n('7', rest - FILLER.len()));
    text.push('"');
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0u64, |value, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 { None } else { value.checked_mul(10)?.checked_add(u64::from(digit)) }
    })
}

fn write_number(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::Protocol;

    fn line(bytes: usize, stamped: Stamped) -> Vec<u8> {
        record(Protocol::Lines, bytes, stamped)
    }

    fn record(protocol: Protocol, bytes: usize, stamped: Stamped) -> Vec<u8> {
        let mut out = Vec::new();
        let lines = Lines::new("trade", bytes, |out, name, payload| protocol.append(out, name, payload));
        lines.append(&mut out, &stamp_text(stamped.stamp_ns), stamped.channel, stamped.sequence);
        assert_eq!(out.len(), lines.line_bytes());
        out
    }

    #[test]
    fn every_size_is_exact_and_valid_json_that_reads_back() {
        let stamped = Stamped { stamp_ns: 1_234_567_890_123, channel: 17, sequence: 42 };
        for bytes in PAYLOAD_BYTES_MIN..1_200 {
            let line = line(bytes, stamped);
            let payload = &line[b"s00017@trade ".len()..line.len() - 1];
            assert!(line.starts_with(b"s00017@trade "));
            assert_eq!(payload.len(), bytes);
            let value: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
            assert_eq!(value.to_string().len(), rewritten_bytes(bytes), "{bytes}");
            assert_eq!(read(payload), Some(stamped));
        }
    }

    #[test]
    fn every_protocol_names_the_channel_and_holds_the_payload() {
        let stamped = Stamped { stamp_ns: 1, channel: 17, sequence: 42 };
        let line = line(200, stamped);
        for protocol in [Protocol::Nats, Protocol::Mqtt, Protocol::Nchan] {
            let mut expected = Vec::new();
            protocol.append(&mut expected, "s00017@trade", &line[b"s00017@trade ".len()..line.len() - 1]);
            assert_eq!(record(protocol, 200, stamped), expected, "{protocol:?}");
        }
    }

    #[test]
    fn the_largest_numbers_keep_their_width() {
        let stamped = Stamped { stamp_ns: u64::MAX, channel: CHANNELS_MAX - 1, sequence: 9_999_999_999 };
        let line = line(200, stamped);
        assert_eq!(read(&line[b"s00000@trade ".len()..line.len() - 1]), Some(stamped));
    }

    #[test]
    fn answers_and_strangers_are_not_records() {
        assert_eq!(read(br#"{"result":null,"id":1}"#), None);
        assert_eq!(read(&[b' '; 200]), None);
        let mut damaged = payload(200).into_bytes();
        damaged[SEQUENCE_AT] = b'x';
        assert_eq!(read(&damaged), None);
    }

    #[test]
    fn names_have_the_length_that_is_told() {
        assert_eq!(channel_name(17, "bookTicker").len(), channel_name_bytes("bookTicker"));
    }
}
