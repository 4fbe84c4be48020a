//! Dialects: how one exchange's clients speak. One small trait, one file each, one line each in [`ALL`].
//!
//! Pure: no socket, no clock, no ring. Invariant: whatever a client sent comes back as a [`Request`] or a [`Fault`].

use std::collections::HashMap;

use crate::channel::{ChannelName, ChannelPattern};

mod binance;
mod json;
mod names;
mod native;
pub mod query;
pub mod shape;
pub mod sse;

pub use names::Named;
pub use shape::Shape;

/// Every dialect that is spoken over WebSocket, in the order in which their paths are tried. Beside them stands [`sse`].
pub const ALL: &[&dyn Dialect] = &[&native::Native, &binance::Binance];

/// What a dialect must be able to do.
pub trait Dialect: Sync {
    /// Its label in metrics and logs.
    fn name(&self) -> &'static str;

    /// Reads the path and query of a handshake. `None`: not a path of this dialect. `Err`: its path, with something in it that
    /// the client must mend (the text goes into a 400).
    fn open(&self, path: &str, query: Option<&str>) -> Option<Result<Opening, String>>;

    /// Appends the text message that greets a new subscriber; appends nothing where the dialect has none.
    fn greet(&self, hello: &Hello<'_>, out: &mut Vec<u8>);

    /// Understands one text message.
    ///
    /// # Errors
    /// A fault with the request's id, as far as it could be read.
    fn read(&self, message: &[u8]) -> Result<Request, Rejected>;

    /// Appends the text message that answers a request; appends nothing where none is wanted.
    fn answer(&self, id: &RequestId, outcome: &Outcome<'_>, out: &mut Vec<u8>);

    /// Appends the text message that says that the server will end; appends nothing where the dialect has none.
    fn farewell(&self, farewell: &Farewell, out: &mut Vec<u8>);
}

/// The server will end.
#[derive(Clone, Copy, Debug)]
pub struct Farewell {
    /// Milliseconds until everybody is closed.
    pub in_ms: u64,
    /// Milliseconds after which to come back, spread between these two.
    pub reconnect_ms: (u64, u64),
}

/// What a handshake asked for.
#[derive(Clone)]
pub struct Opening {
    /// Who reads and answers its messages.
    pub dialect: &'static dyn Dialect,
    /// How its records look.
    pub shape: Shape,
    /// What it subscribes to from the start.
    pub subscribe: Subscribe,
}

/// What to subscribe to, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscribe {
    /// Without doubles.
    pub channels: Vec<Wanted>,
    /// Without doubles; channels that appear later and match are joined as they appear.
    pub patterns: Vec<ChannelPattern>,
    /// Each channel's latest record first.
    pub snapshot: bool,
    /// At most one record a channel in this time; 0: every change at once.
    pub every_ms: u32,
    /// Go on where an earlier connection was cut.
    pub resume: Option<Resume>,
}

/// A channel by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// As the client says it, and is answered.
    pub name: ChannelName,
    /// What the name means where the feed has no channel of it: another channel at a chosen rate.
    pub rated: Option<Rated>,
}

/// A channel at a chosen rate, as a name's suffix asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rated {
    /// The channel.
    pub source: ChannelName,
    /// Milliseconds between its records.
    pub every_ms: u32,
}

impl From<ChannelName> for Wanted {
    fn from(name: ChannelName) -> Self {
        Self { name, rated: None }
    }
}

/// Where an earlier connection was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The numbering that what follows belongs to.
    pub epoch: Box<str>,
    /// How far it had come.
    pub from: ResumeFrom,
}

/// How far an earlier connection had come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResumeFrom {
    /// By channel: its last sequence. A channel that is not here begins anew.
    Sequences(HashMap<ChannelName, u64>),
    /// The feed-wide ordinal up to which nothing is missing.
    Ordinal(u64),
}

/// What a greeting may tell.
#[derive(Clone, Copy, Debug)]
pub struct Hello<'a> {
    /// Opaque name of the numbering of sequences.
    pub epoch: &'a str,
    /// Milliseconds between pings.
    pub heartbeat_ms: u64,
    /// Channels a subscriber may have.
    pub channels_max: usize,
    /// Bytes a message to the server may have.
    pub message_bytes_max: usize,
}

/// A request's id: the JSON text as the client spelled it, to be echoed byte for byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestId(pub Option<Box<str>>);

/// A request understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Echoed in the answer.
    pub id: RequestId,
    /// What is wanted.
    pub command: Command,
}

/// What a client may want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Add these channels.
    Subscribe(Subscribe),
    /// Take these away; those never subscribed are passed over.
    Unsubscribe {
        /// As they were named, without doubles.
        channels: Vec<ChannelName>,
        /// Without doubles. What a pattern joined goes with it, unless it is subscribed to otherwise, too.
        patterns: Vec<ChannelPattern>,
    },
    /// Tell what is subscribed.
    List,
    /// Tell that the server lives.
    Ping,
    /// Records shall look like this from now on.
    SetShape(Shape),
    /// Tell how records look.
    GetShape,
}

/// A message that was refused whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The id, as far as it could be read.
    pub id: RequestId,
    /// Why.
    pub fault: Fault,
}

/// Why a request is refused. `text` is what the client is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The reason, by which it is counted.
    pub code: FaultCode,
    /// What the client is told.
    pub text: String,
}

impl Fault {
    /// Longest text, in bytes: what a client sent may stand in it, and is cut there.
    pub const TEXT_BYTES_MAX: usize = 512;

    /// A fault whose text keeps its bound.
    #[must_use]
    pub fn new(code: FaultCode, text: impl Into<String>) -> Self {
        let mut text = text.into();
        text.truncate(text.floor_char_boundary(Self::TEXT_BYTES_MAX));
        Self { code, text }
    }
}

/// Reasons to refuse a request; a label in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultCode {
    /// Not JSON.
    InvalidJson,
    /// JSON, but not a request of this dialect.
    InvalidRequest,
    /// A channel name breaks the rules.
    InvalidChannel,
    /// More channels than a subscriber may have.
    TooManyChannels,
    /// A property that does not exist.
    UnknownProperty,
    /// A property's value of the wrong type.
    InvalidValue,
    /// A rate for a channel of which each record counts.
    NotConflatable,
}

impl FaultCode {
    /// Every code.
    pub const ALL: [Self; 7] = [
        Self::InvalidJson,
        Self::InvalidRequest,
        Self::InvalidChannel,
        Self::TooManyChannels,
        Self::UnknownProperty,
        Self::InvalidValue,
        Self::NotConflatable,
    ];

    /// Label in metrics and logs, and the native dialect's `code`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidRequest => "invalid_request",
            Self::InvalidChannel => "invalid_channel",
            Self::TooManyChannels => "too_many_channels",
            Self::UnknownProperty => "unknown_property",
            Self::InvalidValue => "invalid_value",
            Self::NotConflatable => "not_conflatable",
        }
    }
}

/// One channel of a subscribe that was carried out.
#[derive(Clone, Copy, Debug)]
pub struct Joined<'a> {
    /// Its name.
    pub channel: &'a str,
    /// Its latest sequence then; 0 where it has no record yet.
    pub sequence: u64,
    /// Where it was to be resumed: whether all that was missed follows; else a snapshot does.
    pub recovered: Option<bool>,
}

/// One pattern of a subscribe that was carried out.
#[derive(Clone, Copy, Debug)]
pub struct Matched<'a> {
    /// As it was written.
    pub pattern: &'a str,
    /// Channels that match now.
    pub count: usize,
}

/// A subscribe that was carried out.
#[derive(Clone, Copy, Debug)]
pub struct Subscribed<'a> {
    /// Each channel named, in the order of the request; then those that a pattern matched and that were to be resumed.
    pub channels: &'a [Joined<'a>],
    /// Each pattern, in the order of the request.
    pub patterns: &'a [Matched<'a>],
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// Subscribed.
    Subscribed(Subscribed<'a>),
    /// Unsubscribed; these were asked for.
    Unsubscribed(&'a [ChannelName], &'a [ChannelPattern]),
    /// These are subscribed.
    Listed(&'a [&'a str]),
    /// It lives, and it is this many microseconds since 1970.
    Pong {
        /// By the clock that records are stamped with.
        wall_us: u64,
    },
    /// The shape was set.
    ShapeSet,
    /// The shape is this.
    ShapeIs(Shape),
    /// Refused whole.
    Refused(&'a Fault),
}

#[cfg(test)]
mod tests;
