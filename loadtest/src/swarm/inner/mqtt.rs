//! MQTT, as a subscriber at quality of service 0 hears it.
//!
//! Pure. Must not look into a payload. Invariant: what is taken is whole packets.

use super::{First, Said};
use crate::mqtt;
use std::io;

/// A SUBACK's code for a topic that was refused.
const TOPIC_REFUSED: u8 = 0x80;

/// The first packet in `bytes`.
pub(super) fn first(bytes: &[u8]) -> First<'_> {
    match mqtt::first(bytes) {
        mqtt::First::Whole { start, rest, bytes } => Ok(Some((said(start, rest)?, bytes))),
        mqtt::First::Cut => Ok(None),
        mqtt::First::Bad => Err(io::Error::other("not a packet of MQTT")),
    }
}

fn said(start: u8, rest: &[u8]) -> io::Result<Said<'_>> {
    let said = match start {
        mqtt::PUBLISH => mqtt::payload(rest).map(Said::Record),
        mqtt::CONNACK if rest == [0, 0] => Some(Said::Other),
        mqtt::CONNACK => Some(Said::Refused(b"CONNACK")),
        mqtt::SUBACK => rest.get(2..).map(|codes| match codes.contains(&TOPIC_REFUSED) {
            true => Said::Refused(b"SUBACK"),
            false => Said::Subscribed,
        }),
        _ => Some(Said::Other),
    };
    said.ok_or_else(|| io::Error::other("a packet of MQTT is shorter than it can be"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_heard() {
        let said = |bytes| first(bytes).ok().flatten().map(|(said, _)| said);
        assert_eq!(said(b"\x20\x02\x00\x05"), Some(Said::Refused(b"CONNACK")));
        assert_eq!(said(b"\x90\x04\x00\x01\x00\x80"), Some(Said::Refused(b"SUBACK")));
        assert!(first(b"\x30\x02\x00\x05").is_err(), "a topic longer than its packet");
    }
}
