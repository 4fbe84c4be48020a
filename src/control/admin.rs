//! The admin listener: `/metrics`, `/healthz`, `/readyz`.
//!
//! A current-thread runtime that the server gives it, away from subscribers' sockets. It changes nothing in the
//! server. Invariant: it holds at most `CONNECTIONS_MAX` connections, each for at most `CONNECTION_TIME_MAX`.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::metrics::{Metrics, Sources};

/// Connections at a time; the next one waits in the kernel.
const CONNECTIONS_MAX: usize = 32;

/// Time for a request's head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(5);

/// Time for a whole connection, which is one request and its answer.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(15);

/// Bytes of a request's head, and of what waits to be written.
const BUFFER_BYTES_MAX: usize = 16 << 10;

/// Pause after an `accept` that failed: without file descriptors it would fail at once again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound listener, nothing accepted yet.
#[derive(Debug)]
pub struct Admin {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Binds the listener; needs no runtime.
    ///
    /// # Errors
    /// The address that could not be bound, and why.
    pub fn bind(listen: SocketAddr) -> io::Result<Self> {
        let bind = || {
            let listener = std::net::TcpListener::bind(listen)?;
            listener.set_nonblocking(true)?;
            Ok(Self { address: listener.local_addr()?, listener })
        };
        bind().map_err(|error: io::Error| {
            io::Error::new(error.kind(), format!("admin.listen {listen}: {error}"))
        })
    }

    /// Where it really listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown` says true. On a current-thread runtime.
    ///
    /// # Errors
    /// When the runtime does not take the listener.
    pub async fn run(self, sources: Sources, mut shutdown: watch::Receiver<bool>) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let ready = Arc::clone(&sources.ready);
        let desk = Arc::new(Desk { metrics: Metrics::new(sources), ready });
        let mut connections = JoinSet::new();
        let mut starved = false;
        loop {
            tokio::select! {
                () = said(&mut shutdown) => return Ok(()),
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((socket, _)) => {
                        starved = false;
                        connections.spawn(converse(socket, Arc::clone(&desk)));
                    }
                    Err(error) => {
                        // Once, for a shortage that lasts.
                        if !std::mem::replace(&mut starved, true) {
                            tracing::warn!(%error, "admin: accept failed");
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// Waits for the word to end, or for whoever would say it to be gone.
async fn said(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|&down| down).await;
}

/// One connection: one request, one answer.
async fn converse(socket: TcpStream, desk: Arc<Desk>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let answer = desk.answer(request.method(), request.uri().path());
        async { Ok::<_, Infallible>(answer) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Who has nothing more to say still reads its answer.
        .half_close(true)
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    match tokio::time::timeout(CONNECTION_TIME_MAX, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "admin: connection failed"),
        Err(_) => tracing::debug!("admin: connection took too long"),
    }
}

/// What answers.
struct Desk {
    metrics: Metrics,
    ready: Arc<AtomicBool>,
}

impl Desk {
    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        let known = matches!(path, "/metrics" | "/healthz" | "/readyz");
        if known && method != Method::GET && method != Method::HEAD {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refusal;
        }
        match path {
            "/metrics" => self.metrics(),
            "/healthz" => text(StatusCode::OK, "ok\n"),
            // ORDERING: Relaxed: the flag guards no other memory.
            "/readyz" if self.ready.load(Ordering::Relaxed) => text(StatusCode::OK, "ready\n"),
            "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "starting or draining\n"),
            _ => text(StatusCode::NOT_FOUND, "not found; here are /metrics, /healthz and /readyz\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let Ok(page) = self.metrics.text() else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "metrics could not be written\n");
        };
        let mut response = text(StatusCode::OK, page);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(Metrics::CONTENT_TYPE));
        response
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
