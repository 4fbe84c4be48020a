//! What a subscriber says to a server: its request, its subscription, and how it knows the answer.
//!
//! Pure. Must not decode JSON: an answer is known by a few bytes that a record cannot hold.
//! Invariant: the same seed gives the same channels to the same subscriber.

use crate::{frame, mqtt, payload};
use clap::ValueEnum;
use fastrand::Rng;
use memchr::memmem;
use std::io;

/// How the server frames records; what the tools speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dialect {
    /// Payloads alone, over `/ws`
    Binance,
    /// Payloads under their stream's name, over `/stream`
    Combined,
    /// Tapecast's own, over `/v1/ws`
    Native,
    /// nchan's: payloads alone, the channels in the URL
    Nchan,
    /// NATS, whose protocol's bytes are cut into frames anywhere
    Nats,
    /// MQTT 3.1.1, whose packets are cut into frames anywhere
    Mqtt,
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
            Self::Binance | Self::Nchan | Self::Nats | Self::Mqtt => 0,
            Self::Combined | Self::Native | Self::SocketIo => 1,
        }
    }

    /// Bytes of a payload of `payload_bytes` as it arrives.
    pub(crate) fn carried_bytes(self, payload_bytes: usize) -> usize {
        match self {
            // The server parses a payload and writes it again.
            Self::SocketIo => payload::rewritten_bytes(payload_bytes),
            Self::Binance | Self::Combined | Self::Native | Self::Nchan | Self::Nats | Self::Mqtt => {
                payload_bytes
            }
        }
    }

    /// Bytes on the wire of every record's frame; `None` where its numbers change the length, or a frame
    /// may hold several.
    pub(crate) fn record_wire_bytes(self, kind: &str, payload_bytes: usize) -> Option<usize> {
        let text = match self {
            Self::Binance | Self::Nchan => payload_bytes,
            Self::Combined => {
                r#"{"stream":"","data":}"#.len() + payload::channel_name_bytes(kind) + payload_bytes
            }
            // Mosquitto gives each packet a frame of its own.
            Self::Mqtt => mqtt::publish_bytes(payload::channel_name_bytes(kind), payload_bytes),
            Self::SocketIo => r#"42["record",]"#.len() + self.carried_bytes(payload_bytes),
            Self::Native | Self::Nats => return None,
        };
        Some(frame::head_bytes(text) + text)
    }

    /// Whether the channels can be named in the URL only.
    pub(crate) fn is_by_url(self) -> bool {
        self == Self::Nchan
    }

    /// The upgrade request; with `by_url` it names the channels as well.
    pub(crate) fn request(self, host: &str, by_url: Option<&[String]>) -> String {
        let separator = if self == Self::Nchan { "," } else { "/" };
        let names = by_url.map(|names| names.join(separator));
        let path = match (self, names) {
            (Self::Binance, Some(names)) => format!("/ws/{names}"),
            (Self::Binance, None) => "/ws".to_owned(),
            (Self::Combined, Some(names)) => format!("/stream?streams={names}"),
            (Self::Combined, None) => "/stream".to_owned(),
            (Self::Native, _) => "/v1/ws".to_owned(),
            (Self::Nchan, names) => format!("/sub/{}", names.unwrap_or_default()),
            (Self::Nats | Self::Mqtt, _) => "/".to_owned(),
            (Self::SocketIo, _) => "/socket.io/?EIO=4&transport=websocket".to_owned(),
        };
        let protocol = if self == Self::Mqtt { "Sec-WebSocket-Protocol: mqtt\r\n" } else { "" };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{protocol}\r\n"
        )
    }

    /// What is said once upgraded, before a subscription may be.
    pub(crate) fn greeting(self) -> Option<&'static str> {
        // Engine.IO's message, holding Socket.IO's CONNECT to the default namespace.
        (self == Self::SocketIo).then_some("40")
    }

    /// The frame that subscribes to `names`, masked; empty where the URL said it.
    pub(crate) fn subscribe(self, names: &[String]) -> Vec<u8> {
        let text = names.join("\",\"");
        let (opcode, message) = match self {
            Self::Binance | Self::Combined => {
                (frame::TEXT, format!(r#"{{"method":"SUBSCRIBE","params":["{text}"],"id":1}}"#).into_bytes())
            }
            Self::Native => {
                let text = format!(r#"{{"op":"subscribe","id":1,"channels":["{text}"],"snapshot":false}}"#);
                (frame::TEXT, text.into_bytes())
            }
            // An event that asks for an acknowledgement, number 0.
            Self::SocketIo => (frame::TEXT, format!(r#"420["subscribe",["{text}"]]"#).into_bytes()),
            Self::Nats => (frame::BINARY, nats_subscribe(names).into_bytes()),
            Self::Mqtt => (frame::BINARY, mqtt_subscribe(names)),
            Self::Nchan => return Vec::new(),
        };
        let mut wire = Vec::new();
        frame::append_client(&mut wire, opcode, &message);
        wire
    }

    /// What a text frame says to a subscriber who waits for its answer.
    pub(crate) fn answer(self, text: &[u8]) -> Answer {
        let (yes, no): (&[u8], &[u8]) = match self {
            Self::Binance | Self::Combined => (br#""result":null"#, br#"{"error""#),
            Self::Native => (br#"{"op":"ack""#, br#"{"op":"error""#),
            Self::Nchan | Self::Nats | Self::Mqtt => return Answer::Other,
            Self::SocketIo => return socket_io_answer(text),
        };
        match text {
            text if contains(text, no) => Answer::Refused,
            text if contains(text, yes) => Answer::Subscribed,
            _ => Answer::Other,
        }
    }
}

/// The answer to an upgrade at the front of `bytes`: how many those are; `None` if it is cut. An error: it was refused.
pub(crate) fn upgraded(bytes: &[u8]) -> io::Result<Option<usize>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(at) = memmem::find(bytes, END) else { return Ok(None) };
    if bytes.starts_with(b"HTTP/1.1 101") {
        return Ok(Some(at + END.len()));
    }
    let status = String::from_utf8_lossy(&bytes[..at]);
    let status = status.lines().next().unwrap_or_default();
    Err(io::Error::other(format!("the server refused the upgrade: {status}")))
}

/// CONNECT, a SUB a channel, and a ping whose answer says that all of them were taken.
fn nats_subscribe(names: &[String]) -> String {
    let mut message = String::from("CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
    for (index, name) in names.iter().enumerate() {
        message.push_str(&format!("SUB {name} {}\r\n", index + 1));
    }
    message + "PING\r\n"
}

fn mqtt_subscribe(names: &[String]) -> Vec<u8> {
    let mut packets = Vec::new();
    mqtt::append_connect(&mut packets);
    mqtt::append_subscribe(&mut packets, names);
    packets
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
        let mut packet = Vec::new();
        mqtt::append_publish(&mut packet, &payload::channel_name(3, "trade"), data.as_bytes());
        wire.clear();
        frame::append_server(&mut wire, frame::BINARY, &packet);
        assert_eq!(Dialect::Mqtt.record_wire_bytes("trade", 200), Some(wire.len()));
        wire.clear();
        frame::append_server(&mut wire, frame::TEXT, format!(r#"42["record",{data}]"#).as_bytes());
        assert_eq!(Dialect::SocketIo.record_wire_bytes("trade", 200), Some(wire.len()));
    }

    #[test]
    fn an_upgrade_is_answered_or_refused() {
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nA: b\r\n\r\n\x81";
        assert_eq!(upgraded(answer).ok(), Some(Some(answer.len() - 1)));
        assert_eq!(upgraded(&answer[..answer.len() - 2]).ok(), Some(None));
        let refused = upgraded(b"HTTP/1.1 414 Too Long\r\n\r\n").expect_err("refused").to_string();
        assert_eq!(refused, "the server refused the upgrade: HTTP/1.1 414 Too Long");
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
        assert!(Dialect::Nchan.request("h", Some(&names)).starts_with("GET /sub/a@trade,b@trade HTTP"));
        assert!(Dialect::Mqtt.request("h", None).ends_with("Sec-WebSocket-Protocol: mqtt\r\n\r\n"));
        let said = |dialect: Dialect| {
            let (opcode, message, _) = frame::take_client(&dialect.subscribe(&names)).expect("a whole frame");
            (opcode, String::from_utf8(message).expect("text"))
        };
        assert_eq!(
            said(Dialect::Binance),
            (frame::TEXT, r#"{"method":"SUBSCRIBE","params":["a@trade","b@trade"],"id":1}"#.to_owned())
        );
        let (opcode, message) = said(Dialect::Nats);
        assert_eq!(opcode, frame::BINARY);
        assert!(message.ends_with("}\r\nSUB a@trade 1\r\nSUB b@trade 2\r\nPING\r\n"), "{message}");
        assert!(Dialect::Nchan.subscribe(&names).is_empty(), "its URL said it");
    }
}
