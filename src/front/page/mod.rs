//! The page at `/`, and the client module that it and anybody else's page import: files that are part of the program.
//!
//! Thread: front. It must not read a disk, and holds no state of a visitor. Invariant: every file goes out with a policy that lets a
//! browser load nothing from anywhere else, and with a tag by which it asks again without fetching again.
//!
//! | file | what |
//! |---|---|
//! | `index.html`, `style.css`, `icon.svg` | the page, without a script or a style in it |
//! | `app.js` | starts it all; the frame in which everything is drawn |
//! | `feed.js`, `remote.js` | the worker that holds the connection, and the page's side of it |
//! | `market.js` | what is known of each symbol; no DOM |
//! | `wants.js` | what it asks of the server |
//! | `list.js`, `order.js`, `row.js`, `spark.js` | the watch list: its order, the rows that are seen, their price lines |
//! | `pane.js`, `tape.js`, `book.js`, `ladder.js`, `table.js` | one symbol: its trades and its book |
//! | `head.js`, `delay.js` | connection, rate and delay; the state in words |
//! | `place.js` | order, filter and open symbol, kept in the address |
//! | `numbers.js` | how prices and amounts are written |

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderMap,
    HeaderValue, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, StatusCode};

use super::answer::{Answer, Refused, plain, whole};

/// What a browser may do for the page: load and connect to where it came from, nothing else, and make no markup out of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'; trusted-types worker";

/// What `GET /` says to who does not ask for HTML.
const INDEX: &str = concat!(
    "Tapecast ",
    env!("CARGO_PKG_VERSION"),
    ": market data over WebSocket. In a browser, this address is a page that shows it.\n\n",
    "  /v1/ws                         native: subscribe by JSON messages\n",
    "  /ws, /ws/<channel>             Binance: raw payloads\n",
    "  /stream?streams=<a>/<b>        Binance: combined payloads\n",
    "  /tapecast.js                   the client for browsers and Node.js, an ES module\n\n",
    "Without WebSocket, the native records:\n\n",
    "  /v1/sse?channels=<a>,<b>       Server-Sent Events (every_ms, snapshot, last_event_id)\n",
    "  /v1/poll?channels=<a>,<b>      long poll (cursor, wait_ms)\n",
    "  /v1/last?channels=<a>,<b>      the latest records\n",
    "  /v1/channels                   the channels that exist (match=<pattern>)\n",
);

/// What a browser gets at `/`. It holds `{version}`, by which a page that was left open notices another server.
const HTML: &str = include_str!("index.html");

const CSS_TYPE: &str = "text/css; charset=utf-8";
const HTML_TYPE: &str = "text/html; charset=utf-8";
const JS_TYPE: &str = "text/javascript; charset=utf-8";
const SVG_TYPE: &str = "image/svg+xml";

/// The client module's path: the one file that pages from elsewhere may import.
const CLIENT: &str = "/tapecast.js";

/// Path, content type, text.
const FILES: &[(&str, &str, &str)] = &[
    (CLIENT, JS_TYPE, include_str!("../../../clients/js/tapecast.js")),
    ("/page/style.css", CSS_TYPE, include_str!("style.css")),
    ("/page/icon.svg", SVG_TYPE, include_str!("icon.svg")),
    ("/page/app.js", JS_TYPE, include_str!("app.js")),
    ("/page/book.js", JS_TYPE, include_str!("book.js")),
    ("/page/delay.js", JS_TYPE, include_str!("delay.js")),
    ("/page/feed.js", JS_TYPE, include_str!("feed.js")),
    ("/page/head.js", JS_TYPE, include_str!("head.js")),
    ("/page/ladder.js", JS_TYPE, include_str!("ladder.js")),
    ("/page/list.js", JS_TYPE, include_str!("list.js")),
    ("/page/market.js", JS_TYPE, include_str!("market.js")),
    ("/page/numbers.js", JS_TYPE, include_str!("numbers.js")),
    ("/page/order.js", JS_TYPE, include_str!("order.js")),
    ("/page/pane.js", JS_TYPE, include_str!("pane.js")),
    ("/page/place.js", JS_TYPE, include_str!("place.js")),
    ("/page/remote.js", JS_TYPE, include_str!("remote.js")),
    ("/page/row.js", JS_TYPE, include_str!("row.js")),
    ("/page/spark.js", JS_TYPE, include_str!("spark.js")),
    ("/page/table.js", JS_TYPE, include_str!("table.js")),
    ("/page/tape.js", JS_TYPE, include_str!("tape.js")),
    ("/page/wants.js", JS_TYPE, include_str!("wants.js")),
];

/// A file as it is served.
struct File {
    path: &'static str,
    content_type: &'static str,
    text: Bytes,
    /// Of its text alone: the same in each process of the same build.
    tag: HeaderValue,
}

impl File {
    fn new(path: &'static str, content_type: &'static str, text: impl Into<Bytes>) -> Self {
        let text = text.into();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let tag = format!("\"{:016x}\"", hasher.finish());
        let tag = HeaderValue::try_from(tag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { path, content_type, text, tag }
    }

    fn answer(&self, asked: &HeaderMap) -> Answer {
        let mut answer = if is_known(&self.tag, asked) {
            let mut unchanged = whole(StatusCode::NOT_MODIFIED, self.content_type, Bytes::new());
            unchanged.headers_mut().remove(hyper::header::CONTENT_TYPE);
            unchanged
        } else {
            whole(StatusCode::OK, self.content_type, self.text.clone())
        };
        let headers = answer.headers_mut();
        headers.insert(ETAG, self.tag.clone());
        for (name, value) in [
            // Asked again each time: after an upgrade no file of the old page may meet one of the new.
            (CACHE_CONTROL, "no-cache"),
            (CONTENT_SECURITY_POLICY, POLICY),
            (REFERRER_POLICY, "no-referrer"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.path == CLIENT {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        }
        answer
    }
}

/// The page itself first, then [`FILES`].
static SERVED: LazyLock<Vec<File>> = LazyLock::new(|| {
    let html = HTML.replace("{version}", env!("CARGO_PKG_VERSION"));
    let page = File::new("/", HTML_TYPE, html);
    let files = FILES.iter().map(|&(path, content_type, text)| File::new(path, content_type, text));
    std::iter::once(page).chain(files).collect()
});

/// What a request for the page or one of its files gets; `None` for any other path.
pub(super) fn answer<B>(request: &Request<B>) -> Option<Result<Answer, Refused>> {
    let path = request.uri().path();
    let file = SERVED.iter().find(|file| file.path == path)?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Some(Err(Refused::method()));
    }
    let headers = request.headers();
    if path != "/" {
        return Some(Ok(file.answer(headers)));
    }
    let mut answer = if wants_html(headers) { file.answer(headers) } else { plain(StatusCode::OK, INDEX) };
    answer.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    Some(Ok(answer))
}

/// Browsers name HTML; curl and libraries take anything, and are better served with text.
fn wants_html(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    accepted
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("text/html")))
}

/// Whether the client holds what has this tag. A weak tag is as good: bodies are never changed on their way out of here.
fn is_known(tag: &HeaderValue, headers: &HeaderMap) -> bool {
    let Ok(tag) = tag.to_str() else { return false };
    let held = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    held.flat_map(|value| value.split(',')).any(|held| {
        let held = held.trim();
        held == "*" || held.strip_prefix("W/").unwrap_or(held) == tag
    })
}
