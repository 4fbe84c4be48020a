//! `/v1/poll`: waits until something is above a cursor, and answers with it and the next cursor.
//!
//! Thread: front. A wait looks at its channels every 10 ms: the publisher is not slowed by who waits, and a poll is for clients whom
//! that does not hurt. Invariant: a wait holds no more than its channels, and ends by something new, its time, or the shutdown.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

use super::super::Market;
use super::super::acceptor::stopped;
use super::super::answer::{Answer, Pages, Refused, streamed, whole};
use super::missed::{Haul, newest, separate};
use super::{Call, PAGE_BYTES, names};
use crate::channel::{ChannelInfo, ChannelName};
use crate::dialect::query::{self, Names};
use crate::dialect::shape::Notice;
use crate::dialect::{Fault, Resume, ResumeFrom, Shape};
use crate::ring::Position;

/// Time between two looks at the channels.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// Time between two looks at which channels there are, and which are stale. A change may mean a look at all channels.
const SURVEY_EVERY: Duration = Duration::from_millis(250);
/// Longest wait, and the one of a poll that names none.
const WAIT_MS_MAX: u64 = 60_000;
const WAIT_MS: u64 = 25_000;
/// Bytes of an answer's records, one record more or less. The cursor stands where they end, so nothing is lost by it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Channels that a wait counts for at least.
const WATCHED_MIN: usize = 16;

pub(super) async fn answer(call: &Call, query: &str) -> Result<Answer, Refused> {
    let options = &call.shared.options;
    let names = names(query, options)?;
    let cursor = cursor(query)?;
    let wait_ms = query::number(query, "wait_ms", WAIT_MS_MAX)?.unwrap_or(WAIT_MS);
    let market = &call.shared.market;
    let after = match cursor {
        Some((epoch, ordinal)) if *epoch == *market.epoch && !market.is_to_come(ordinal).await => {
            Some(ordinal)
        }
        // Another numbering, or one that this server has not come to: what the client has means nothing here.
        _ => None,
    };
    let mut view = View::new(market, names, options.pattern_channels_max).await?;
    if let Some(after) = after {
        view.wait(call, after, Duration::from_millis(wait_ms)).await?;
    }
    view.write(call, after).await
}

/// Where the client had come to.
fn cursor(query: &str) -> Result<Option<(Box<str>, u64)>, Refused> {
    let Some(text) = query::text(query, "cursor")?.filter(|text| !text.is_empty()) else { return Ok(None) };
    match query::position(&text) {
        Some(Resume { epoch, from: ResumeFrom::Ordinal(ordinal) }) => Ok(Some((epoch, ordinal))),
        _ => {
            let text = "cursor: not one of ours; send back what an answer gave, or none to begin anew";
            Err(Refused { status: StatusCode::BAD_REQUEST, code: "invalid_cursor", ..Refused::bad(text) })
        }
    }
}

/// The channels that a poll is about.
struct View<'a> {
    market: &'a Market,
    names: Names,
    matched_max: usize,
    channels: Vec<ChannelInfo>,
    /// Where each channel's latest record stood when it was looked at, and had nothing new.
    looked: Vec<Option<Position>>,
    /// Those that were stale when the poll came.
    stale: HashSet<ChannelName>,
    /// Of the catalogue, when the channels were looked up.
    revision: Option<u64>,
}

impl<'a> View<'a> {
    async fn new(market: &'a Market, names: Names, matched_max: usize) -> Result<Self, Fault> {
        let (channels, looked, stale) = (Vec::new(), Vec::new(), HashSet::new());
        let mut view = Self { market, names, matched_max, channels, looked, stale, revision: None };
        view.survey().await?;
        view.stale = view.stale_now().cloned().collect();
        Ok(view)
    }

    /// Looks up which channels there are, unless none came, went or changed.
    async fn survey(&mut self) -> Result<(), Fault> {
        let revision = self.market.catalogue.revision();
        if self.revision == Some(revision) {
            return Ok(());
        }
        self.channels = self.market.resolve(&self.names, self.matched_max).await?;
        self.revision = Some(revision);
        self.looked.clear();
        self.looked.resize(self.channels.len(), None);
        Ok(())
    }

    fn stale_now(&self) -> impl Iterator<Item = &ChannelName> {
        self.channels.iter().filter(|info| info.stale).map(|info| &info.name)
    }

    /// Waits for something above a cursor, at most so long.
    async fn wait(&mut self, call: &Call, after: u64, longest: Duration) -> Result<(), Refused> {
        if self.has_news(after) || longest.is_zero() {
            return Ok(());
        }
        let _room = self.room(call)?;
        let _occupied = call.occupation.begin(|stats| &stats.polls);
        let mut shutdown = call.shutdown.clone();
        let begun = Instant::now();
        let (end, mut survey_at) = (begun + longest, begun + SURVEY_EVERY);
        let mut now = begun;
        while now < end {
            tokio::select! {
                () = stopped(&mut shutdown) => return Ok(()),
                () = sleep_until(end.min(now + LOOK_EVERY)) => {}
            }
            now = Instant::now();
            if now >= survey_at {
                survey_at = now + SURVEY_EVERY;
                self.survey().await?;
            }
            if self.has_news(after) {
                break;
            }
        }
        Ok(())
    }

    /// A place among those who wait, by the channels they watch.
    fn room(&self, call: &Call) -> Result<OwnedSemaphorePermit, Refused> {
        let watched =
            self.names.channels.len().max(self.channels.len()).clamp(WATCHED_MIN, super::WATCHED_MAX);
        let watched = u32::try_from(watched).unwrap_or(u32::MAX);
        let room = call.shared.room.watched.clone().try_acquire_many_owned(watched);
        room.map_err(|_| Refused::busy("too many polls wait"))
    }

    /// Whether some channel has a record above the cursor, or is stale and was not, or was and is not.
    fn has_news(&mut self, after: u64) -> bool {
        let ring = &self.market.ring;
        for (info, looked) in self.channels.iter().zip(&mut self.looked) {
            let position = ring.latest_position(info.id.index);
            if position == *looked {
                continue;
            }
            if self.market.latest(info).is_some_and(|entry| entry.ordinal > after) {
                return true;
            }
            *looked = position;
        }
        self.stale_now().count() != self.stale.len()
            || self.stale_now().any(|name| !self.stale.contains(name))
    }

    /// The answer, and where it ends.
    async fn write(&mut self, call: &Call, after: Option<u64>) -> Result<Answer, Refused> {
        // An answer that finds no room for its size is short, and the next one goes on behind it.
        let large = call.shared.room.large.clone().try_acquire_owned().ok();
        let bytes_max = if large.is_some() { ANSWER_BYTES_MAX } else { PAGE_BYTES };
        let mut records = Vec::new();
        let upto = newest(self.market, &self.channels).max(after.unwrap_or(0));
        self.survey().await?;
        let records_max = call.shared.options.resume_records_max;
        let haul = Haul::of(self.market, &self.channels, (after, upto), (records_max, bytes_max)).await;
        let upto = haul.write(self.market, &self.channels, &mut records).await;
        self.write_states(&mut records);
        let mut body = format!(r#"{{"cursor":"{}:{upto}","records":["#, self.market.epoch).into_bytes();
        body.extend_from_slice(&records);
        body.extend_from_slice(b"]}");
        Ok(send(body, large))
    }

    /// Each channel that is stale is said to be so in each answer, for the server keeps nothing of a client between two polls; and
    /// each that came back meanwhile is said to live.
    fn write_states(&self, out: &mut Vec<u8>) {
        for info in &self.channels {
            let state = match info.stale {
                true => Notice::Stale,
                false if self.stale.contains(&info.name) => Notice::Live,
                false => continue,
            };
            separate(out);
            Shape::Native.tell(info.name.as_str(), &state, out);
        }
    }
}

/// An answer of more than a page holds its place among the large ones until the client took it.
fn send(body: Vec<u8>, large: Option<OwnedSemaphorePermit>) -> Answer {
    const JSON: &str = "application/json";
    if body.len() <= PAGE_BYTES {
        return whole(StatusCode::OK, JSON, body);
    }
    let mut rest = Bytes::from(body);
    let next = move || {
        let _held = &large;
        (!rest.is_empty()).then(|| rest.split_to(rest.len().min(PAGE_BYTES)))
    };
    streamed(JSON, Pages::new(next))
}
