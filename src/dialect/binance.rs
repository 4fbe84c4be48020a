//! Binance Spot market streams, as the exchange's own clients use them (web-socket-streams.md of
//! binance-spot-api-docs, and what was seen on the wire).
//!
//! Pure; `open` on the front's thread, the rest on the shard's. Payloads are not looked at. A stream's name may end in a rate of the
//! client's choice (`btcusdt@bookTicker@250ms`), which the exchange has not. Invariant: a success is
//! exactly `{"result":…,"id":…}`, an error `{"error":{"code":…,"msg":…},"id":…}`, with the id as it came.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::names::{decode, distinct, values};
use super::{
    Command, Dialect, Farewell, Fault, FaultCode, Hello, Opening, Outcome, Rated, Rejected, Request,
    RequestId, Shape, Subscribe, Wanted, json,
};
use crate::channel::ChannelName;

/// The exchange's texts: clients compare them.
mod text {
    pub(super) const BOOLEAN: &str = "Invalid value type: expected Boolean";
    pub(super) const ID: &str = "Invalid request: request ID must be an unsigned integer";
    pub(super) const NO_PARAMS: &str = "Invalid request: missing field `params`";
    pub(super) const PROPERTY_NAME: &str = "Invalid request: property name must be a string";
    pub(super) const STREAM: &str = "Invalid request: invalid stream";
    pub(super) const SURPLUS: &str = "Invalid request: too many parameters";
    pub(super) const TOO_MANY: &str = "Too many subscriptions";
    pub(super) const UNKNOWN_PROPERTY: &str = "Unknown property";
}

/// Longest id that is a string, in characters.
const ID_CHARS_MAX: usize = 36;

/// Rates that a name's end may ask for, in milliseconds.
const EVERY_MS: std::ops::RangeInclusive<u32> = 50..=60_000;

/// The only property; it switches between [`Shape::Payload`] and [`Shape::Combined`].
const COMBINED: &str = "combined";

/// The dialect.
pub(super) struct Binance;

impl Dialect for Binance {
    fn name(&self) -> &'static str {
        "binance"
    }

    fn open(&self, path: &str, query: Option<&str>) -> Option<Result<Opening, String>> {
        let query = query.unwrap_or("");
        match path {
            "/ws" => Some(open_raw("", query)),
            "/stream" | "/stream/" => Some(open_combined(query)),
            _ => path.strip_prefix("/ws/").map(|names| open_raw(names, query)),
        }
    }

    fn greet(&self, _hello: &Hello<'_>, _out: &mut Vec<u8>) {}

    fn read(&self, message: &[u8]) -> Result<Request, Rejected> {
        let read: Message<'_> = json::parse(message).map_err(|fault| Rejected {
            id: RequestId(json::salvage_id(message).and_then(read_id)),
            fault: as_spoken(fault),
        })?;
        let Some(id) = read.id.and_then(read_id) else {
            return Err(Rejected { id: RequestId(None), fault: invalid(text::ID) });
        };
        let id = RequestId(Some(id));
        match read.command() {
            Ok(command) => Ok(Request { id, command }),
            Err(fault) => Err(Rejected { id, fault }),
        }
    }

    fn answer(&self, id: &RequestId, outcome: &Outcome<'_>, out: &mut Vec<u8>) {
        match outcome {
            Outcome::Subscribed(_) | Outcome::Unsubscribed(..) | Outcome::ShapeSet | Outcome::Pong { .. } => {
                out.extend_from_slice(br#"{"result":null"#);
            }
            Outcome::Listed(names) => {
                out.extend_from_slice(br#"{"result":"#);
                json::push_array(*names, out, |name, out| json::push(*name, out));
            }
            Outcome::ShapeIs(shape) => {
                out.extend_from_slice(br#"{"result":"#);
                json::push(&(*shape == Shape::Combined), out);
            }
            Outcome::Refused(fault) => push_error(fault, out),
        }
        out.extend_from_slice(br#","id":"#);
        out.extend_from_slice(id.0.as_deref().unwrap_or("null").as_bytes());
        out.push(b'}');
    }

    // The exchange's own notice has no promised lead time, and its clients know the close frame.
    fn farewell(&self, _farewell: &Farewell, _out: &mut Vec<u8>) {}
}

/// The exchange has neither snapshots nor a word for where to go on.
fn subscribe(channels: Vec<ChannelName>) -> Subscribe {
    let channels = distinct(channels).into_iter();
    let channels = channels.map(|name| Wanted { rated: rated(&name), name }).collect();
    Subscribe { channels, ..Subscribe::default() }
}

/// What a name means if its end, `@<N>ms`, is a rate, and no channel has the whole name. One rate is spelled in one way.
fn rated(name: &ChannelName) -> Option<Rated> {
    let (source, rate) = name.as_str().rsplit_once('@')?;
    let digits = rate.strip_suffix("ms").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let every_ms = digits.parse().ok().filter(|every_ms| EVERY_MS.contains(every_ms))?;
    let source = ChannelName::parse(source).ok().filter(|_| !digits.starts_with('0'))?;
    Some(Rated { source, every_ms })
}

/// `/ws`: names that are no channels are passed over, for ccxt opens `/ws/0`, `/ws/1`, … and subscribes then.
fn open_raw(names: &str, query: &str) -> Result<Opening, String> {
    check_time_unit(query)?;
    let names = decode(names).unwrap_or_default();
    let channels = names.split('/').filter_map(|name| ChannelName::parse(name).ok()).collect();
    Ok(Opening { dialect: &Binance, shape: Shape::Payload, subscribe: subscribe(channels) })
}

/// `/stream`: a name that is no channel is refused.
fn open_combined(query: &str) -> Result<Opening, String> {
    check_time_unit(query)?;
    let mut channels = Vec::new();
    for list in values(query, "streams") {
        let list = decode(list).ok_or("streams: not UTF-8")?;
        for name in list.split('/').filter(|name| !name.is_empty()) {
            channels.push(ChannelName::parse(name).map_err(|why| format!("streams: {why}"))?);
        }
    }
    Ok(Opening { dialect: &Binance, shape: Shape::Combined, subscribe: subscribe(channels) })
}

/// Payloads go out as the feed sent them, so a unit is accepted and changes nothing; only one that does not exist is
/// refused.
fn check_time_unit(query: &str) -> Result<(), String> {
    let is_known = |unit| matches!(unit, "MILLISECOND" | "millisecond" | "MICROSECOND" | "microsecond");
    if values(query, "timeUnit").all(is_known) {
        return Ok(());
    }
    Err("timeUnit: must be MILLISECOND or MICROSECOND".to_owned())
}

#[derive(Deserialize)]
struct Message<'a> {
    method: Method,
    #[serde(borrow)]
    params: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default, deserialize_with = "json::present")]
    id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Method {
    Subscribe,
    Unsubscribe,
    ListSubscriptions,
    SetProperty,
    GetProperty,
}

impl Message<'_> {
    fn command(&self) -> Result<Command, Fault> {
        let params = self.params.as_deref();
        match self.method {
            Method::Subscribe => Ok(Command::Subscribe(subscribe(read_channels(params)?))),
            Method::Unsubscribe => {
                Ok(Command::Unsubscribe { channels: read_channels(params)?, patterns: Vec::new() })
            }
            Method::ListSubscriptions if params.is_some_and(|params| !params.is_empty()) => {
                Err(invalid(text::SURPLUS))
            }
            Method::ListSubscriptions => Ok(Command::List),
            Method::SetProperty => Ok(Command::SetShape(read_shape(params.unwrap_or_default())?)),
            Method::GetProperty => {
                read_property(params.unwrap_or_default(), 1)?;
                Ok(Command::GetShape)
            }
        }
    }
}

fn read_channels(params: Option<&[&RawValue]>) -> Result<Vec<ChannelName>, Fault> {
    let params = params.ok_or_else(|| invalid(text::NO_PARAMS))?;
    let channels: Option<Vec<_>> = params.iter().map(|name| read_channel(name)).collect();
    channels.map(distinct).ok_or_else(|| Fault::new(FaultCode::InvalidChannel, text::STREAM))
}

fn read_channel(name: &RawValue) -> Option<ChannelName> {
    ChannelName::parse(&read_string(name)?).ok()
}

fn read_shape(params: &[&RawValue]) -> Result<Shape, Fault> {
    read_property(params, 2)?;
    match params.get(1).map(|value| value.get()) {
        Some("true") => Ok(Shape::Combined),
        Some("false") => Ok(Shape::Payload),
        _ => Err(Fault::new(FaultCode::InvalidValue, text::BOOLEAN)),
    }
}

/// Checks the parameters of a property's method: the name, and no more than belong there.
fn read_property(params: &[&RawValue], params_max: usize) -> Result<(), Fault> {
    let name = params.first().and_then(|name| read_string(name));
    let name = name.ok_or_else(|| invalid(text::PROPERTY_NAME))?;
    if params.len() > params_max {
        return Err(invalid(text::SURPLUS));
    }
    if name != COMBINED {
        return Err(Fault::new(FaultCode::UnknownProperty, text::UNKNOWN_PROPERTY));
    }
    Ok(())
}

fn read_string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// An id as it came, if it is one the exchange takes. A UUID's hyphens count as alphanumeric there.
fn read_id(raw: &RawValue) -> Option<Box<str>> {
    let is_short = |id: &str| {
        id.len() <= ID_CHARS_MAX && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let id = raw.get();
    let is_taken = match id.strip_prefix('"').and_then(|id| id.strip_suffix('"')) {
        Some(id) => is_short(id),
        None => id == "null" || id.parse::<i64>().is_ok(),
    };
    is_taken.then(|| id.into())
}

fn invalid(text: &str) -> Fault {
    Fault::new(FaultCode::InvalidRequest, text)
}

/// A fault of the parser in the exchange's words, which are serde's behind a word or two.
fn as_spoken(fault: Fault) -> Fault {
    let prefix = if fault.code == FaultCode::InvalidJson { "Invalid JSON" } else { "Invalid request" };
    Fault::new(fault.code, format!("{prefix}: {}", fault.text))
}

fn push_error(fault: &Fault, out: &mut Vec<u8>) {
    let (code, text) = match fault.code {
        FaultCode::UnknownProperty => (0, fault.text.as_str()),
        FaultCode::InvalidValue => (1, fault.text.as_str()),
        FaultCode::InvalidRequest | FaultCode::InvalidChannel => (2, fault.text.as_str()),
        // A stream at a rate that it cannot have is none.
        FaultCode::NotConflatable => (2, text::STREAM),
        FaultCode::InvalidJson => (3, fault.text.as_str()),
        // The session counts the channels; the exchange's text belongs to this dialect.
        FaultCode::TooManyChannels => (4, text::TOO_MANY),
    };
    out.extend_from_slice(br#"{"error":{"code":"#);
    json::push(&code, out);
    out.extend_from_slice(br#","msg":"#);
    json::push(text, out);
    out.push(b'}');
}
