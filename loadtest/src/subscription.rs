//! What a subscriber says to a server: its request, its subscription, and how it knows the answer.
//!
//! Pure. Must not decode JSON: an answer is known by a few bytes that a record cannot hold.
//! Invariant: the same seed gives the same channels to the same subscriber.

use crate::{frame, payload};
use clap::ValueEnum;
use fastrand::Rng;

/// How the server frames records; what the tools speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// Payloads alone, over `/ws`
    Binance,
    /// Payloads under their stream's name, over `/stream`
    Combined,
    /// Tapecast's own, over `/v1/ws`
    Native,
    /// Socket.IO's events over Engine.IO 4, by WebSocket from the start. Its pings are text frames and are not
    /// answered: a server for this dialect is one that sends none during a run
    SocketIo,
}

/// What a text frame that is no record means to a subscriber who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// What [`Dialect::greeting`] said was taken: now is the time to subscribe.
    Welcome,
    Subscribed,
    Refused,
    Other,
}

impl Dialect {
    /// Bytes after the payload in a record's frame.
    pub(crate) fn tail_bytes(self) -> usize {
        match self {
            Self::Binance => 0,
            Self::Combined | Self::Native | Self::SocketIo => 1,
        }
    }

    /// Bytes of a payload of `payload_bytes` as it arrives.
    pub(crate) fn carried_bytes(self, payload_bytes: usize) -> usize {
        match self {
            // The server parses a payload and writes it again.
            Self::SocketIo => payload::rewritten_bytes(payload_bytes),
            Self::Binance | Self::Combined | Self::Native => payload_bytes,
        }
    }

    /// Bytes on the wire of every record's frame; `None` where its numbers change the length.
    pub(crate) fn record_wire_bytes(self, kind: &str, payload_bytes: usize) -> Option<usize> {
        let text = match self {
            Self::Binance => payload_bytes,
            Self::Combined => {
                r#"{"stream":"","data":}"#.len() + payload::channel_name_bytes(kind) + payload_bytes
            }
            Self::Native => return None,
            Self::SocketIo => r#"42["record",]"#.len() + self.carried_bytes(payload_bytes),
        };
        Some(frame::head_bytes(text) + text)
    }

    /// The upgrade request; with `by_url` it names the channels as well.
    pub(crate) fn request(self, host: &str, by_url: Option<&[String]>) -> String {
        let names = by_url.map(|names| names.join("/"));
        let path = match (self, names) {
            (Self::Binance, Some(names)) => format!("/ws/{names}"),
            (Self::Binance, None) => "/ws".to_owned(),
            (Self::Combined, Some(names)) => format!("/stream?streams={names}"),
            (Self::Combined, None) => "/stream".to_owned(),
            (Self::Native, _) => "/v1/ws".to_owned(),
            (Self::SocketIo, _) => "/socket.io/?EIO=4&transport=websocket".to_owned(),
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
    }

    /// What is said once upgraded, before a subscription may be.
    pub(crate) fn greeting(self) -> Option<&'static str> {
        match self {
            // Engine.IO's message, holding Socket.IO's CONNECT to the default namespace.
            Self::SocketIo => Some("40"),
            Self::Binance | Self::Combined | Self::Native => None,
        }
    }

    /// The message that subscribes to `names`.
    pub(crate) fn subscribe(self, names: &[String]) -> String {
        let names = names.join("\",\"");
        match self {
            Self::Binance | Self::Combined => {
                format!(r#"{{"method":"SUBSCRIBE","params":["{names}"],"id":1}}"#)
            }
            Self::Native => format!(r#"{{"op":"subscribe","id":1,"channels":["{names}"],"snapshot":false}}"#),
            // An event that asks for an acknowledgement, number 0.
            Self::SocketIo => format!(r#"420["subscribe",["{names}"]]"#),
        }
    }

    /// What a text frame says to a subscriber who waits for its answer.
    pub(crate) fn answer(self, text: &[u8]) -> Answer {
        let (yes, no): (&[u8], &[u8]) = match self {
            Self::Binance | Self::Combined => (br#""result":null"#, br#"{"error""#),
            Self::Native => (br#"{"op":"ack""#, br#"{"op":"error""#),
            Self::SocketIo => return socket_io_answer(text),
        };
        match text {
            text if contains(text, no) => Answer::Refused,
            text if contains(text, yes) => Answer::Subscribed,
            _ => Answer::Other,
        }
    }
}

/// Told apart by packet types: CONNECT, DISCONNECT, ACK and CONNECT_ERROR, each in a message of Engine.IO.
fn socket_io_answer(text: &[u8]) -> Answer {
    match text {
        [b'4', b'0', ..] => Answer::Welcome,
        [b'4', b'1' | b'4', ..] => Answer::Refused,
        [b'4', b'3', ..] => Answer::Subscribed,
        _ => Answer::Other,
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// `each` different channels of `0..of`, at random.
pub(crate) fn subset(random: &mut Rng, each: u32, of: u32) -> Vec<u32> {
    let mut channels = random.choose_multiple(0..of, each as usize);
    channels.sort_unstable();
    channels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_the_channels() {
        let draw = |seed| subset(&mut Rng::with_seed(seed), 20, 200);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mut distinct = draw(1);
        distinct.dedup();
        assert_eq!(distinct.len(), 20);
        assert!(distinct.iter().all(|channel| *channel < 200));
    }

    #[test]
    fn record_frames_have_the_size_that_is_told() {
        let mut wire = Vec::new();
        let data = "7".repeat(200);
        let text = format!(r#"{{"stream":"{}","data":{data}}}"#, payload::channel_name(3, "trade"));
        frame::append_server(&mut wire, frame::TEXT, text.as_bytes());
        assert_eq!(Dialect::Combined.record_wire_bytes("trade", 200), Some(wire.len()));
        assert_eq!(Dialect::Binance.record_wire_bytes("trade", 200), Some(204));
        assert_eq!(Dialect::Binance.record_wire_bytes("trade", 100), Some(102));
        wire.clear();
        frame::append_server(&mut wire, frame::TEXT, format!(r#"42["record",{data}]"#).as_bytes());
        assert_eq!(Dialect::SocketIo.record_wire_bytes("trade", 200), Some(wire.len()));
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(Dialect::Binance.answer(br#"{"result":null,"id":1}"#), Answer::Subscribed);
        assert_eq!(Dialect::Combined.answer(br#"{"error":{"code":2,"msg":"x"},"id":1}"#), Answer::Refused);
        assert_eq!(Dialect::Native.answer(br#"{"op":"hello","epoch":"e"}"#), Answer::Other);
        assert_eq!(Dialect::Native.answer(br#"{"op":"ack","id":1,"channels":[]}"#), Answer::Subscribed);
        assert_eq!(Dialect::Native.answer(br#"{"op":"error","id":1,"code":"x"}"#), Answer::Refused);
        assert_eq!(Dialect::SocketIo.answer(br#"0{"sid":"a","pingInterval":1}"#), Answer::Other);
        assert_eq!(Dialect::SocketIo.answer(br#"40{"sid":"b"}"#), Answer::Welcome);
        assert_eq!(Dialect::SocketIo.answer(br#"44{"message":"no"}"#), Answer::Refused);
        assert_eq!(Dialect::SocketIo.answer(b"430[]"), Answer::Subscribed);
    }

    #[test]
    fn urls_and_messages_name_the_channels() {
        let names = ["a@trade".to_owned(), "b@trade".to_owned()];
        assert!(
            Dialect::Combined
                .request("h", Some(&names))
                .starts_with("GET /stream?streams=a@trade/b@trade HTTP")
        );
        assert!(Dialect::Binance.request("h", None).starts_with("GET /ws HTTP"));
        assert_eq!(
            Dialect::Binance.subscribe(&names),
            r#"{"method":"SUBSCRIBE","params":["a@trade","b@trade"],"id":1}"#
        );
    }
}
