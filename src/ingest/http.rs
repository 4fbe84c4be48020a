//! The HTTP side of ingest: `GET /ingest` becomes a WebSocket, `POST /publish` takes a body of envelopes.
//!
//! Ingest thread, a task a connection; hyper's HTTP/1.1 with a bounded head and a time-out for it. Nothing of a body
//! is read before its token was seen. Invariant: a body is bounded before it is kept.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncRead, AsyncWrite};

use super::clock::Now;
use super::intake::{Answer, EnvelopeFeed};
use super::listener::Seat;
use super::refusal::{Refusal, RefusalCode};
use super::websocket;

const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
const HEAD_BYTES_MAX: usize = 64 * 1024;
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

type Reply = Response<Full<Bytes>>;

/// Serves one connection until it ends; one that was upgraded goes on as a task of its own.
pub(super) async fn serve<S>(stream: S, seat: Rc<Seat>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answered = Cell::new(false);
    let service = service_fn(|request| {
        answered.set(true);
        let seat = Rc::clone(&seat);
        async move { Ok::<_, Infallible>(reply(request, seat).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        // Who has nothing more to say still reads its answer.
        .half_close(true)
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    match connection.await {
        // A kept connection on which no further request came.
        Err(why) if why.is_timeout() && answered.get() => {}
        Err(why) => seat.faults.broken(&why.to_string()),
        Ok(()) => {}
    }
}

async fn reply(request: Request<Incoming>, seat: Rc<Seat>) -> Reply {
    let route = match (request.uri().path(), request.method()) {
        ("/ingest", &Method::GET) => Route::Ingest,
        ("/publish", &Method::POST) => Route::Publish,
        ("/ingest", _) => return bad(&request, &seat, wrong_method("GET")),
        ("/publish", _) => return bad(&request, &seat, wrong_method("POST")),
        _ => {
            let reply = plain(StatusCode::NOT_FOUND, "not_found", "GET /ingest or POST /publish");
            return bad(&request, &seat, reply);
        }
    };
    if !seat.intake.admits(bearer(request.headers())) {
        seat.faults.unauthorized(Now::read());
        let reply = plain(StatusCode::UNAUTHORIZED, "unauthorized", "wrong or missing bearer token");
        return with(reply, header::WWW_AUTHENTICATE, "Bearer");
    }
    let feed = match session(&request).and_then(|name| EnvelopeFeed::new(Rc::clone(&seat), name.as_deref())) {
        Ok(feed) => feed,
        Err(refusal) => {
            seat.faults.refused(&refusal, b"", Now::read());
            return plain(StatusCode::BAD_REQUEST, refusal.code.as_str(), &refusal.message);
        }
    };
    match route {
        Route::Ingest => ingest(request, feed),
        Route::Publish => publish(request, feed).await,
    }
}

enum Route {
    Ingest,
    Publish,
}

fn ingest(mut request: Request<Incoming>, mut feed: EnvelopeFeed) -> Reply {
    // A body behind an upgrade is how a second request is smuggled past a proxy.
    let has_body = !request.body().is_end_stream();
    if has_body || !fastwebsockets::upgrade::is_upgrade_request(&request) {
        return bad(&request, &feed.seat, no_upgrade());
    }
    let Ok((response, upgrade)) = fastwebsockets::upgrade::upgrade(&mut request) else {
        return bad(&request, &feed.seat, no_upgrade());
    };
    feed.stay();
    tokio::task::spawn_local(async move {
        match upgrade.await {
            Ok(socket) => websocket::serve(socket, feed).await,
            Err(why) => feed.seat.faults.broken(&why.to_string()),
        }
    });
    response.map(|_| Full::default())
}

async fn publish(request: Request<Incoming>, mut feed: EnvelopeFeed) -> Reply {
    let is_lines = is_ndjson(request.headers());
    let body = match body(request, feed.seat.intake.message_bytes_max()).await {
        Ok(body) => body,
        Err(status) => return refuse_body(status, &feed),
    };
    let mut answer = Answer::default();
    if is_lines {
        feed.lines(&body, &mut answer).await;
    } else {
        match str::from_utf8(&body) {
            Ok(text) => feed.message(text, &mut answer).await,
            Err(_) => {
                let refusal = Refusal::invalid_utf8();
                feed.seat.faults.refused(&refusal, &body, Now::read());
                answer.reject(0, &refusal);
            }
        }
    }
    let status = match () {
        () if answer.is_too_large() => StatusCode::PAYLOAD_TOO_LARGE,
        () if !answer.is_readable() => StatusCode::BAD_REQUEST,
        () => StatusCode::OK,
    };
    json(status, answer.to_json())
}

async fn body(request: Request<Incoming>, bytes_max: usize) -> Result<Bytes, StatusCode> {
    // One that says beforehand that it is too long need not send it.
    if request.body().size_hint().lower() > bytes_max as u64 {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let whole = Limited::new(request.into_body(), bytes_max).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(why)) if why.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
    }
}

fn refuse_body(status: StatusCode, feed: &EnvelopeFeed) -> Reply {
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        let refusal = Refusal::new(RefusalCode::TooLarge, "the body is over the limit");
        feed.seat.faults.refused(&refusal, b"", Now::read());
        return plain(status, refusal.code.as_str(), &refusal.message);
    }
    feed.seat.faults.cut_off();
    plain(status, "cut_off", "the body did not come whole, or not in time")
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

/// The value of `session` in the query.
fn session(request: &Request<Incoming>) -> Result<Option<String>, Refusal> {
    let mut pairs = request.uri().query().unwrap_or("").split('&');
    let Some(value) = pairs.find_map(|pair| pair.strip_prefix("session=")) else { return Ok(None) };
    let name = percent_decode_str(value).decode_utf8().map_err(|_| Refusal::invalid_utf8())?;
    Ok(Some(name.into_owned()))
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = value.split(';').next().unwrap_or("").trim();
    kind.eq_ignore_ascii_case("application/x-ndjson")
}

/// Counts and logs a request that is refused whole.
fn bad(request: &Request<Incoming>, seat: &Seat, reply: Reply) -> Reply {
    seat.faults.bad_request(reply.status().as_str(), request.uri().path(), Now::read());
    reply
}

fn wrong_method(allowed: &'static str) -> Reply {
    let reply = plain(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "see 'Allow'");
    with(reply, header::ALLOW, allowed)
}

fn no_upgrade() -> Reply {
    let reply =
        plain(StatusCode::BAD_REQUEST, "no_websocket", "GET /ingest is a WebSocket handshake, version 13");
    with(with(reply, header::SEC_WEBSOCKET_VERSION, "13"), header::CONNECTION, "close")
}

fn plain(status: StatusCode, code: &str, message: &str) -> Reply {
    let body = serde_json::json!({ "code": code, "message": message });
    json(status, body.to_string().into_bytes())
}

fn json(status: StatusCode, body: Vec<u8>) -> Reply {
    let mut reply = with(Response::new(Full::from(body)), header::CONTENT_TYPE, "application/json");
    *reply.status_mut() = status;
    reply
}

fn with(mut reply: Reply, name: header::HeaderName, value: &'static str) -> Reply {
    reply.headers_mut().insert(name, HeaderValue::from_static(value));
    reply
}
