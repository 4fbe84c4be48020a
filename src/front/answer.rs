//! Answers: what is whole, what is made page by page, and refusals that say why.
//!
//! Thread: front; hyper asks a body for its next page when it has room for it. Invariant: a body holds no more than its page, and
//! every refusal closes the connection, so that nothing behind it is taken for a request.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use crate::dialect::{Fault, sse};
use crate::subscriber::handshake;

use super::refusal::RETRY_AFTER_SECONDS;
use super::{Counter, Shared, count};

/// Bytes of a client's text that a log line shows.
const LOGGED_BYTES_MAX: usize = 128;

pub(super) type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

/// An answer whose body is whole.
pub(super) fn whole(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Answer {
    let body = Full::new(text.into()).map_err(|never| match never {});
    let mut answer = Answer::new(body.boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub(super) fn plain(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    whole(status, "text/plain; charset=utf-8", text)
}

/// An answer with a body of another kind.
pub(super) fn streamed(
    content_type: &'static str,
    body: impl Body<Data = Bytes, Error = io::Error> + Send + 'static,
) -> Answer {
    let mut answer = Answer::new(body.boxed_unsync());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// A body that is made page by page. Between two of them other connections get their turn.
pub(super) struct Pages<F> {
    next: F,
    rested: bool,
}

impl<F: FnMut() -> Option<Bytes>> Pages<F> {
    pub(super) fn new(next: F) -> Self {
        Self { next, rested: true }
    }
}

impl<F: FnMut() -> Option<Bytes> + Unpin> Body for Pages<F> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !std::mem::replace(&mut self.rested, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.rested = false;
        Poll::Ready((self.next)().map(|page| Ok(Frame::data(page))))
    }
}

/// A request that is not served: what the client is told, and where it is counted.
pub(super) struct Refused {
    pub(super) status: StatusCode,
    /// The reason, for programs.
    pub(super) code: &'static str,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) text: Cow<'static, str>,
    pub(super) counter: Counter,
}

/// How a refusal is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    /// A line of text.
    Plain,
    /// `{"code":…,"message":…}`.
    Json,
}

impl Refused {
    pub(super) fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            code: "not_found",
            headers: &[],
            text: "no such path".into(),
            counter: |stats| &stats.not_found,
        }
    }

    pub(super) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            code: "invalid_request",
            headers: &[],
            text: text.into(),
            counter: |stats| &stats.bad_handshakes,
        }
    }

    pub(super) fn busy(text: &'static str) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            code: "busy",
            headers: &[("retry-after", RETRY_AFTER_SECONDS)],
            text: text.into(),
            counter: |stats| &stats.refused_busy,
        }
    }

    pub(super) fn method() -> Self {
        Self {
            status: StatusCode::METHOD_NOT_ALLOWED,
            code: "method_not_allowed",
            headers: &[("allow", "GET")],
            ..Self::bad("only GET is served here")
        }
    }

    /// Counts and logs it; what the client gets.
    pub(super) fn answer(self, spelling: Spelling, shared: &Shared, peer: SocketAddr, path: &str) -> Answer {
        let Self { status, code, headers, text, counter } = self;
        count(counter(&shared.stats));
        let (path, reason) = (capped(path), capped(&text));
        // A storm of reconnects is counted; a line for each would only make it worse.
        if status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::debug!(%peer, ?path, ?reason, "refused: no room");
        } else {
            tracing::info!(%peer, ?path, %status, ?reason, "refused a request");
        }
        let mut answer = match spelling {
            Spelling::Plain => plain(status, format!("{text}\n")),
            Spelling::Json => {
                let mut body = Vec::new();
                sse::refusal(code, &text, &mut body);
                whole(status, "application/json", body)
            }
        };
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        for (name, value) in headers {
            answer.headers_mut().insert(*name, HeaderValue::from_static(value));
        }
        answer
    }
}

impl From<handshake::Refusal> for Refused {
    fn from(refusal: handshake::Refusal) -> Self {
        Self { status: refusal.status(), headers: refusal.headers(), ..Self::bad(refusal.text()) }
    }
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self { code: fault.code.label(), ..Self::bad(fault.text) }
    }
}

/// The beginning of a text, at a character's border. Logged by `?`, which escapes what a terminal would obey.
pub(super) fn capped(text: &str) -> &str {
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
