//! `/admin/subscribers`: who is connected, worst first, and closing one of them.
//!
//! The admin listener's thread. It asks every shard at once by a bounded letter and waits for a bounded time; it holds nothing of a
//! subscriber between two requests. Invariant: GET changes nothing, and a shard that did not answer is named.

use std::time::Duration;

use hyper::StatusCode;
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::shard::census::{Query, Row, Sort};
use crate::shard::mailbox::Mailbox;

/// Rows of an answer, where nothing is said.
const LIMIT: usize = 100;
/// Rows of an answer at most.
const LIMIT_MAX: usize = 1000;
/// Time for a shard's answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// The shards' mailboxes, by the shards' numbers.
pub(super) struct Subscribers {
    shards: Vec<Mailbox>,
}

/// A request that is not served, and what is said of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

/// A row of the answer.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    address: String,
    agent: Option<&'a str>,
    dialect: &'a str,
    since: u64,
    channels: usize,
    patterns: usize,
    rated: bool,
    slow: bool,
    outbox_bytes: u64,
    pending: u64,
    matched: u64,
    delivered: u64,
    conflated: u64,
    merged: u64,
    dropped: u64,
    withdrawn: u64,
    oldest_waiting_ms: u64,
}

/// Stands in the answer for a shard that gave none.
#[derive(Serialize)]
struct Silence {
    shard: usize,
    error: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Element<'a> {
    Line(Box<Line<'a>>),
    Silence(Silence),
}

impl Subscribers {
    pub(super) fn new(shards: Vec<Mailbox>) -> Self {
        Self { shards }
    }

    /// A JSON array of the subscribers that a query of a URL asks for.
    pub(super) async fn list(&self, query: Option<&str>) -> Result<Vec<u8>, Refused> {
        let query = read_query(query.unwrap_or(""))?;
        let asked: Option<Vec<_>> = self.shards.iter().map(|shard| shard.census(query)).collect();
        let asked = asked.ok_or_else(busy)?;
        let (mut rows, mut silent) = (Vec::new(), Vec::new());
        for (shard, answer) in answers(asked).await.into_iter().enumerate() {
            match answer {
                Some(answer) => rows.extend(answer.into_iter().map(|row| (shard, row))),
                None => silent.push(Silence { shard, error: "the shard did not answer in time" }),
            }
        }
        rows.sort_by(|(one, a), (other, b)| b.key.cmp(&a.key).then((one, a.serial).cmp(&(other, b.serial))));
        rows.truncate(query.limit);
        let lines = rows.iter().map(|(shard, row)| Element::Line(Box::new(line(*shard, row))));
        let elements: Vec<_> = lines.chain(silent.into_iter().map(Element::Silence)).collect();
        serde_json::to_vec(&elements)
            .map_err(|error| Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    }

    /// Closes the subscriber of this name.
    pub(super) async fn close(&self, id: &str) -> Result<(), Refused> {
        let malformed = || Refused(StatusCode::BAD_REQUEST, "an id is <shard>-<number>".to_owned());
        let gone = || Refused(StatusCode::NOT_FOUND, "no such subscriber".to_owned());
        let (shard, serial) = read_id(id).ok_or_else(malformed)?;
        let asked = self.shards.get(shard).ok_or_else(gone)?.evict(serial).ok_or_else(busy)?;
        match timeout(ANSWER_TIME_MAX, asked).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(gone()),
            Ok(Err(_)) | Err(_) => {
                Err(Refused(StatusCode::GATEWAY_TIMEOUT, format!("shard {shard} did not answer in time")))
            }
        }
    }
}

fn busy() -> Refused {
    Refused(StatusCode::SERVICE_UNAVAILABLE, "too many questions wait for a shard".to_owned())
}

/// What the shards answer, each within the same time; `None`: nothing.
async fn answers<T>(asked: Vec<oneshot::Receiver<T>>) -> Vec<Option<T>> {
    let deadline = tokio::time::Instant::now() + ANSWER_TIME_MAX;
    let mut answers = Vec::with_capacity(asked.len());
    for answer in asked {
        answers.push(tokio::time::timeout_at(deadline, answer).await.ok().and_then(Result::ok));
    }
    answers
}

fn read_query(query: &str) -> Result<Query, Refused> {
    let (mut sort, mut limit) = (Sort::Lag, LIMIT);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let refused = || {
            let text = format!("write sort=lag|outbox|dropped|conflated|age and limit=1 to {LIMIT_MAX}");
            Refused(StatusCode::BAD_REQUEST, text)
        };
        match pair.split_once('=').ok_or_else(refused)? {
            ("sort", "lag") => sort = Sort::Lag,
            ("sort", "outbox") => sort = Sort::Outbox,
            ("sort", "dropped") => sort = Sort::Dropped,
            ("sort", "conflated") => sort = Sort::Conflated,
            ("sort", "age") => sort = Sort::Age,
            ("limit", number) => {
                let number = number.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                limit = number.ok_or_else(refused)?;
            }
            _ => return Err(refused()),
        }
    }
    Ok(Query { sort, limit })
}

/// The shard's number and the subscriber's serial.
fn read_id(id: &str) -> Option<(usize, u32)> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (shard, serial) = id.split_once('-').filter(|(shard, serial)| digits(shard) && digits(serial))?;
    Some((shard.parse().ok()?, serial.parse().ok()?))
}

fn line(shard: usize, row: &Row) -> Line<'_> {
    let tally = &row.tally;
    Line {
        id: format!("{shard}-{}", row.serial),
        address: row.peer.to_string(),
        agent: row.agent.as_deref(),
        dialect: row.dialect,
        since: row.since_ms / 1000,
        channels: row.channels,
        patterns: row.patterns,
        rated: row.rated,
        slow: row.slow,
        outbox_bytes: row.outbox_bytes,
        pending: row.pending,
        matched: tally.matched,
        delivered: tally.delivered,
        conflated: tally.conflated,
        merged: tally.merged,
        dropped: tally.dropped,
        withdrawn: tally.withdrawn,
        oldest_waiting_ms: row.oldest_waiting_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_or_refused() {
        let read = |query: &str| read_query(query).map(|query| (query.sort, query.limit)).ok();
        assert_eq!(read(""), Some((Sort::Lag, LIMIT)));
        assert_eq!(read("sort=outbox&limit=1"), Some((Sort::Outbox, 1)));
        assert_eq!(read("limit=1000&sort=age"), Some((Sort::Age, 1000)));
        for rubbish in
            ["sort", "sort=", "sort=name", "limit=0", "limit=1001", "limit=-1", "limit=x", "order=lag"]
        {
            assert_eq!(read(rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn an_id_is_two_numbers() {
        assert_eq!(read_id("1-23"), Some((1, 23)));
        for rubbish in ["", "1", "-", "1-", "-1", "1-2-3", "+1-2", "a-1", "1-99999999999", "1-2 "] {
            assert_eq!(read_id(rubbish), None, "{rubbish}");
        }
    }
}
