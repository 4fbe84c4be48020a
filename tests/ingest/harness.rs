//! One ingest stage on a thread of its own, a reader of its ring, and clients to drive it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tapecast::channel::{Catalogue, DeliveryRules};
use tapecast::ingest::{Ingest, Options, RefusalCode, Stats};
use tapecast::record::{Head, Status};
use tapecast::ring::{self, Entry, Kind, Next, Reader};
use tokio::sync::watch;

/// Longer than anything here takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What stands in the ring of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) channel: String,
    pub(crate) sequence: u64,
    pub(crate) ordinal: u64,
    pub(crate) feed_sequence: Option<u64>,
    pub(crate) payload: String,
}

pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) unix: PathBuf,
    pub(crate) stats: Arc<Stats>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) reader: Reader,
    wakes: Arc<AtomicU64>,
    shutdown: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

pub(crate) fn options() -> Options {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let unix = std::env::temp_dir().join(format!("tapecast-ingest-{}-{number}", std::process::id()));
    Options {
        listen: Some(([127, 0, 0, 1], 0).into()),
        unix: Some(unix),
        token: None,
        payload_bytes_max: 4_096,
        connections_max: 0,
        channels_max: 64,
        stale_after: Duration::from_secs(10),
        silence_after: Duration::ZERO,
        expire_after: Duration::ZERO,
    }
}

impl Stage {
    pub(crate) fn start() -> Self {
        Self::with(options())
    }

    pub(crate) fn with(options: Options) -> Self {
        Self::on_ring(options, 4 << 20)
    }

    pub(crate) fn on_ring(options: Options, ring_bytes: usize) -> Self {
        let ring_options = ring::Options {
            bytes: ring_bytes,
            channels_max: options.channels_max,
            body_bytes_max: options.payload_bytes_max + Head::BYTES,
            readers: 1,
        };
        let (publisher, ring) = ring::new(&ring_options).expect("a ring");
        let (stats, wakes) = (Arc::new(Stats::default()), Arc::new(AtomicU64::new(0)));
        let catalogue = Arc::new(Catalogue::new(DeliveryRules::default()));
        let unix = options.unix.clone().unwrap_or_default();
        let ingest = Ingest::bind(options, Arc::clone(&stats)).expect("free addresses");
        let address = ingest.address().expect("a TCP listener");
        let (shutdown, over) = watch::channel(false);
        let (entries, woken) = (Arc::clone(&catalogue), Arc::clone(&wakes));
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let wake = move |_| {
                woken.fetch_add(1, Ordering::SeqCst);
            };
            runtime.block_on(ingest.run(publisher, entries, wake, over));
        });
        let reader = ring.reader(0);
        Self { address, unix, stats, catalogue, reader, wakes, shutdown, thread: Some(thread) }
    }

    pub(crate) fn feed(&self) -> Feed<TcpStream> {
        Feed::new(self.tcp(), TcpStream::try_clone)
    }

    pub(crate) fn unix_feed(&self) -> Feed<UnixStream> {
        let stream = UnixStream::connect(&self.unix).expect("the Unix listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        Feed::new(stream, UnixStream::try_clone)
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the TCP listener");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    /// The records published since the last call.
    pub(crate) fn published(&mut self) -> Vec<Published> {
        let mut records = Vec::new();
        while let Next::Entry(entry) = self.reader.next() {
            if entry.kind == Some(Kind::Data) {
                records.push(self.record(&entry));
            }
        }
        records
    }

    fn record(&self, entry: &Entry) -> Published {
        let head = Head::from_words(self.reader.ring().body_words(entry).expect("not overwritten"));
        let mut payload = Vec::new();
        self.reader.ring().copy_body(entry, Head::BYTES, &mut payload).expect("not overwritten");
        Published {
            channel: self.name(entry),
            sequence: entry.sequence,
            ordinal: entry.ordinal,
            feed_sequence: head.feed_sequence,
            payload: String::from_utf8(payload).expect("text"),
        }
    }

    fn name(&self, entry: &Entry) -> String {
        let channel = self.catalogue.at(entry.channel).expect("a channel of the catalogue");
        assert_eq!(channel.id.generation, entry.generation);
        channel.name.as_str().to_owned()
    }

    /// What was said of channels since the last call, one line an entry: `a@trade 1` is a record with its sequence,
    /// `a@trade stale`, `a@trade live` and `a@trade gap 3-5` are words about it.
    pub(crate) fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Next::Entry(entry) = self.reader.next() {
            let word = match entry.kind {
                Some(Kind::Data) => entry.sequence.to_string(),
                Some(Kind::Status) => self.word(&entry),
                kind => panic!("not expected: {kind:?}"),
            };
            said.push(format!("{} {word}", self.name(&entry)));
        }
        said
    }

    fn word(&self, entry: &Entry) -> String {
        assert_eq!(entry.previous, None);
        let body = self.reader.ring().body_words(entry).expect("not overwritten");
        match Status::read(entry.flags, body).expect("a word that is known") {
            Status::Stale => "stale".to_owned(),
            Status::Live => "live".to_owned(),
            Status::FeedGap { from, to } => format!("gap {from}-{to}"),
        }
    }

    /// What is said up to `last`, while `other` keeps the stage turning without a word of any channel.
    pub(crate) fn said_until(&mut self, other: &mut Feed<TcpStream>, last: &str) -> Vec<String> {
        let mut said = Vec::new();
        ping_until(other, || {
            said.extend(self.said());
            said.iter().any(|line| line == last)
        });
        said
    }

    pub(crate) fn is_stale(&self, channel: &str) -> bool {
        self.catalogue.find(channel).expect("a channel of the catalogue").stale
    }

    /// Channel and payload of each record published since the last call.
    pub(crate) fn payloads(&mut self) -> Vec<(String, String)> {
        self.published().into_iter().map(|record| (record.channel, record.payload)).collect()
    }

    pub(crate) fn refused(&self, code: RefusalCode) -> u64 {
        self.stats.refused[code as usize].load(Ordering::Relaxed)
    }

    pub(crate) fn wakes(&self) -> u64 {
        self.wakes.load(Ordering::SeqCst)
    }

    /// Ends the stage, and returns the kinds of the entries that are still unread.
    pub(crate) fn finish(mut self) -> Vec<Option<Kind>> {
        self.shutdown.send(true).expect("a stage that runs");
        self.thread.take().expect("a stage").join().expect("a stage that ends well");
        let mut kinds = Vec::new();
        while let Next::Entry(entry) = self.reader.next() {
            kinds.push(entry.kind);
        }
        kinds
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.shutdown.send(true);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the stage panicked");
        }
    }
}

/// A client that speaks lines.
pub(crate) struct Feed<S> {
    pub(crate) stream: S,
    answers: BufReader<S>,
}

impl<S: Read + Write> Feed<S> {
    pub(crate) fn new(stream: S, clone: impl Fn(&S) -> std::io::Result<S>) -> Self {
        let answers = BufReader::new(clone(&stream).expect("a second handle"));
        Self { stream, answers }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("a stage that reads");
    }

    /// The next answer, without its line feed; empty at the end.
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer in time");
        line.trim_end_matches('\n').to_owned()
    }

    /// The first words of the next `-ERR`: its line number and code.
    pub(crate) fn error(&mut self) -> String {
        let answer = self.answer();
        let rest = answer.strip_prefix("-ERR ").unwrap_or_else(|| panic!("no -ERR: {answer:?}"));
        rest.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ")
    }

    /// Sends `PING`; the count of its answer. All that was sent before is in the ring then.
    pub(crate) fn ping(&mut self) -> u64 {
        self.send("PING\n");
        let answer = self.answer();
        let count = answer.strip_prefix("+PONG ").and_then(|count| count.parse().ok());
        count.unwrap_or_else(|| panic!("no +PONG: {answer:?}"))
    }
}

/// Pings another feed until `done`, for each answer is a turn of the stage; panics if it does not come about.
pub(crate) fn ping_until<S: Read + Write>(feed: &mut Feed<S>, mut done: impl FnMut() -> bool) {
    const TURNS_MAX: usize = 500_000;
    assert!((0..TURNS_MAX).any(|_| done() || feed.ping() == u64::MAX), "it did not come about");
}

pub(crate) fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(channel, payload)| ((*channel).to_owned(), (*payload).to_owned())).collect()
}
