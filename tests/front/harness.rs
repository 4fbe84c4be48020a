//! A front on a thread of its own; the test holds the shards' ends of the mailboxes and plays their part.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tapecast::channel::{Catalogue, ChannelId, ChannelName, DeliveryRules};
use tapecast::front::{Front, Market, Options, Stats};
use tapecast::record::{Format, Head};
use tapecast::ring::{self, Kind, Publisher, Stamp};
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
    pub(crate) tape: Tape,
    thread: Option<JoinHandle<()>>,
}

/// The feed's side of the market: what ingest would do.
pub(crate) struct Tape {
    publisher: Publisher,
    pub(crate) catalogue: Arc<Catalogue>,
    /// Channels by index, and each one's last sequence.
    channels: Vec<(String, u64)>,
    pub(crate) ordinal: u64,
}

impl Tape {
    fn new(bytes: usize) -> (Self, Market) {
        let options = ring::Options { bytes, channels_max: 4096, body_bytes_max: bytes / 64, readers: 0 };
        let (publisher, ring) = ring::new(&options).unwrap();
        let catalogue = Arc::new(Catalogue::new(DeliveryRules::default()));
        let market = Market::new(ring, Arc::clone(&catalogue), "e1".into());
        (Self { publisher, catalogue, channels: Vec::new(), ordinal: 0 }, market)
    }

    /// Publishes a payload on a channel, which exists from then on.
    pub(crate) fn publish(&mut self, name: &str, payload: &str) {
        let index = self.channels.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.channels.push((name.to_owned(), 0));
            self.catalogue.insert(&ChannelName::parse(name).unwrap(), self.id(name));
            self.channels.len() - 1
        });
        self.channels[index].1 += 1;
        self.ordinal += 1;
        let stamp = Stamp {
            kind: Kind::Data,
            flags: 0,
            channel: index as u32,
            generation: 0,
            sequence: self.channels[index].1,
            ordinal: self.ordinal,
            monotonic_ns: 1,
        };
        let head = Head { wall_us: 7, feed_sequence: None, payload_hash: 0, format: Format::Text, epoch: 0 };
        self.publisher.publish(&stamp, &[&head.to_bytes(), payload.as_bytes()]).unwrap();
    }

    /// A channel's id.
    pub(crate) fn id(&self, name: &str) -> ChannelId {
        let index = self.channels.iter().position(|(known, _)| known == name).unwrap();
        ChannelId { index: index as u32, generation: 0 }
    }
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
        patterns_max: 16,
        pattern_channels_max: 3000,
        resume_records_max: 1000,
        notsent_lowat_bytes: 1 << 17,
    }
}

impl Harness {
    pub(crate) fn new(options: Options) -> Self {
        Self::with_shards(options, 1, 64)
    }

    /// With a ring of this size.
    pub(crate) fn with_ring(bytes: usize) -> Self {
        Self::of(options(), (1, 64), bytes)
    }

    pub(crate) fn with_shards(options: Options, shards: usize, letters_max: usize) -> Self {
        Self::of(options, (shards, letters_max), 1 << 23)
    }

    fn of(options: Options, (shards, letters_max): (usize, usize), ring_bytes: usize) -> Self {
        let bell = Arc::new(Notify::new());
        let (mailboxes, posts) = (0..shards).map(|_| mailbox::new(letters_max, Arc::clone(&bell))).unzip();
        let stats = Arc::new(Stats::default());
        let front = Front::bind(options, Arc::clone(&stats)).unwrap();
        let address = front.address();
        let (shutdown, signal) = watch::channel(false);
        let (tape, market) = Tape::new(ring_bytes);
        let run =
            move || runtime().block_on(async { front.run(market, mailboxes, signal).await.end().await });
        let thread = Some(std::thread::spawn(run));
        Self { address, stats, posts, bell, waiting: runtime(), shutdown, tape, thread }
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

    /// Asks for a path, and reads the whole answer: its status, its head in lower case, and its body.
    pub(crate) fn get(&self, target: &str) -> (u16, String, String) {
        self.ask("GET", target)
    }

    pub(crate) fn ask(&self, method: &str, target: &str) -> (u16, String, String) {
        let answer =
            self.say(format!("{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let body =
            if head.contains("transfer-encoding: chunked") { dechunked(body) } else { body.to_owned() };
        (status, head, body)
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

/// A body without its chunks' lengths.
pub(crate) fn dechunked(mut rest: &str) -> String {
    let mut body = String::new();
    loop {
        let (length, more) = rest.split_once("\r\n").unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        body += &more[..length];
        rest = more[length..].strip_prefix("\r\n").unwrap();
        if length == 0 {
            assert_eq!(rest, "", "nothing behind the last chunk");
            return body;
        }
    }
}
