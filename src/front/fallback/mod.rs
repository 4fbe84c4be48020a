//! Fallbacks: the native records for clients without WebSocket, over plain HTTP.
//!
//! Thread: front. They read the ring without a cursor, or hand a pipe to a shard; no record waits here for anybody. Invariant: a
//! refusal has a status that says so and a body of `code` and `message`.
//!
//! | file | answers |
//! |---|---|
//! | `events` | `/v1/sse`: a pipe from a shard, copied into the answer |
//! | `last` | `/v1/last`: the latest records |
//! | `channels` | `/v1/channels`: what exists |
//! | `poll` | `/v1/poll`: waits for something above a cursor |
//! | `missed` | what a poll gets: all above a cursor up to an ordinal, read off the channels' chains |

use std::net::SocketAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, HeaderValue};
use hyper::{Method, Request};
use tokio::sync::{Semaphore, watch};

use super::agent::agent;
use super::answer::{Answer, Refused, Spelling};
use super::occupation::Occupation;
use super::{Options, Shared};
use crate::dialect::query::Names;
use crate::dialect::{Fault, FaultCode};

mod channels;
mod events;
mod last;
mod missed;
mod poll;

/// Bytes of JSON that are made at once: a body's page.
const PAGE_BYTES: usize = 64 * 1024;

/// Channels that all waiting polls together may watch. Each is looked at every 10 ms: that many cost a twentieth of a core.
const WATCHED_MAX: usize = 64 * 1024;

/// Answers of polls beyond a page that may wait for their clients at once; each holds 4 MiB at most.
const LARGE_ANSWERS_MAX: usize = 64;

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fallback {
    Events,
    Last,
    Channels,
    Poll,
}

impl Fallback {
    /// The one at this path.
    pub(super) fn at(path: &str) -> Option<Self> {
        match path {
            "/v1/sse" => Some(Self::Events),
            "/v1/last" => Some(Self::Last),
            "/v1/channels" => Some(Self::Channels),
            "/v1/poll" => Some(Self::Poll),
            _ => None,
        }
    }
}

/// Room that all fallbacks share.
pub(super) struct Room {
    /// For channels watched by polls that wait.
    watched: Arc<Semaphore>,
    /// For large answers.
    large: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        let room = |permits| Arc::new(Semaphore::new(permits));
        Self { watched: room(WATCHED_MAX), large: room(LARGE_ANSWERS_MAX) }
    }
}

/// Who asks, and what serving them takes.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: SocketAddr,
    pub(super) occupation: Arc<Occupation>,
    pub(super) shutdown: watch::Receiver<bool>,
}

/// What is used of a request.
pub(super) struct Asked {
    method: Method,
    path: String,
    query: String,
    last_event_id: Option<Vec<u8>>,
    agent: Option<Box<str>>,
}

impl Asked {
    pub(super) fn of(request: &Request<Incoming>) -> Self {
        let id = request.headers().get("last-event-id");
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or("").to_owned(),
            last_event_id: id.map(|id| id.as_bytes().to_vec()),
            agent: agent(request.headers()),
        }
    }
}

/// Answers a request at a fallback's path.
pub(super) async fn fall_back(call: Call, fallback: Fallback, asked: Asked) -> Answer {
    let answer = if asked.method == Method::GET {
        match fallback {
            Fallback::Events => events::answer(&call, &asked),
            Fallback::Last => last::answer(&call, &asked.query).await,
            Fallback::Channels => channels::answer(&call, &asked.query),
            Fallback::Poll => poll::answer(&call, &asked.query).await,
        }
    } else {
        Err(Refused::method())
    };
    let refuse = |refused: Refused| refused.answer(Spelling::Json, &call.shared, call.peer, &asked.path);
    let mut answer = answer.unwrap_or_else(refuse);
    let headers = answer.headers_mut();
    // Public data, and no cookie decides what is served: a page from anywhere may read it.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Refuses what names more than one client may ask for.
fn check_room(names: (usize, usize), options: &Options) -> Result<(), Fault> {
    let limits = [("channels", names.0, options.channels_max), ("patterns", names.1, options.patterns_max)];
    for (what, wanted, most) in limits {
        if wanted > most {
            let text = format!("{wanted} {what} are more than one may ask for: {most}");
            return Err(Fault::new(FaultCode::TooManyChannels, text));
        }
    }
    Ok(())
}

/// The channels and patterns of a query, within the limits.
fn names(query: &str, options: &Options) -> Result<Names, Fault> {
    let names = crate::dialect::query::names(query)?;
    check_room((names.channels.len(), names.patterns.len()), options)?;
    Ok(names)
}
