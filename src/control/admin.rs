//! The admin listener: `/metrics`, `/healthz`, `/readyz`, `/admin/subscribers`.
//!
//! A current-thread runtime that the server gives it, away from subscribers' sockets. It changes nothing in the
//! server but what a DELETE asks for. Invariant: it holds at most `CONNECTIONS_MAX` connections, each for at most `CONNECTION_TIME_MAX`.

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
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::metrics::{Metrics, Sources};
use super::subscribers::{Refused, Subscribers};
use crate::shard::mailbox::Mailbox;

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

/// What there is.
const HERE: &str = "not found; here are /metrics, /healthz, /readyz and /admin/subscribers\n";

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

    /// Answers until `shutdown` says true. On a current-thread runtime. `shards`: their mailboxes, by their numbers.
    ///
    /// # Errors
    /// When the runtime does not take the listener.
    pub async fn run(
        self,
        sources: Sources,
        shards: Vec<Mailbox>,
        mut shutdown: watch::Receiver<bool>,
    ) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let ready = Arc::clone(&sources.ready);
        let subscribers = Subscribers::new(shards);
        let desk = Arc::new(Desk { metrics: Metrics::new(sources), subscribers, ready });
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
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.answer(request.method(), request.uri()).await) }
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
    subscribers: Subscribers,
    ready: Arc<AtomicBool>,
}

impl Desk {
    async fn answer(&self, method: &Method, uri: &Uri) -> Response<Full<Bytes>> {
        let path = uri.path();
        let one = path.strip_prefix("/admin/subscribers/");
        match (one, path) {
            (Some(_), _) if method != Method::DELETE => refuse_method("DELETE"),
            (Some(id), _) => self.close(id).await,
            (None, "/metrics" | "/healthz" | "/readyz" | "/admin/subscribers")
                if method != Method::GET && method != Method::HEAD =>
            {
                refuse_method("GET, HEAD")
            }
            (None, "/metrics") => self.metrics(),
            (None, "/admin/subscribers") => self.list(uri.query()).await,
            (None, "/healthz") => text(StatusCode::OK, "ok\n"),
            // ORDERING: Relaxed: the flag guards no other memory.
            (None, "/readyz") if self.ready.load(Ordering::Relaxed) => text(StatusCode::OK, "ready\n"),
            (None, "/readyz") => text(StatusCode::SERVICE_UNAVAILABLE, "starting or draining\n"),
            (None, _) => text(StatusCode::NOT_FOUND, HERE),
        }
    }

    async fn list(&self, query: Option<&str>) -> Response<Full<Bytes>> {
        match self.subscribers.list(query).await {
            Ok(rows) => {
                let mut response = text(StatusCode::OK, rows);
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
            Err(refused) => refuse(refused),
        }
    }

    async fn close(&self, id: &str) -> Response<Full<Bytes>> {
        match self.subscribers.close(id).await {
            Ok(()) => {
                tracing::info!(id, "closed a subscriber, as asked on the admin listener");
                text(StatusCode::NO_CONTENT, "")
            }
            Err(refused) => refuse(refused),
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

fn refuse(Refused(status, why): Refused) -> Response<Full<Bytes>> {
    text(status, format!("{why}\n"))
}

fn refuse_method(allowed: &'static str) -> Response<Full<Bytes>> {
    let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed}\n"));
    refusal.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    refusal
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
