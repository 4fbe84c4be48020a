//! Tapecast's own dialect: `GET /v1/ws`.
//!
//! Pure; `open` on the front's thread, the rest on the shard's. Patterns, `every_ms` and `resume` are refused here by
//! name. Invariant: a request with an id is answered once, with the id as it came.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::names::{decode, distinct, values};
use super::{
    Command, Dialect, Farewell, Fault, FaultCode, Hello, Joined, Opening, Outcome, Rejected, Request,
    RequestId, Shape, Subscribe, Wanted, json,
};
use crate::channel::ChannelName;

/// The dialect.
pub(super) struct Native;

impl Dialect for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn open(&self, path: &str, query: Option<&str>) -> Option<Result<Opening, String>> {
        (path == "/v1/ws").then(|| open(query.unwrap_or("")))
    }

    fn greet(&self, hello: &Hello<'_>, out: &mut Vec<u8>) {
        let limits = Limits { channels: hello.channels_max, message_bytes: hello.message_bytes_max };
        let greeting = Greeting {
            op: "hello",
            epoch: hello.epoch,
            version: env!("CARGO_PKG_VERSION"),
            heartbeat_ms: hello.heartbeat_ms,
            limits,
        };
        json::push(&greeting, out);
    }

    fn read(&self, message: &[u8]) -> Result<Request, Rejected> {
        let read: Message<'_> = json::parse(message).map_err(|fault| Rejected {
            id: RequestId(json::salvage_id(message).and_then(|id| read_id(id).ok())),
            fault,
        })?;
        let id = match read.id.map(read_id).transpose() {
            Ok(id) => RequestId(id),
            Err(fault) => return Err(Rejected { id: RequestId(None), fault }),
        };
        match read.command() {
            Ok(command) => Ok(Request { id, command }),
            Err(fault) => Err(Rejected { id, fault }),
        }
    }

    fn answer(&self, id: &RequestId, outcome: &Outcome<'_>, out: &mut Vec<u8>) {
        match outcome {
            Outcome::Subscribed(_) | Outcome::Unsubscribed(..) if id.0.is_none() => {}
            Outcome::Subscribed(subscribed) => {
                open_answer("ack", id, out);
                out.extend_from_slice(br#","channels":"#);
                json::push_array(subscribed.channels, out, push_joined);
                out.push(b'}');
            }
            Outcome::Unsubscribed(names, _) => {
                open_answer("ack", id, out);
                out.extend_from_slice(br#","channels":"#);
                json::push_array(*names, out, push_left);
                out.push(b'}');
            }
            Outcome::Listed(names) => {
                open_answer("list", id, out);
                out.extend_from_slice(br#","channels":"#);
                json::push_array(*names, out, |name, out| json::push(*name, out));
                out.push(b'}');
            }
            Outcome::Pong => {
                open_answer("pong", id, out);
                out.push(b'}');
            }
            Outcome::Refused(fault) => push_error(id, fault, out),
            // No command of this dialect asks for a shape.
            Outcome::ShapeSet | Outcome::ShapeIs(_) => {}
        }
    }

    fn farewell(&self, farewell: &Farewell, out: &mut Vec<u8>) {
        let (soonest, latest) = farewell.reconnect_ms;
        let word = Word { op: "shutdown", in_ms: farewell.in_ms, reconnect_ms: [soonest, latest] };
        json::push(&word, out);
    }
}

#[derive(Serialize)]
struct Greeting<'a> {
    op: &'static str,
    epoch: &'a str,
    version: &'static str,
    heartbeat_ms: u64,
    limits: Limits,
}

#[derive(Serialize)]
struct Word {
    op: &'static str,
    in_ms: u64,
    reconnect_ms: [u64; 2],
}

#[derive(Serialize)]
struct Limits {
    channels: usize,
    message_bytes: usize,
}

fn open(query: &str) -> Result<Opening, String> {
    let mut channels = Vec::new();
    for list in values(query, "channels") {
        let list = decode(list).ok_or("channels: not UTF-8")?;
        for name in list.split(',').filter(|name| !name.is_empty()) {
            channels.push(read_channel(name).map_err(|fault| format!("channels: {}", fault.text))?);
        }
    }
    let channels = distinct(channels).into_iter().map(Wanted::from).collect();
    let subscribe = Subscribe { channels, snapshot: true, ..Subscribe::default() };
    Ok(Opening { dialect: &Native, shape: Shape::Native, subscribe })
}

#[derive(Deserialize)]
struct Message<'a> {
    op: Op,
    #[serde(borrow, default, deserialize_with = "json::present")]
    id: Option<&'a RawValue>,
    channels: Option<Vec<String>>,
    snapshot: Option<bool>,
    every_ms: Option<u64>,
    resume: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Op {
    Subscribe,
    Unsubscribe,
    List,
    Ping,
}

impl Message<'_> {
    fn command(&self) -> Result<Command, Fault> {
        match self.op {
            Op::Subscribe => self.subscribe(),
            Op::Unsubscribe => {
                Ok(Command::Unsubscribe { channels: self.read_channels()?, patterns: Vec::new() })
            }
            Op::List => Ok(Command::List),
            Op::Ping => Ok(Command::Ping),
        }
    }

    fn subscribe(&self) -> Result<Command, Fault> {
        if self.every_ms.is_some_and(|every_ms| every_ms > 0) {
            return Err(not_supported("every_ms is not supported yet: leave it out, or send 0"));
        }
        if self.resume.is_some() {
            return Err(not_supported("resume is not supported yet: leave it out"));
        }
        let channels = self.read_channels()?.into_iter().map(Wanted::from).collect();
        let snapshot = self.snapshot.unwrap_or(true);
        Ok(Command::Subscribe(Subscribe { channels, snapshot, ..Subscribe::default() }))
    }

    fn read_channels(&self) -> Result<Vec<ChannelName>, Fault> {
        let Some(names) = &self.channels else {
            return Err(Fault::new(FaultCode::InvalidRequest, "missing field `channels`"));
        };
        let channels: Result<Vec<_>, _> = names.iter().map(|name| read_channel(name)).collect();
        channels.map(distinct)
    }
}

fn read_channel(name: &str) -> Result<ChannelName, Fault> {
    if name.contains('*') {
        return Err(not_supported(&format!("patterns are not supported yet: {name:?}")));
    }
    ChannelName::parse(name).map_err(|why| Fault::new(FaultCode::InvalidChannel, format!("{why}: {name:?}")))
}

/// An id as it came.
fn read_id(raw: &RawValue) -> Result<Box<str>, Fault> {
    if json::is_integer(raw) || json::is_string(raw) {
        return Ok(raw.get().into());
    }
    Err(Fault::new(FaultCode::InvalidRequest, "id must be an integer or a string"))
}

fn not_supported(text: &str) -> Fault {
    Fault::new(FaultCode::InvalidRequest, text)
}

/// Appends an answer as far as its id.
fn open_answer(op: &str, id: &RequestId, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"op":"#);
    json::push(op, out);
    if let Some(id) = &id.0 {
        out.extend_from_slice(br#","id":"#);
        out.extend_from_slice(id.as_bytes());
    }
}

fn push_joined(joined: &Joined<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"channel":"#);
    json::push(joined.channel, out);
    out.extend_from_slice(br#","seq":"#);
    json::push(&joined.sequence, out);
    out.push(b'}');
}

fn push_left(name: &ChannelName, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"channel":"#);
    json::push(name.as_str(), out);
    out.push(b'}');
}

fn push_error(id: &RequestId, fault: &Fault, out: &mut Vec<u8>) {
    open_answer("error", id, out);
    out.extend_from_slice(br#","code":"#);
    json::push(fault.code.label(), out);
    out.extend_from_slice(br#","message":"#);
    json::push(&fault.text, out);
    out.push(b'}');
}
