//! What a request gets: the page, a dialect's handshake, or a refusal that says why.
//!
//! Thread: front; called by hyper, answers at once, waits for nothing.
//! Invariant: 101 is answered only when the request is a sound handshake and a shard has a place for it, and every
//! refusal closes the connection, so that nothing behind it is taken for a request.

use std::borrow::Cow;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use fastwebsockets::upgrade::upgrade;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode, Uri};
use tokio::sync::oneshot;

use crate::dialect::{self, Opening};
use crate::shard::mailbox::{Mailbox, Reservation};
use crate::subscriber::handshake;

use super::agent::agent;
use super::handover::Admission;
use super::refusal::RETRY_AFTER_SECONDS;
use super::{Counter, Shared, count};

/// Bytes of a client's text that a log line shows.
const LOGGED_BYTES_MAX: usize = 128;

/// What `GET /` says until there is a page.
const INDEX: &str = concat!(
    "Tapecast ",
    env!("CARGO_PKG_VERSION"),
    ": market data over WebSocket.\n\n",
    "  /v1/ws                         native: subscribe by JSON messages\n",
    "  /ws, /ws/<channel>             Binance: raw payloads\n",
    "  /stream?streams=<a>/<b>        Binance: combined payloads\n",
);

type Answer = Response<Full<Bytes>>;

/// One connection's requests.
pub(super) struct Routes {
    shared: Arc<Shared>,
    peer: SocketAddr,
    admit: Cell<Option<oneshot::Sender<Admission>>>,
    answered: Cell<bool>,
}

/// A request that is not served: what the client is told, and where it is counted.
struct Refused {
    status: StatusCode,
    headers: &'static [(&'static str, &'static str)],
    text: Cow<'static, str>,
    counter: Counter,
}

impl Routes {
    /// `admit` is told of the handshake that is answered with 101; there can be one.
    pub(super) fn new(shared: Arc<Shared>, peer: SocketAddr, admit: oneshot::Sender<Admission>) -> Self {
        Self { shared, peer, admit: Cell::new(Some(admit)), answered: Cell::new(false) }
    }

    /// Counts and logs the end of a connection that was not upgraded, where the end was not a good one.
    pub(super) fn ended(&self, ended: Option<hyper::Result<()>>) {
        let error: Cow<'static, str> = match ended {
            Some(Ok(())) => return,
            // A kept connection on which no further request came.
            Some(Err(error)) if error.is_timeout() && self.answered.get() => return,
            Some(Err(error)) => error.to_string().into(),
            None => "out of time".into(),
        };
        count(&self.shared.stats.bad_requests);
        tracing::info!(peer = %self.peer, error = ?capped(&error), "a connection ended without a whole request");
    }

    fn answer(&self, request: &mut Request<Incoming>) -> Answer {
        self.answered.set(true);
        if request.uri().path() == "/" && matches!(*request.method(), Method::GET | Method::HEAD) {
            return plain(StatusCode::OK, INDEX);
        }
        self.admit(request).unwrap_or_else(|refused| self.refuse(request, refused))
    }

    /// A dialect's handshake: the path first, then RFC 6455, then a place in a mailbox, and only then 101.
    fn admit(&self, request: &mut Request<Incoming>) -> Result<Answer, Refused> {
        let opening = self.open(request.uri())?;
        handshake::check(request.method(), request.version(), request.headers())?;
        let reservation = reserve(&self.shared.shards).ok_or_else(Refused::busy)?;
        let agent = agent(request.headers());
        let (answer, upgrade) = upgrade(request).map_err(|error| Refused::bad(error.to_string()))?;
        let admit = self.admit.take().ok_or_else(|| Refused::bad("upgraded already"))?;
        // Nobody listens only while the connection is being dropped; what was reserved is given back with it.
        let _ = admit.send(Admission { opening, agent, reservation, upgrade });
        Ok(answer.map(|_| Full::default()))
    }

    fn open(&self, uri: &Uri) -> Result<Opening, Refused> {
        let of = |dialect: &&dyn dialect::Dialect| dialect.open(uri.path(), uri.query());
        let opening = dialect::ALL.iter().find_map(of).ok_or_else(Refused::not_found)?;
        let opening = opening.map_err(Refused::bad)?;
        let channels_max = self.shared.options.channels_max;
        if opening.subscribe.channels.len() > channels_max {
            return Err(Refused::bad(format!("more than {channels_max} channels")));
        }
        Ok(opening)
    }

    fn refuse(&self, request: &Request<Incoming>, refused: Refused) -> Answer {
        let Refused { status, headers, text, counter } = refused;
        count(counter(&self.shared.stats));
        let (peer, path, reason) = (self.peer, capped(request.uri().path()), capped(&text));
        // A storm of reconnects is counted; a line for each would only make it worse.
        if status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::debug!(%peer, ?path, ?reason, "refused: no shard has room");
        } else {
            tracing::info!(%peer, ?path, %status, ?reason, "refused a request");
        }
        let mut answer = plain(status, format!("{text}\n"));
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        for (name, value) in headers {
            answer.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        answer
    }
}

impl Service<Request<Incoming>> for Routes {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        ready(Ok(self.answer(&mut request)))
    }
}

impl Refused {
    fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            headers: &[],
            text: "no such path".into(),
            counter: |stats| &stats.not_found,
        }
    }

    fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            headers: &[],
            text: text.into(),
            counter: |stats| &stats.bad_handshakes,
        }
    }

    fn busy() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            headers: &[("retry-after", RETRY_AFTER_SECONDS)],
            text: "no shard has room for another connection".into(),
            counter: |stats| &stats.refused_busy,
        }
    }
}

impl From<handshake::Refusal> for Refused {
    fn from(refusal: handshake::Refusal) -> Self {
        Self { status: refusal.status(), headers: refusal.headers(), ..Self::bad(refusal.text()) }
    }
}

/// A place at the least loaded shard that has one.
fn reserve(shards: &[Mailbox]) -> Option<Reservation> {
    let mut by_load: Vec<&Mailbox> = shards.iter().collect();
    // Cached: shards count on while this sorts.
    by_load.sort_by_cached_key(|shard| shard.population());
    by_load.into_iter().find_map(Mailbox::reserve)
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    let mut answer = Answer::new(Full::new(text.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    answer
}

/// The beginning of a text, at a character's border. Logged by `?`, which escapes what a terminal would obey.
fn capped(text: &str) -> &str {
    &text[..text.floor_char_boundary(LOGGED_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logged_text_is_short_and_escaped() {
        let text = format!("{}\u{20ac}tail", "x".repeat(LOGGED_BYTES_MAX - 2));
        assert_eq!(capped(&text), "x".repeat(LOGGED_BYTES_MAX - 2), "a character is not cut");
        assert_eq!(format!("{:?}", capped("/\r\n\u{1b}[31m")), r#""/\r\n\u{1b}[31m""#);
    }
}
