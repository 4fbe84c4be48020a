//! A front on a thread of its own; the test holds the shards' ends of the mailboxes and plays their part.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
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
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The key of RFC 6455, 1.3, and its answer there.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

pub(crate) const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

pub(crate) type Counter = fn(&Stats) -> &AtomicU64;

/// A front on a thread of its own, and the shards' ends of its mailboxes.
pub(crate) struct Harness {
    pub(crate) address: SocketAddr,
    stats: Arc<Stats>,
    pub(crate) posts: Vec<Post>,
    bell: Arc<Notify>,
    waiting: Runtime,
    pub(crate) shutdown: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn options() -> Options {
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
    pub(crate) fn new(options: Options) -> Self {
        Self::with_shards(options, 1, 64)
    }

    pub(crate) fn with_shards(options: Options, shards: usize, letters_max: usize) -> Self {
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

    pub(crate) fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client
    }

    /// Connects and sends this.
    pub(crate) fn send(&self, request: impl AsRef<[u8]>) -> TcpStream {
        let mut client = self.connect();
        client.write_all(request.as_ref()).unwrap();
        client
    }

    /// Sends this and returns all that comes until the server closes.
    pub(crate) fn say(&self, request: impl AsRef<[u8]>) -> String {
        everything(self.send(request))
    }

    /// A handshake that is to be answered with 101.
    pub(crate) fn upgrade(&self) -> TcpStream {
        let mut client = self.send(handshake("/v1/ws", ""));
        assert_switches(&head(&mut client));
        client
    }

    /// The next newborn of a shard.
    pub(crate) fn newborn(&self, shard: usize) -> Newborn {
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

    pub(crate) fn read(&self, counter: Counter) -> u64 {
        counter(&self.stats).load(Ordering::Relaxed)
    }

    /// Waits for a counter that the front writes only after the client can see what it counts.
    #[track_caller]
    pub(crate) fn expect(&self, counter: Counter, value: u64) {
        retry(|| if self.read(counter) == value { Break(()) } else { Continue(()) });
    }

    pub(crate) fn shut_down(&mut self) {
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

pub(crate) fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the tests' own deadlines")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Tries until it breaks, giving the processor away between tries.
#[track_caller]
pub(crate) fn retry<T>(mut attempt: impl FnMut() -> ControlFlow<T>) -> T {
    let deadline = now() + PATIENCE;
    loop {
        if let Break(value) = attempt() {
            return value;
        }
        assert!(now() < deadline, "it never came");
        std::thread::yield_now();
    }
}

pub(crate) fn handshake(target: &str, more: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// All until the server closes, which must not be a reset.
pub(crate) fn everything(mut client: TcpStream) -> String {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

pub(crate) fn exactly(client: &mut TcpStream, bytes: usize) -> String {
    let mut text = vec![0; bytes];
    client.read_exact(&mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// The next answer's head, in lower case.
pub(crate) fn head(client: &mut TcpStream) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head += &exactly(client, 1);
    }
    head
}

#[track_caller]
pub(crate) fn assert_switches(head: &str) {
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

/// An answer of this status that refuses and closes, and the only one.
#[track_caller]
pub(crate) fn assert_refused(answer: &str, status: u16) {
    let lower = answer.to_ascii_lowercase();
    assert!(lower.starts_with(&format!("http/1.1 {status} ")), "{answer:?}");
    assert!(lower.contains("\r\nconnection: close\r\n"), "{answer:?}");
    assert_eq!(lower.matches("http/1.1 ").count(), 1, "{answer:?}");
    assert_eq!(lower.contains("\r\nretry-after: 5\r\n"), status == 503, "{answer:?}");
}
