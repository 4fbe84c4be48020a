//! The server as a child process: started on free ports, read by its metrics, ended with its test.
//!
//! Runs on the thread of the test that holds it. It never ends a process but its own child. Invariant: a test that fails shows
//! what the server logged and the last state that was waited on.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{PoisonError, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longer than anything that is waited for takes on a busy machine: to fail instead of hanging.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub(crate) struct Server {
    child: Child,
    /// Kept open: the server would otherwise write into nothing.
    _stdout: BufReader<ChildStdout>,
    log: PathBuf,
    addresses: HashMap<String, SocketAddr>,
    shards: usize,
    _turn: Option<Turn>,
}

impl Server {
    /// Starts it with so many shards, with settings as `ring.bytes=65536`. It listens when this returns.
    pub(crate) fn start(shards: usize, settings: &[&str]) -> Self {
        Self::with_arguments(shards, settings, &[])
    }

    /// As `start`, but whoever else wants to run goes first. Subscribers in great numbers have machines of their own; where they share the
    /// server's, who gets which core when would decide whether they read in time.
    pub(crate) fn that_yields(shards: usize, settings: &[&str]) -> Self {
        let mut command = Command::new("nice");
        command.args(["-n", "19", env!("CARGO_BIN_EXE_tapecast")]);
        Self::launch(command, shards, settings, &[])
    }

    /// As `start`, with further arguments.
    pub(crate) fn with_arguments(shards: usize, settings: &[&str], arguments: &[&str]) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_tapecast")), shards, settings, arguments)
    }

    fn launch(mut command: Command, shards: usize, settings: &[&str], arguments: &[&str]) -> Self {
        let turn = Turn::shared();
        let log = log_path();
        let count = shards.to_string();
        command.args(["serve", "--listen", "127.0.0.1:0", "--ingest-listen", "127.0.0.1:0"]);
        command.args(["--admin-listen", "127.0.0.1:0", "--shards", &count]).args(arguments);
        // At once, but where a test asks for a window.
        for setting in ["shutdown.drain=0s"].iter().chain(settings) {
            command.args(["--set", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&log).unwrap());
        // The tests' own variable; the server would say that it is none of its.
        let mut child = command.env_remove("TAPECAST_DATA").spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let addresses = read_addresses(&mut stdout);
        let server = Self { child, _stdout: stdout, log, addresses, shards, _turn: turn };
        assert_eq!(server.addresses.len(), 3, "the server did not start: {}", server.log());
        server
    }

    /// Where it listens for a role: `subscribers`, `ingest` or `admin`.
    pub(crate) fn address(&self, role: &str) -> SocketAddr {
        self.addresses[role]
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Bytes of memory that its process has in use now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// The number of its process.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its process to end by itself.
    pub(crate) fn wait_for_end(&mut self) -> ExitStatus {
        let deadline = now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(now() < deadline, "the server does not end: {}", self.log());
            std::thread::yield_now();
        }
    }

    /// Asks the admin listener for a path; the answer's status line, head and body as they come.
    pub(crate) fn admin(&self, path: &str) -> String {
        self.ask_admin("GET", path)
    }

    /// As `admin`, by another method.
    pub(crate) fn ask_admin(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address("admin")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// One scrape of `/metrics`.
    pub(crate) fn metrics(&self) -> Metrics {
        let answer = self.admin("/metrics");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        Metrics::parse(&answer, self.shards)
    }

    /// Scrapes until a condition holds; the scrape where it did.
    pub(crate) fn wait_until(&self, what: &str, condition: impl Fn(&Metrics) -> bool) -> Metrics {
        let deadline = now() + PATIENCE;
        loop {
            let metrics = self.metrics();
            if condition(&metrics) {
                return metrics;
            }
            assert!(now() < deadline, "waited for {what} in vain: {metrics}");
        }
    }

    /// Waits until every shard's cursor has passed what was published; checks the ledger then.
    pub(crate) fn wait_until_seen(&self, published: u64) -> Metrics {
        let seen = |metrics: &Metrics| metrics.per_shard("ordinal").all(|ordinal| ordinal == published);
        let metrics = self.wait_until("all to be seen", seen);
        metrics.assert_adds_up();
        metrics
    }

    /// Waits until every shard has seen what was published, and nothing waits for anybody; checks the ledger then.
    pub(crate) fn wait_until_quiet(&self, published: u64) -> Metrics {
        let quiet = |metrics: &Metrics| {
            metrics.per_shard("ordinal").all(|ordinal| ordinal == published)
                && metrics.shard("pending_records") == 0
        };
        let metrics = self.wait_until("all to be seen and nothing to wait", quiet);
        metrics.assert_adds_up();
        metrics
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; and a process that cannot be waited for is not ours any more.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's log:\n{}---", self.log());
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

fn read_addresses(stdout: &mut impl BufRead) -> HashMap<String, SocketAddr> {
    let lines = stdout.lines().take(3).map_while(Result::ok);
    let listening = |line: String| {
        let mut words = line.strip_prefix("listening ")?.split(' ').map(str::to_owned);
        Some((words.next()?, words.next()?.parse().ok()?))
    };
    lines.filter_map(listening).collect()
}

/// A file of its own for each server's log.
fn log_path() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let name = format!("server-{}-{number}.log", std::process::id());
    [env!("CARGO_TARGET_TMPDIR"), &name].iter().collect()
}

#[expect(clippy::disallowed_methods, reason = "the tests' own deadlines")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// One scrape: each sample by its name, labels included.
pub(crate) struct Metrics {
    samples: HashMap<String, f64>,
    shards: usize,
}

impl Metrics {
    fn parse(page: &str, shards: usize) -> Self {
        let samples = page.lines().filter(|line| line.starts_with("tapecast_"));
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self { samples: samples.filter_map(sample).collect(), shards }
    }

    /// A sample by its full name, as it stands on the page.
    pub(crate) fn get(&self, name: &str) -> u64 {
        *self.samples.get(name).unwrap_or_else(|| panic!("no metric {name}")) as u64
    }

    /// Each sample, by its full name.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (&str, u64)> {
        self.samples.iter().map(|(name, value)| (name.as_str(), *value as u64))
    }

    /// A term of the shards' ledgers, without its prefix and `_total`, summed over the shards.
    pub(crate) fn shard(&self, term: &str) -> u64 {
        self.per_shard(term).sum()
    }

    /// A term of the shards' ledgers, shard by shard.
    pub(crate) fn per_shard(&self, term: &str) -> impl Iterator<Item = u64> {
        (0..self.shards).map(move |shard| {
            let counter = format!("tapecast_shard_{term}_total{{shard=\"{shard}\"}}");
            let gauge = format!("tapecast_shard_{term}{{shard=\"{shard}\"}}");
            let value = self.samples.get(&counter).or_else(|| self.samples.get(&gauge));
            *value.unwrap_or_else(|| panic!("no term {term}")) as u64
        })
    }

    /// Subscribers ended for a reason, summed over the shards.
    pub(crate) fn closed(&self, reason: &str) -> u64 {
        let of = |shard| {
            self.get(&format!(
                "tapecast_shard_closed_subscribers_total{{shard=\"{shard}\",reason=\"{reason}\"}}"
            ))
        };
        (0..self.shards).map(of).sum()
    }

    /// Subscribers ended for any reason.
    pub(crate) fn closed_by_any(&self) -> u64 {
        let closed =
            self.samples.iter().filter(|(name, _)| name.starts_with("tapecast_shard_closed_subscribers"));
        closed.map(|(_, count)| *count as u64).sum()
    }

    /// Promise 3, shard by shard: each record has exactly one fate.
    pub(crate) fn assert_adds_up(&self) {
        let all = |terms: &[&str]| {
            let of = |shard| terms.iter().map(|term| self.per_shard(term).nth(shard).unwrap()).sum::<u64>();
            (0..self.shards).map(of).collect::<Vec<_>>()
        };
        assert_eq!(all(&["ordinal"]), all(&["seen_records", "missed_records"]), "cursor: {self}");
        let fates = [
            "delivered_records",
            "conflated_records",
            "merged_records",
            "dropped_records",
            "withdrawn_records",
            "abandoned_records",
            "pending_records",
        ];
        assert_eq!(all(&["matched_records"]), all(&fates), "subscribers: {self}");
    }
}

/// Every sample that is not zero, sorted by name.
impl std::fmt::Display for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut lines: Vec<_> = self.samples.iter().filter(|(_, value)| **value != 0.0).collect();
        lines.sort_by_key(|(name, _)| name.as_str());
        lines.iter().try_for_each(|(name, value)| write!(f, "\n  {name} {value}"))
    }
}

#[expect(clippy::disallowed_types, reason = "tests wait for each other; no record passes here")]
static MACHINE: std::sync::RwLock<()> = std::sync::RwLock::new(());

thread_local! {
    /// This thread has its turn already: a second server of one test does not wait for one that waits for the first.
    static HAS_TURN: Cell<bool> = const { Cell::new(false) };
}

/// A test's turn on the machine: most share it, one that measures has it alone.
pub(crate) struct Turn {
    _guard: Guard,
}

#[expect(dead_code, reason = "held, not read")]
enum Guard {
    Shared(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Turn {
    /// The machine for this test alone, until it is dropped. Take it before a server is started.
    pub(crate) fn alone() -> Self {
        HAS_TURN.set(true);
        Self { _guard: Guard::Alone(MACHINE.write().unwrap_or_else(PoisonError::into_inner)) }
    }

    fn shared() -> Option<Self> {
        let shared = || Guard::Shared(MACHINE.read().unwrap_or_else(PoisonError::into_inner));
        (!HAS_TURN.replace(true)).then(|| Self { _guard: shared() })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        HAS_TURN.set(false);
    }
}
