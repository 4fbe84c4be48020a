//! What a request gets: the page, a dialect's handshake, a fallback, or a refusal that says why.
//!
//! Thread: front; called by hyper. It answers at once; what waits is a future of its own.
//! Invariant: 101 is answered only when the request is a sound handshake and a shard has a place for it.

use std::borrow::Cow;
use std::cell::Cell;
use std::convert::Infallible;
use std::future::ready;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use fastwebsockets::upgrade::upgrade;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Request, Uri};
use tokio::sync::{oneshot, watch};

use crate::dialect::{self, Opening};
use crate::shard::mailbox::{Mailbox, Reservation};
use crate::subscriber::handshake;

use super::agent::agent;
use super::answer::{Answer, Refused, Spelling, capped};
use super::fallback::{Asked, Call, Fallback, fall_back};
use super::handover::Admission;
use super::occupation::Occupation;
use super::{Shared, count, page};

/// One connection's requests.
pub(super) struct Routes {
    shared: Arc<Shared>,
    peer: SocketAddr,
    admit: Cell<Option<oneshot::Sender<Admission>>>,
    occupation: Arc<Occupation>,
    shutdown: watch::Receiver<bool>,
    answered: Cell<bool>,
    /// A fallback was asked for: such a connection may end at any time.
    fell_back: Cell<bool>,
}

impl Routes {
    /// `admit` is told of the handshake that is answered with 101; there can be one.
    pub(super) fn new(
        shared: Arc<Shared>,
        peer: SocketAddr,
        admit: oneshot::Sender<Admission>,
        occupation: Occupation,
        shutdown: watch::Receiver<bool>,
    ) -> Self {
        Self {
            shared,
            peer,
            admit: Cell::new(Some(admit)),
            occupation: Arc::new(occupation),
            shutdown,
            answered: Cell::new(false),
            fell_back: Cell::new(false),
        }
    }

    /// Counts and logs the end of a connection that was not upgraded, where the end was not a good one.
    pub(super) fn ended(&self, ended: Option<hyper::Result<()>>) {
        let error: Cow<'static, str> = match ended {
            Some(Ok(())) => return,
            // Who reads a stream or polls goes when it likes; a shard has counted the end of a stream.
            _ if self.fell_back.get() => return,
            // A kept connection on which no further request came.
            Some(Err(error)) if error.is_timeout() && self.answered.get() => return,
            Some(Err(error)) => error.to_string().into(),
            None => "out of time".into(),
        };
        count(&self.shared.stats.bad_requests);
        tracing::info!(peer = %self.peer, error = ?capped(&error), "a connection ended without a whole request");
    }

    fn answer(&self, request: &mut Request<Incoming>) -> Reply {
        self.answered.set(true);
        if let Some(answer) = page::answer(request) {
            return at_once(answer.unwrap_or_else(|refused| self.refuse(refused, request)));
        }
        let path = request.uri().path();
        if let Some(fallback) = Fallback::at(path) {
            self.fell_back.set(true);
            let (shared, peer) = (Arc::clone(&self.shared), self.peer);
            let occupation = Arc::clone(&self.occupation);
            let call = Call { shared, peer, occupation, shutdown: self.shutdown.clone() };
            let asked = Asked::of(request);
            return Box::pin(async move { Ok(fall_back(call, fallback, asked).await) });
        }
        let answer = self.admit(request);
        at_once(answer.unwrap_or_else(|refused| self.refuse(refused, request)))
    }

    fn refuse(&self, refused: Refused, request: &Request<Incoming>) -> Answer {
        refused.answer(Spelling::Plain, &self.shared, self.peer, request.uri().path())
    }

    /// A dialect's handshake: the path first, then RFC 6455, then a place in a mailbox, and only then 101.
    fn admit(&self, request: &mut Request<Incoming>) -> Result<Answer, Refused> {
        let opening = self.open(request.uri())?;
        handshake::check(request.method(), request.version(), request.headers())?;
        let reservation = reserve(&self.shared.shards)?;
        let agent = agent(request.headers());
        let (answer, upgrade) = upgrade(request).map_err(|error| Refused::bad(error.to_string()))?;
        let admit = self.admit.take().ok_or_else(|| Refused::bad("upgraded already"))?;
        // Nobody listens only while the connection is being dropped; what was reserved is given back with it.
        let _ = admit.send(Admission { opening, agent, reservation, upgrade });
        Ok(answer.map(|_| Empty::new().map_err(|never| match never {}).boxed_unsync()))
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
}

/// An answer on its way.
type Reply = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

fn at_once(answer: Answer) -> Reply {
    Box::pin(ready(Ok(answer)))
}

impl Service<Request<Incoming>> for Routes {
    type Response = Answer;
    type Error = Infallible;
    type Future = Reply;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.answer(&mut request)
    }
}

/// A place at the least loaded shard that has one.
pub(super) fn reserve(shards: &[Mailbox]) -> Result<Reservation, Refused> {
    let mut by_load: Vec<&Mailbox> = shards.iter().collect();
    // Cached: shards count on while this sorts.
    by_load.sort_by_cached_key(|shard| shard.population());
    let reserved = by_load.into_iter().find_map(Mailbox::reserve);
    reserved.ok_or_else(|| Refused::busy("no shard has room for another connection"))
}
