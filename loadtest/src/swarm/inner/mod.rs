//! Protocols that a server speaks within WebSocket frames, cut into them anywhere.
//!
//! Pure. Must not wait for a frame's end: NATS puts megabytes of messages into one.
//! Invariant: however the bytes are cut, the same is said in the same order.

mod mqtt;
mod nats;

use crate::frame::{self, Frame, Head};
use crate::subscription::Dialect;
use std::io;

/// A longer message is no record of the tools, and no server may make the swarm keep more.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// What a server said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// A control frame of the WebSocket.
    Control(Frame<'a>),
    /// A message's payload.
    Record(&'a [u8]),
    /// It asks whether somebody is here.
    Ping,
    /// The subscription is in force.
    Subscribed,
    Refused(&'a [u8]),
    Other,
}

/// The first message in some bytes, and how many they are; `None` if it is cut.
type First<'a> = io::Result<Option<(Said<'a>, usize)>>;

/// Reads one connection's frames and what they carry.
pub(crate) struct Inner {
    first: fn(&[u8]) -> First<'_>,
    /// Bytes of the data frame begun that are still to come.
    frame_left: usize,
    /// A message that is not whole yet.
    cut: Vec<u8>,
}

impl Inner {
    /// The reader for a dialect; `None` where frames are the messages.
    pub(crate) fn of(dialect: Dialect) -> Option<Self> {
        let first = match dialect {
            Dialect::Nats => nats::first,
            Dialect::Mqtt => mqtt::first,
            Dialect::Binance | Dialect::Combined | Dialect::Native | Dialect::Nchan | Dialect::SocketIo => {
                return None;
            }
        };
        Some(Self { first, frame_left: 0, cut: Vec::new() })
    }

    /// Whether nothing has begun that is not whole, neither a frame nor a message.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.frame_left == 0 && self.cut.is_empty()
    }

    /// Takes what can be taken of `bytes` and returns how many those are; the rest, a cut head or a cut control
    /// frame, is to be handed in again with what follows.
    pub(crate) fn take(
        &mut self,
        bytes: &[u8],
        mut visit: impl FnMut(Said<'_>) -> io::Result<()>,
    ) -> io::Result<usize> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            if self.frame_left > 0 && !rest.is_empty() {
                let piece = &rest[..rest.len().min(self.frame_left)];
                self.frame_left -= piece.len();
                taken += piece.len();
                self.messages(piece, &mut visit)?;
                continue;
            }
            let head = frame::head(rest).map_err(|error| super::connection::bad_frame(&error))?;
            let Some(Head { opcode, head_bytes, payload_bytes }) = head else { return Ok(taken) };
            if matches!(opcode, frame::TEXT | frame::BINARY) {
                self.frame_left = payload_bytes;
                taken += head_bytes;
                continue;
            }
            let wire_bytes = head_bytes + payload_bytes;
            let Some(payload) = rest.get(head_bytes..wire_bytes) else { return Ok(taken) };
            visit(Said::Control(Frame { opcode, payload, wire_bytes }))?;
            taken += wire_bytes;
        }
    }

    /// Takes a piece of the stream within the frames. It is copied only where a message is cut.
    fn messages(
        &mut self,
        piece: &[u8],
        visit: &mut impl FnMut(Said<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.cut.is_empty() {
            let taken = walk(self.first, piece, visit)?;
            self.cut.extend_from_slice(&piece[taken..]);
        } else {
            self.cut.extend_from_slice(piece);
            let taken = walk(self.first, &self.cut, visit)?;
            self.cut.drain(..taken);
        }
        if self.cut.len() > MESSAGE_BYTES_MAX {
            return Err(io::Error::other("the server sent a message without end"));
        }
        Ok(())
    }
}

fn walk(
    first: fn(&[u8]) -> First<'_>,
    bytes: &[u8],
    visit: &mut impl FnMut(Said<'_>) -> io::Result<()>,
) -> io::Result<usize> {
    let mut taken = 0;
    while let Some((said, message_bytes)) = first(&bytes[taken..])? {
        visit(said)?;
        taken += message_bytes;
    }
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All that is said when `wire` comes in parts of the sizes `cuts`, again and again.
    fn heard(dialect: Dialect, wire: &[u8], cuts: &[usize]) -> Vec<String> {
        let mut inner = Inner::of(dialect).expect("it has a protocol of its own");
        let (mut said, mut carry, mut at) = (Vec::new(), Vec::new(), 0);
        for cut in cuts.iter().cycle() {
            let end = wire.len().min(at + cut);
            carry.extend_from_slice(&wire[at..end]);
            let taken = inner.take(&carry, |what| {
                said.push(format!("{what:?}"));
                Ok(())
            });
            carry.drain(..taken.expect("well formed"));
            assert!(carry.len() < 140, "only heads and control frames are left behind");
            at = end;
            if at == wire.len() {
                break;
            }
        }
        assert!(inner.is_between_frames() && carry.is_empty());
        said
    }

    /// `stream` in frames of the sizes `frames`, a ping of the WebSocket's behind each.
    fn framed(stream: &[u8], frames: &[usize]) -> Vec<u8> {
        let (mut wire, mut rest) = (Vec::new(), stream);
        for size in frames.iter().cycle() {
            let (frame, after) = rest.split_at(rest.len().min(*size));
            frame::append_server(&mut wire, frame::BINARY, frame);
            frame::append_server(&mut wire, frame::PING, b"here?");
            rest = after;
            if rest.is_empty() {
                return wire;
            }
        }
        wire
    }

    fn messages(said: Vec<String>) -> Vec<String> {
        said.into_iter().filter(|what| !what.starts_with("Control")).collect()
    }

    const NATS: &[u8] = b"INFO {\"max_payload\":1048576}\r\nPONG\r\nMSG a@trade 1 3\r\nx\r\n\r\nPING\r\n\
        MSG b@trade 12 0\r\n\r\n+OK\r\n-ERR 'Slow Consumer'\r\nMSG a@trade 1 12\r\nMSG a b 1\r\nx\r\n";
    const MQTT: &[u8] =
        b"\x20\x02\x00\x00\x90\x04\x00\x01\x00\x00\x30\x08\x00\x03a/bxyz\x30\x05\x00\x03a/b\xd0\x00";

    fn nats_said() -> Vec<String> {
        let all = [
            Said::Other,
            Said::Subscribed,
            Said::Record(b"x\r\n"),
            Said::Ping,
            Said::Record(b""),
            Said::Other,
            Said::Refused(b"-ERR 'Slow Consumer'"),
            Said::Record(b"MSG a b 1\r\nx"),
        ];
        all.iter().map(|said| format!("{said:?}")).collect()
    }

    fn mqtt_said() -> Vec<String> {
        let all = [Said::Other, Said::Subscribed, Said::Record(b"xyz"), Said::Record(b""), Said::Other];
        all.iter().map(|said| format!("{said:?}")).collect()
    }

    #[test]
    fn streams_cut_in_two_at_every_place_say_the_same() {
        for (dialect, stream, said) in
            [(Dialect::Nats, NATS, nats_said()), (Dialect::Mqtt, MQTT, mqtt_said())]
        {
            for at in 1..stream.len() {
                let wire = framed(stream, &[at, stream.len() - at]);
                assert_eq!(messages(heard(dialect, &wire, &[wire.len()])), said, "frame cut at {at}");
            }
            let wire = framed(stream, &[stream.len()]);
            for at in 1..wire.len() {
                assert_eq!(messages(heard(dialect, &wire, &[at, wire.len() - at])), said, "read cut at {at}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn streams_cut_anywhere_say_the_same(
            frames in prop::collection::vec(1usize..60, 1..8),
            cuts in prop::collection::vec(1usize..80, 1..8),
            rounds in 1usize..30,
        ) {
            for (dialect, stream, said) in [(Dialect::Nats, NATS, nats_said()), (Dialect::Mqtt, MQTT, mqtt_said())] {
                let wire = framed(&stream.repeat(rounds), &frames);
                let heard = heard(dialect, &wire, &cuts);
                let pings = heard.iter().filter(|what| what.starts_with("Control")).count();
                prop_assert!(pings > 0);
                prop_assert_eq!(messages(heard), vec![said; rounds].concat());
            }
        }
    }

    #[test]
    fn a_message_without_end_is_an_error() {
        let mut inner = Inner::of(Dialect::Nats).expect("it has a protocol of its own");
        let wire = framed(&vec![b'x'; MESSAGE_BYTES_MAX + 2], &[MESSAGE_BYTES_MAX + 2]);
        assert!(inner.take(&wire, |_| Ok(())).is_err());
    }
}
