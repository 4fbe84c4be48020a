//! Tapecast's own dialect: `GET /v1/ws`.
//!
//! Pure; `open` on the front's thread, the rest on the shard's. Limits that differ from subscriber to subscriber are the shard's.
//! Invariant: a request with an id is answered once, with the id as it came.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::names::{decode, sort, values};
use super::{
    Command, Dialect, Farewell, Fault, FaultCode, Hello, Joined, Matched, Opening, Outcome, Rejected,
    Request, RequestId, Resume, ResumeFrom, Shape, Subscribe, Subscribed, Wanted, json,
};
use crate::channel::{ChannelName, ChannelPattern};

/// Longest time between records that a client may choose: an hour.
pub(super) const EVERY_MS_MAX: u32 = 3_600_000;

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
                push_subscribed(subscribed, out);
            }
            Outcome::Unsubscribed(names, patterns) => {
                open_answer("ack", id, out);
                push_unsubscribed(names, patterns, out);
            }
            Outcome::Listed(names) => {
                open_answer("list", id, out);
                out.extend_from_slice(br#","channels":"#);
                json::push_array(*names, out, |name, out| json::push(*name, out));
                out.push(b'}');
            }
            // With the time, so that a client knows what its own clock is worth against the records' `ts`.
            Outcome::Pong { wall_us } => {
                open_answer("pong", id, out);
                out.extend_from_slice(br#","ts":"#);
                json::push(wall_us, out);
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
    let mut lists = Vec::new();
    for list in values(query, "channels") {
        lists.push(decode(list).ok_or("channels: not UTF-8")?);
    }
    let names = lists.iter().flat_map(|list| list.split(',')).filter(|name| !name.is_empty());
    let (channels, patterns) = sort(names).map_err(|why| format!("channels: {why}"))?;
    let mut subscribe = Subscribe { patterns, snapshot: true, ..Subscribe::default() };
    subscribe.channels = channels.into_iter().map(Wanted::from).collect();
    for text in values(query, "snapshot") {
        subscribe.snapshot = text.parse().map_err(|_| "snapshot: must be true or false")?;
    }
    for text in values(query, "every_ms") {
        subscribe.every_ms = read_every_ms(text).map_err(|fault| fault.text)?;
    }
    Ok(Opening { dialect: &Native, shape: Shape::Native, subscribe })
}

#[derive(Deserialize)]
struct Message<'a> {
    op: Op,
    #[serde(borrow, default, deserialize_with = "json::present")]
    id: Option<&'a RawValue>,
    channels: Option<Vec<String>>,
    snapshot: Option<bool>,
    #[serde(borrow)]
    every_ms: Option<&'a RawValue>,
    resume: Option<Origin>,
}

/// Where an earlier connection was cut, as a client writes it.
#[derive(Deserialize)]
#[serde(expecting = "an object with `epoch` and `seq`")]
struct Origin {
    epoch: Box<str>,
    seq: HashMap<String, u64>,
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
    fn command(self) -> Result<Command, Fault> {
        match self.op {
            Op::Subscribe => self.subscribe(),
            Op::Unsubscribe => {
                let (channels, patterns) = self.read_channels()?;
                Ok(Command::Unsubscribe { channels, patterns })
            }
            Op::List => Ok(Command::List),
            Op::Ping => Ok(Command::Ping),
        }
    }

    fn subscribe(self) -> Result<Command, Fault> {
        let (channels, patterns) = self.read_channels()?;
        let channels = channels.into_iter().map(Wanted::from).collect();
        let snapshot = self.snapshot.unwrap_or(true);
        let every_ms = self.every_ms.map_or(Ok(0), |raw| read_every_ms(raw.get()))?;
        let resume = self.resume.map(Origin::read);
        Ok(Command::Subscribe(Subscribe { channels, patterns, snapshot, every_ms, resume }))
    }

    fn read_channels(&self) -> Result<(Vec<ChannelName>, Vec<ChannelPattern>), Fault> {
        let Some(names) = &self.channels else {
            return Err(Fault::new(FaultCode::InvalidRequest, "missing field `channels`"));
        };
        let names = names.iter().map(String::as_str);
        sort(names).map_err(|why| Fault::new(FaultCode::InvalidChannel, why))
    }
}

impl Origin {
    /// A name that is no channel's is none that is subscribed to, and so means nothing here.
    fn read(self) -> Resume {
        let sequences = self.seq.into_iter();
        let sequences = sequences.filter_map(|(name, seq)| Some((ChannelName::parse(&name).ok()?, seq)));
        Resume { epoch: self.epoch, from: ResumeFrom::Sequences(sequences.collect()) }
    }
}

fn read_every_ms(text: &str) -> Result<u32, Fault> {
    let every_ms = text.parse().ok().filter(|every_ms| *every_ms <= EVERY_MS_MAX);
    let text = format!("every_ms must be a whole number from 0 to {EVERY_MS_MAX}");
    every_ms.ok_or_else(|| Fault::new(FaultCode::InvalidRequest, text))
}

/// An id as it came.
fn read_id(raw: &RawValue) -> Result<Box<str>, Fault> {
    if json::is_integer(raw) || json::is_string(raw) {
        return Ok(raw.get().into());
    }
    Err(Fault::new(FaultCode::InvalidRequest, "id must be an integer or a string"))
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

/// Appends what was subscribed to, channels and then patterns, and the end of the answer.
fn push_subscribed(subscribed: &Subscribed<'_>, out: &mut Vec<u8>) {
    let channels = subscribed.channels.iter().map(Acknowledged::joined);
    let patterns = subscribed.patterns.iter().map(Acknowledged::matched);
    push_acknowledged(channels.chain(patterns), out);
}

/// Appends what was unsubscribed from, channels and then patterns, and the end of the answer.
fn push_unsubscribed(names: &[ChannelName], patterns: &[ChannelPattern], out: &mut Vec<u8>) {
    let channels =
        names.iter().map(|name| Acknowledged { channel: Some(name.as_str()), ..Acknowledged::default() });
    let patterns = patterns
        .iter()
        .map(|pattern| Acknowledged { pattern: Some(pattern.as_str()), ..Acknowledged::default() });
    push_acknowledged(channels.chain(patterns), out);
}

fn push_acknowledged<'a>(all: impl Iterator<Item = Acknowledged<'a>>, out: &mut Vec<u8>) {
    out.extend_from_slice(br#","channels":"#);
    json::push_array(all, out, |one, out| json::push(&one, out));
    out.push(b'}');
}

/// One channel or pattern in an acknowledgement.
#[derive(Default, Serialize)]
struct Acknowledged<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pattern: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recovered: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<usize>,
}

impl<'a> Acknowledged<'a> {
    fn joined(joined: &Joined<'a>) -> Self {
        let (channel, seq) = (Some(joined.channel), Some(joined.sequence));
        Self { channel, seq, recovered: joined.recovered, ..Self::default() }
    }

    fn matched(matched: &Matched<'a>) -> Self {
        Self { pattern: Some(matched.pattern), count: Some(matched.count), ..Self::default() }
    }
}

fn push_error(id: &RequestId, fault: &Fault, out: &mut Vec<u8>) {
    open_answer("error", id, out);
    out.extend_from_slice(br#","code":"#);
    json::push(fault.code.label(), out);
    out.extend_from_slice(br#","message":"#);
    json::push(&fault.text, out);
    out.push(b'}');
}
