//! The scene of a fault: a server, and beside whoever is at fault a feed and a subscriber who must not notice.
//!
//! Runs on the test's thread. Invariant: a scene knows every counter of faults, so a fault that is counted twice, or in
//! another place as well, fails its test; and every log line, so one too many does.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use crate::client::{CLOSE, Feed, Subscriber};
use crate::harness::{Metrics, PATIENCE, Server, now};

/// A ring that is quickly made.
pub(crate) const SMALL: [&str; 2] = ["ring.bytes=16777216", "ingest.payload_bytes_max=65536"];

/// What is counted when something is wrong, as it begins in `/metrics`.
const FAULTS: [&str; 16] = [
    "tapecast_shard_closed_subscribers",
    "tapecast_shard_refused_requests",
    "tapecast_shard_lapped",
    "tapecast_shard_missed",
    "tapecast_front_bad",
    "tapecast_front_not_found",
    "tapecast_front_refused",
    "tapecast_front_accept_errors",
    "tapecast_ingest_refused",
    "tapecast_ingest_unauthorized",
    "tapecast_ingest_cut_off",
    "tapecast_ingest_broken",
    "tapecast_ingest_bad",
    "tapecast_ingest_duplicate",
    "tapecast_ingest_late",
    "tapecast_ingest_disagreed",
];

/// Counters without `tapecast_`, `_total` and the shard's label.
type Counts = BTreeMap<String, u64>;

/// A server of one shard with neighbours.
pub(crate) struct Scene {
    pub(crate) server: Server,
    feed: Feed,
    subscriber: Subscriber,
    published: u64,
    faults: Counts,
    log_lines: usize,
}

impl Scene {
    /// A small server with these settings.
    pub(crate) fn new(settings: &[&str]) -> Self {
        Self::of(Server::start(1, &[&SMALL[..], settings].concat()), "")
    }

    /// A scene around a server whose feeds begin with this.
    pub(crate) fn of(server: Server, feed_says_first: &str) -> Self {
        let mut feed = Feed::connect(&server);
        feed.write(feed_says_first.as_bytes());
        let mut subscriber = Subscriber::native(&server);
        subscriber.subscribe(1, &["calm@trade"]);
        let mut scene = Self { server, feed, subscriber, published: 0, faults: Counts::new(), log_lines: 0 };
        scene.beat();
        scene.rest();
        scene
    }

    /// What is counted and logged from here on is news.
    pub(crate) fn rest(&mut self) {
        self.faults = faults(&self.server.metrics());
        self.log_lines = self.server.log().lines().count();
    }

    /// Records that the neighbours' feed has published.
    pub(crate) fn published(&self) -> u64 {
        self.published
    }

    /// Publishes a few records; the neighbour gets each of them, in order, whatever else happens.
    pub(crate) fn beat(&mut self) {
        let first = self.published + 1;
        self.published += 10;
        for number in first..=self.published {
            self.feed.publish("calm@trade", &number.to_string());
        }
        assert_eq!(self.feed.ping(), self.published);
        for number in first..=self.published {
            let record = self.subscriber.text();
            let begins = record.starts_with(&format!(r#"{{"ch":"calm@trade","seq":{number},"ts":"#));
            assert!(begins && record.ends_with(&format!(r#""data":{number}}}"#)), "{record}");
        }
    }

    /// Waits until exactly these faults are counted since the last rest, and sees that there are no others, that the
    /// neighbours are well, and that the log has one line for each of these texts, in this order.
    #[track_caller]
    pub(crate) fn expect(&mut self, counts: &[(&str, u64)], lines: &[&str]) {
        let expected: Counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        self.await_counts(&expected);
        let deadline = now() + PATIENCE;
        while self.log_news().len() < lines.len() {
            assert!(now() < deadline, "logged {:#?}", self.log_news());
        }
        self.beat();
        let (news, log) = (self.news(), self.log_news());
        assert_eq!(news, expected);
        assert_eq!(log.len(), lines.len(), "{log:#?}");
        for (line, text) in log.iter().zip(lines) {
            assert!(line.contains(text), "{line:?} does not hold {text:?}");
            let is_plain = line.len() < 600 && !line.contains(char::is_control);
            assert!(is_plain, "a line of {} bytes: {line:?}", line.len());
        }
        self.rest();
    }

    /// Waits until one fault, whichever, is counted, and sees that it has one plain line.
    #[track_caller]
    pub(crate) fn expect_any_one(&mut self) {
        let deadline = now() + PATIENCE;
        while self.news().is_empty() {
            assert!(now() < deadline, "nothing was counted");
        }
        let news: Vec<_> = self.news().into_iter().collect();
        assert!(matches!(&news[..], [(_, 1)]), "{news:?}");
        self.expect(&[(&news[0].0, 1)], &[""]);
    }

    /// As `expect`, with a line of the same text for each of so many faults.
    #[track_caller]
    pub(crate) fn expect_each(&mut self, count: u64, counter: &str, line: &str) {
        self.expect(&[(counter, count)], &vec![line; usize::try_from(count).unwrap()]);
    }

    /// Waits for faults to be counted; the log may be shorter than their number, but tells it.
    #[track_caller]
    pub(crate) fn expect_storm(&mut self, counts: &[(&str, u64)], lines_max: usize) {
        let expected: Counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        self.await_counts(&expected);
        let log = self.log_news();
        assert!((1..=lines_max).contains(&log.len()), "{} lines: {log:#?}", log.len());
        self.rest();
    }

    /// The neighbours beat meanwhile: one that is not read is not answered its pings.
    #[track_caller]
    fn await_counts(&mut self, expected: &Counts) {
        let deadline = now() + PATIENCE;
        loop {
            self.beat();
            let news = self.news();
            if news == *expected {
                return self.beat();
            }
            let too_many =
                news.iter().any(|(name, count)| expected.get(name).is_none_or(|most| count > most));
            let over = too_many || now() >= deadline;
            assert!(!over, "counted {news:?}, expected {expected:?}; logged {:#?}", self.log_news());
        }
    }

    /// Waits for a subscriber's close frame and answers it, and waits for the end.
    #[track_caller]
    pub(crate) fn expect_close(&self, subscriber: &mut Subscriber, code: u16) {
        let frame = subscriber.next().expect("a close frame, not the end");
        assert_eq!(frame.close().0, code, "{frame:?}");
        subscriber.send(CLOSE, &frame.payload[..2]);
        assert_eq!(subscriber.next(), None);
    }

    /// Opens a connection to a role and writes these bytes; a peer that is shown out while it writes may fail to.
    pub(crate) fn send(&self, role: &str, bytes: &[u8]) -> TcpStream {
        let mut peer = TcpStream::connect(self.server.address(role)).unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = peer.write_all(bytes);
        peer
    }

    /// As `send`, and all of the answer up to the end of the connection.
    pub(crate) fn say(&self, role: &str, bytes: &[u8]) -> String {
        let peer = self.send(role, bytes);
        // One that was shown out already has no side to end.
        let _ = peer.shutdown(Shutdown::Write);
        everything(peer)
    }

    fn news(&self) -> Counts {
        let mut counts = faults(&self.server.metrics());
        counts.retain(|name, count| {
            *count -= self.faults[name];
            *count > 0
        });
        counts
    }

    fn log_news(&self) -> Vec<String> {
        self.server.log().lines().skip(self.log_lines).map(str::to_owned).collect()
    }

    /// Processor time that the server has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // utime and stime, in hundredths of a second: the fields behind the name in parentheses.
        let fields: Vec<u64> =
            stat.rsplit_once(") ").unwrap().1.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
        Duration::from_millis((fields[11] + fields[12]) * 10)
    }

    /// File descriptors that the server has open for longer than a scrape takes.
    pub(crate) fn descriptors(&self) -> usize {
        let pid = self.server.pid().as_raw_nonzero();
        let count = |_| {
            std::thread::yield_now();
            std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
        };
        (0..200).map(count).min().unwrap()
    }

    fn proc(&self, file: &str) -> String {
        let pid = self.server.pid().as_raw_nonzero();
        std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap()
    }
}

/// All until the end of the connection; a reset is one too.
pub(crate) fn everything(mut peer: TcpStream) -> String {
    let mut bytes = Vec::new();
    // What came before a reset is kept.
    let _ = peer.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Makes the end of a connection a reset.
pub(crate) fn reset(peer: TcpStream) {
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
}

fn faults(metrics: &Metrics) -> Counts {
    let is_fault = |name: &&str| FAULTS.iter().any(|fault| name.starts_with(fault));
    let short = |name: &str| {
        let name = name.trim_start_matches("tapecast_").replacen("_total", "", 1);
        name.replace(r#"{shard="0"}"#, "").replace(r#"shard="0","#, "")
    };
    let found = metrics.samples().filter(|(name, _)| is_fault(name));
    found.map(|(name, count)| (short(name), count)).collect()
}
