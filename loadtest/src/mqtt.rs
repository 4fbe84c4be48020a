//! Packets of MQTT 3.1.1, as far as a publisher and a subscriber of the tools need them.
//!
//! Pure. Must not know a socket or a frame. Invariant: what is written is whole packets of quality of
//! service 0, which carry no number, so a topic and a payload of constant size make a packet of constant size.

/// First bytes of the packets that are written and read: type and flags (section 2.2).
pub(crate) const CONNECT: u8 = 0x10;
pub(crate) const CONNACK: u8 = 0x20;
pub(crate) const PUBLISH: u8 = 0x30;
pub(crate) const SUBSCRIBE: u8 = 0x82;
pub(crate) const SUBACK: u8 = 0x90;
pub(crate) const PINGRESP: u8 = 0xD0;

/// A whole PINGREQ.
pub(crate) const PING: &[u8] = &[0xC0, 0];

/// Bytes that say the length of the rest of a packet, at most (section 2.2.3).
const LENGTH_BYTES_MAX: usize = 4;
const CLEAN_SESSION: u8 = 0x02;
const LEVEL: u8 = 4;

/// Appends a CONNECT: a clean session without a name and without a keep-alive, so that silence is allowed.
pub(crate) fn append_connect(out: &mut Vec<u8>) {
    let keep_alive_s = [0, 0];
    let body = [&text("MQTT")[..], &[LEVEL, CLEAN_SESSION], &keep_alive_s, &text("")].concat();
    append(out, CONNECT, &[&body]);
}

/// Appends one SUBSCRIBE to all of `topics`, at quality of service 0.
pub(crate) fn append_subscribe(out: &mut Vec<u8>, topics: &[String]) {
    let mut body = 1u16.to_be_bytes().to_vec();
    for topic in topics {
        body.extend_from_slice(&text(topic));
        body.push(0);
    }
    append(out, SUBSCRIBE, &[&body]);
}

/// Appends a PUBLISH of `payload` on `topic`.
pub(crate) fn append_publish(out: &mut Vec<u8>, topic: &str, payload: &[u8]) {
    append(out, PUBLISH, &[&text(topic), payload]);
}

/// Bytes of a PUBLISH.
pub(crate) fn publish_bytes(topic_bytes: usize, payload_bytes: usize) -> usize {
    let rest = 2 + topic_bytes + payload_bytes;
    1 + length(rest).len() + rest
}

/// The payload of a PUBLISH, from what follows its length; `None` if the topic is cut.
pub(crate) fn payload(rest: &[u8]) -> Option<&[u8]> {
    let topic_bytes = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
    rest.get(2 + topic_bytes..)
}

/// One packet at the front of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum First<'a> {
    /// Its first byte, what follows its length, and all its bytes.
    Whole {
        start: u8,
        rest: &'a [u8],
        bytes: usize,
    },
    Cut,
    /// Its length goes on for more bytes than a length may have.
    Bad,
}

/// Looks at the first packet in `bytes`.
pub(crate) fn first(bytes: &[u8]) -> First<'_> {
    let Some((start, after)) = bytes.split_first() else { return First::Cut };
    let mut rest_bytes = 0;
    for (at, byte) in after.iter().take(LENGTH_BYTES_MAX).enumerate() {
        rest_bytes |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            let whole = after.get(at + 1..at + 1 + rest_bytes);
            return whole.map_or(First::Cut, |rest| First::Whole {
                start: *start,
                rest,
                bytes: 2 + at + rest_bytes,
            });
        }
    }
    if after.len() < LENGTH_BYTES_MAX { First::Cut } else { First::Bad }
}

fn append(out: &mut Vec<u8>, start: u8, parts: &[&[u8]]) {
    out.push(start);
    out.extend_from_slice(&length(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Seven bits a byte, the lowest first.
fn length(mut rest: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(LENGTH_BYTES_MAX);
    loop {
        let more = if rest >= 0x80 { 0x80 } else { 0 };
        bytes.push((rest & 0x7F) as u8 | more);
        rest >>= 7;
        if rest == 0 {
            return bytes;
        }
    }
}

/// A string with its length in front; the tools' names are shorter than 64 KiB.
fn text(content: &str) -> Vec<u8> {
    [&(content.len() as u16).to_be_bytes()[..], content.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_those_of_the_specification() {
        let mut out = Vec::new();
        append_connect(&mut out);
        assert_eq!(out, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00");
        out.clear();
        append_subscribe(&mut out, &["a/b".to_owned(), "c/d".to_owned()]);
        assert_eq!(out, b"\x82\x0e\x00\x01\x00\x03a/b\x00\x00\x03c/d\x00");
        out.clear();
        append_publish(&mut out, "a/b", b"xyz");
        assert_eq!(out, b"\x30\x08\x00\x03a/bxyz");
    }

    #[test]
    fn publishes_of_every_length_read_back_and_have_the_size_that_is_told() {
        for payload_bytes in [0, 1, 110, 120, 121, 122, 123, 200, 16_376, 16_377, 16_378, 16_379, 2_097_152] {
            let (mut packet, content) = (Vec::new(), vec![b'7'; payload_bytes]);
            append_publish(&mut packet, "a/b", &content);
            assert_eq!(packet.len(), publish_bytes(3, payload_bytes));
            let First::Whole { start, rest, bytes } = first(&packet) else { panic!("{payload_bytes}") };
            assert_eq!((start, bytes), (PUBLISH, packet.len()));
            assert_eq!(payload(rest), Some(&content[..]));
            assert_eq!(first(&packet[..packet.len() - 1]), First::Cut);
        }
    }

    #[test]
    fn a_length_without_end_is_bad_and_a_cut_one_is_cut() {
        assert_eq!(first(&[]), First::Cut);
        assert_eq!(first(&[0x30, 0x80, 0x80]), First::Cut);
        assert_eq!(first(&[0x30, 0x80, 0x80, 0x80, 0x80]), First::Bad);
        assert_eq!(payload(&[0, 9, b'a']), None);
    }
}
