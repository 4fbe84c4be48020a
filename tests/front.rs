//! The front over real sockets: what it hands to a shard, and what it answers to everybody else.
//!
//! No shard runs here: a test holds the shards' ends of the mailboxes and plays their part.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tapecast::front::{Front, Options, Stats};
use tapecast::shard::mailbox::{self, Letter, Newborn, Post};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, watch};

/// Longer than anything here takes: to fail instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// The key of RFC 6455, 1.3, and its answer there.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

type Counter = fn(&Stats) -> &AtomicU64;

/// A front on a thread of its own, and the shards' ends of its mailboxes.
struct Harness {
    address: SocketAddr,
    stats: Arc<Stats>,
    posts: Vec<Post>,
    bell: Arc<Notify>,
    waiting: Runtime,
    shutdown: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

fn options() -> Options {
    Options {
        listen: "127.0.0.1:0".parse().unwrap(),
        connections_max: 0,
        connections_per_address_max: 0,
        handshakes_max: 64,
        head_bytes_max: 64 * 1024,
        head_timeout: PATIENCE,
        channels_max: 1024,
    }
}

impl Harness {
    fn new(options: Options) -> Self {
        Self::with_shards(options, 1, 64)
    }

    fn with_shards(options: Options, shards: usize, letters_max: usize) -> Self {
        let bell = Arc::new(Notify::new());
        let (mailboxes, posts) = (0..shards).map(|_| mailbox::new(letters_max, Arc::clone(&bell))).unzip();
        let stats = Arc::new(Stats::default());
        let front = Front::bind(options, Arc::clone(&stats)).unwrap();
        let address = front.address();
        let (shutdown, signal) = watch::channel(false);
        let run = move || runtime().block_on(front.run(mailboxes, signal));
        let thread = Some(std::thread::spawn(run));
        Self { address, stats, posts, bell, waiting: runtime(), shutdown, thread }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// Connects and sends this.
    fn send(&self, request: impl AsRef<[u8]>) -> TcpStream {
        let mut client = self.connect();
        client.write_all(request.as_ref()).unwrap();
        client
    }

    /// Sends this and returns all that comes until the server closes.
    fn say(&self, request: impl AsRef<[u8]>) -> String {
        everything(self.send(request))
    }

    /// A handshake that is to be answered with 101.
    fn upgrade(&self) -> TcpStream {
        let mut client = self.send(handshake("/v1/ws", ""));
        assert_switches(&head(&mut client));
        client
    }

    /// The next newborn of a shard.
    fn newborn(&self, shard: usize) -> Newborn {
        let next = async {
            loop {
                if let Some(Letter::Newborn(newborn)) = self.posts[shard].take() {
                    return *newborn;
                }
                self.bell.notified().await;
            }
        };
        self.waiting.block_on(async { tokio::time::timeout(PATIENCE, next).await.unwrap() })
    }

    fn read(&self, counter: Counter) -> u64 {
        counter(&self.stats).load(Ordering::Relaxed)
    }

    /// Waits for a counter that the front writes only after the client can see what it counts.
    #[track_caller]
    fn expect(&self, counter: Counter, value: u64) {
        retry(|| if self.read(counter) == value { Break(()) } else { Continue(()) });
    }

    fn shut_down(&mut self) {
        self.shutdown.send_replace(true);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
    }
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the tests' own deadlines")]
fn now() -> Instant {
    Instant::now()
}

/// Tries until it breaks, giving the processor away between tries.
#[track_caller]
fn retry<T>(mut attempt: impl FnMut() -> ControlFlow<T>) -> T {
    let deadline = now() + PATIENCE;
    loop {
        if let Break(value) = attempt() {
            return value;
        }
        assert!(now() < deadline, "it never came");
        std::thread::yield_now();
    }
}

fn handshake(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// All until the server closes, which must not be a reset.
fn everything(mut client: TcpStream) -> String {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

fn exactly(client: &mut TcpStream, bytes: usize) -> String {
    let mut text = vec![0; bytes];
    client.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// The next answer's head, in lower case.
fn head(client: &mut TcpStream) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head += &exactly(client, 1);
    }
    head
}

#[track_caller]
fn assert_switches(head: &str) {
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

/// An answer of this status that refuses and closes, and the only one.
#[track_caller]
fn assert_refused(answer: &str, status: u16) {
    let lower = answer.to_ascii_lowercase();
    assert!(lower.starts_with(&format!("http/1.1 {status} ")), "{answer:?}");
    assert!(lower.contains("\r\nconnection: close\r\n"), "{answer:?}");
    assert_eq!(lower.matches("http/1.1 ").count(), 1, "{answer:?}");
    assert_eq!(lower.contains("\r\nretry-after: 5\r\n"), status == 503, "{answer:?}");
}

#[test]
fn a_handshake_hands_over_the_socket_and_the_bytes_behind_it() {
    let front = Harness::new(options());
    let mut client = front.send(handshake("/ws/btcusdt@trade/ethusdt@ticker", "") + "early");

    let head = head(&mut client);
    assert_switches(&head);
    let lower = head.to_ascii_lowercase();
    assert!(lower.contains("\r\nupgrade: websocket\r\n"), "{head}");
    assert!(lower.contains("\r\nconnection: upgrade\r\n"), "{head}");
    assert!(head.contains(&format!(": {ACCEPT}\r\n")), "{head}");
    assert!(!lower.contains("sec-websocket-extensions"), "{head}");

    let mut newborn = front.newborn(0);
    assert_eq!(newborn.read_ahead, b"early");
    assert_eq!(newborn.peer, client.local_addr().unwrap());
    assert!(newborn.socket.nodelay().unwrap());
    assert_eq!(newborn.opening.dialect.name(), "binance");
    let channels: Vec<_> = newborn.opening.channels.iter().map(|name| name.as_str()).collect();
    assert_eq!(channels, ["btcusdt@trade", "ethusdt@ticker"]);

    // It is non-blocking and whole: what the shard writes, the client reads.
    let nothing_yet = newborn.socket.read(&mut [0]).unwrap_err();
    assert_eq!(nothing_yet.kind(), ErrorKind::WouldBlock);
    newborn.socket.write_all(b"from the shard").unwrap();
    assert_eq!(exactly(&mut client, 14), "from the shard");
    assert_eq!((front.read(|s| &s.upgraded), front.read(|s| &s.connections)), (1, 1));
}

#[test]
fn a_socket_handed_over_outlives_the_front() {
    let mut front = Harness::new(options());
    let mut client = front.upgrade();
    let mut newborn = front.newborn(0);
    front.shut_down();
    newborn.socket.write_all(b"still here").unwrap();
    assert_eq!(exactly(&mut client, 10), "still here");
    assert_eq!(front.read(|s| &s.connections), 1);
    drop(newborn);
    assert_eq!(front.read(|s| &s.connections), 0, "the permit went with it");
}

#[test]
fn the_least_loaded_shard_gets_the_next_one() {
    let front = Harness::with_shards(options(), 3, 64);
    let _clients: Vec<_> = (0..6).map(|_| front.upgrade()).collect();
    for post in 0..3 {
        (0..2).for_each(|_| drop(front.newborn(post)));
    }
    (0..2).for_each(|_| front.posts[1].departed());
    let _more: Vec<_> = (0..2).map(|_| front.upgrade()).collect();
    (0..2).for_each(|_| drop(front.newborn(1)));
}

#[test]
fn a_full_mailbox_passes_to_the_next_shard_and_then_refuses() {
    let front = Harness::with_shards(options(), 2, 1);
    let _clients = [front.upgrade(), front.upgrade()];
    drop(front.newborn(0));
    // The second shard has nobody now, so it is tried first, but its one place is taken.
    front.posts[1].departed();
    let _third = front.upgrade();
    assert_refused(&front.say(handshake("/v1/ws", "")), 503);
    assert_eq!(front.read(|s| &s.refused_busy), 1);
    drop(front.newborn(1));
    let _fourth = front.upgrade();
    drop(front.newborn(1));
}

#[test]
fn the_limit_on_connections_holds_until_a_newborn_is_dropped() {
    let front = Harness::new(Options { connections_max: 2, ..options() });
    let _clients = [front.upgrade(), front.upgrade()];
    let (first, _second) = (front.newborn(0), front.newborn(0));
    assert_refused(&front.say(handshake("/v1/ws", "")), 503);
    assert_eq!((front.read(|s| &s.refused_total), front.read(|s| &s.accepted)), (1, 3));
    drop(first);
    front.upgrade();
}

#[test]
fn the_limit_on_an_address_holds_until_a_newborn_is_dropped() {
    let front = Harness::new(Options { connections_per_address_max: 1, ..options() });
    let _client = front.upgrade();
    let newborn = front.newborn(0);
    assert_refused(&front.say(handshake("/v1/ws", "")), 503);
    assert_eq!(front.read(|s| &s.refused_address), 1);
    drop(newborn);
    front.upgrade();
}

#[test]
fn handshakes_in_progress_are_limited_and_end_with_their_clients() {
    let front = Harness::new(Options { handshakes_max: 1, ..options() });
    let slow = front.send("GET /v1/ws HT");
    assert_refused(&front.say(handshake("/v1/ws", "")), 503);
    assert_eq!(front.read(|s| &s.refused_busy), 1);
    drop(slow);
    front.expect(|s| &s.connections, 0);
    front.upgrade();
    assert_eq!(front.read(|s| &s.bad_requests), 1);
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let front = Harness::new(Options { handshakes_max: 0, ..options() });
    for _ in 0..50 {
        assert_refused(&front.say(handshake("/v1/ws", &"x: y\r\n".repeat(50))), 503);
    }
}

#[test]
fn the_index_says_where_to_connect_and_keeps_the_connection() {
    let front = Harness::new(options());
    let mut client = front.connect();
    for method in ["GET", "HEAD"] {
        client.write_all(GET.replacen("GET", method, 1).as_bytes()).unwrap();
        let head = head(&mut client).to_ascii_lowercase();
        assert!(head.starts_with("http/1.1 200 ") && !head.contains("connection: close"), "{head}");
        let length = head.split_once("content-length: ").unwrap().1.split_once('\r').unwrap().0;
        if method == "GET" {
            assert!(exactly(&mut client, length.parse().unwrap()).contains("/v1/ws"));
        }
    }
    client.write_all(handshake("/v1/ws", "").as_bytes()).unwrap();
    assert_switches(&head(&mut client));
    assert_eq!(front.newborn(0).peer, client.local_addr().unwrap());
}

#[test]
fn an_unknown_path_is_404() {
    let front = Harness::new(options());
    for target in ["/nope", "/v1/wsx", "/%00%1b[31m", "*"] {
        assert_refused(&front.say(handshake(target, "")), 404);
    }
    assert_refused(&front.say(GET.replacen("GET", "POST", 1)), 404);
    assert_eq!((front.read(|s| &s.not_found), front.read(|s| &s.bad_requests)), (5, 0));
}

#[test]
fn a_bad_handshake_is_told_what_is_wrong() {
    let front = Harness::new(Options { channels_max: 2, ..options() });
    let good = handshake("/v1/ws", "");
    let cases = [
        (GET.replacen("/", "/v1/ws", 1), 426),
        (good.replace("Version: 13", "Version: 8"), 426),
        (good.replacen("GET", "POST", 1), 405),
        (good.replacen("HTTP/1.1", "HTTP/1.0", 1), 400),
        (good.replace(KEY, "short"), 400),
        (handshake("/v1/ws", "Content-Length: 5\r\n"), 400),
        (handshake("/stream?streams=a@trade/b@trade/c@trade", ""), 400),
    ];
    for (number, (request, status)) in (1..).zip(&cases) {
        // An answer to HTTP/1.0 closes without saying so, unless it is made to.
        let answer = front.say(request).replacen("HTTP/1.0", "HTTP/1.1", 1);
        assert_refused(&answer, *status);
        assert_eq!(*status == 426, answer.contains("sec-websocket-version: 13\r\n"), "{answer}");
        assert_eq!(*status == 405, answer.contains("allow: GET\r\n"), "{answer}");
        assert_eq!(front.read(|s| &s.bad_handshakes), number);
    }
    assert_eq!(front.read(|s| &s.upgraded), 0);
}

#[test]
fn nothing_behind_a_refused_upgrade_is_answered() {
    let front = Harness::new(options());
    let body = handshake("/v1/ws", "Content-Length: 5\r\n") + "12345";
    for (refused, status) in [(handshake("/nope", ""), 404), (body, 400)] {
        assert_refused(&front.say(format!("{refused}{GET}{GET}")), status);
    }
}

#[test]
fn heads_over_the_bounds_are_refused() {
    let front = Harness::new(options());
    // Five headers stand in each handshake.
    let lines = |count: usize| handshake("/v1/ws", &"x: y\r\n".repeat(count - 5));
    assert_refused(&front.say(lines(101)), 431);
    assert_switches(&head(&mut front.send(lines(100))));

    let padded = |bytes: usize| {
        let padding = bytes - handshake("/v1/ws", "x: \r\n").len();
        handshake("/v1/ws", &format!("x: {}\r\n", "y".repeat(padding)))
    };
    let bytes_max = options().head_bytes_max;
    assert_refused(&front.say(padded(bytes_max + 1)), 431);
    assert_switches(&head(&mut front.send(padded(bytes_max))));
    front.expect(|s| &s.bad_requests, 2);
}

#[test]
fn a_head_that_does_not_end_is_cut_after_its_time() {
    let head_timeout = Duration::from_millis(300);
    let front = Harness::new(Options { head_timeout, ..options() });
    let begun = now();
    let silent = front.connect();
    let mut slow = front.connect();
    // The read's time-out is the pace: a byte of head each 20 ms.
    slow.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let end = retry(|| match slow.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock && slow.write_all(b"x").is_ok() => Continue(()),
        end => Break(end.unwrap_or(0)),
    });
    assert_eq!((end, everything(silent).as_str()), (0, ""), "closed without an answer");
    let took = now() - begun;
    assert!(took >= head_timeout, "{took:?}");
    front.expect(|s| &s.bad_requests, 2);
    drop(slow);
    front.expect(|s| &s.connections, 0);
}

#[test]
fn a_kept_connection_that_is_idle_ends_and_is_not_counted_as_bad() {
    let front = Harness::new(Options { head_timeout: Duration::from_millis(100), ..options() });
    let answer = front.say(GET);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    front.expect(|s| &s.connections, 0);
    assert_eq!(front.read(|s| &s.bad_requests), 0);
}

#[test]
fn a_client_that_reads_no_answers_is_cut() {
    let front = Harness::new(Options { head_timeout: Duration::from_millis(200), ..options() });
    let mut client = front.connect();
    client.set_write_timeout(Some(PATIENCE)).unwrap();
    let requests = GET.repeat(1000);
    let cut = retry(|| match client.write_all(requests.as_bytes()) {
        Ok(()) => Continue(()),
        Err(error) => Break(error.kind()),
    });
    assert!(matches!(cut, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{cut}");
    front.expect(|s| &s.connections, 0);
}

#[test]
fn what_is_not_http_is_closed() {
    let front = Harness::new(options());
    let cases: [&[u8]; 6] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x5a\xa5",
        b"\x05\x01\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"GET /\x1b[31m HTTP/1.1\r\nHost: test\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: te\0st\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo",
    ];
    for (number, case) in (1..).zip(cases) {
        let client = front.send(case);
        client.shutdown(Shutdown::Write).unwrap();
        let answer = everything(client);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
        front.expect(|s| &s.bad_requests, number);
    }
    front.upgrade();
}

#[test]
fn random_bytes_are_closed() {
    let front = Harness::new(options());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    println!("seed {state:#x}");
    let mut byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    for number in 1..=200 {
        let noise: Vec<u8> = (0..number * 16).map(|_| byte()).collect();
        let client = front.send(&noise);
        client.shutdown(Shutdown::Write).unwrap();
        everything(client);
        front.expect(|s| &s.bad_requests, number);
    }
    front.expect(|s| &s.connections, 0);
}

#[test]
fn a_taken_port_is_named() {
    let front = Harness::new(options());
    let again = Front::bind(Options { listen: front.address, ..options() }, Arc::default());
    let error = again.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&front.address.to_string()), "{error}");
}

#[test]
fn the_shutdown_ends_what_is_not_handed_over() {
    let mut front = Harness::new(options());
    let idle = front.connect();
    let mut halfway = front.send("GET / HTTP/1.1\r\n");
    front.expect(|s| &s.connections, 2);
    front.shut_down();
    assert_eq!((everything(idle).as_str(), front.read(|s| &s.connections)), ("", 0));
    // What it had sent was read, or not: then the end is a reset.
    assert!(matches!(halfway.read(&mut [0]), Ok(0) | Err(_)));
    assert!(TcpStream::connect(front.address).is_err(), "nobody listens");
}
