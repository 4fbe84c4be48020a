//! Wiring: ring, threads, mailboxes, drain in order; decides nothing.
//!
//! Runs on the thread that called it, which also serves the admin listener. Invariant: every thread that it started has ended when it
//! returns, or the error says which one died.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::channel::Catalogue;
use crate::control::admin::Admin;
use crate::control::config::Config;
use crate::control::metrics::Sources;
use crate::front::{self, Front, Market};
use crate::ingest::{self, Ingest};
use crate::ring::{self, InvalidOptions, Publisher, Ring};
use crate::shard::mailbox::Mailbox;
use crate::shard::{Seat, Shard};

/// Why the server could not run, or ended before it was told to.
#[derive(Debug)]
pub enum Error {
    /// The ring's sizes do not fit together.
    Ring(InvalidOptions),
    /// A listener could not be bound; with the flag that chooses another place.
    Listen(&'static str, io::Error),
    /// A thread or a runtime could not be started.
    Start(io::Error),
    /// A thread ended by itself: a fault of ours, after which nothing can be promised.
    Died(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ring(error) => write!(f, "ring: {error}"),
            Self::Listen(flag, error) => write!(f, "{error}; {} by {flag}", what_to_do(error.kind())),
            Self::Start(error) => write!(f, "{error}"),
            Self::Died(thread) => write!(f, "thread {thread} died; the server cannot go on"),
        }
    }
}

/// Up to the flag that does it.
fn what_to_do(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::AddrInUse => "end the program that has it, or choose another one",
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address: choose one of its own, or 0.0.0.0 for all of them,"
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not: choose a place that it may take (of ports, one from 1024 on)"
        }
        _ => "choose another one",
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Start(error)
    }
}

/// Runs until `shutdown` says true and everything is drained. `on_listening` is told each role and bound address.
///
/// # Errors
/// What could not be started, or which thread died.
pub fn run(
    config: Config,
    on_listening: impl Fn(&str, SocketAddr),
    shutdown: watch::Receiver<bool>,
) -> Result<(), Error> {
    let parts = Parts::bind(config)?;
    parts.announce(on_listening);
    let runtime = current_thread()?;
    let drain = parts.config.drain;
    let (threads, admin, sources) = parts.start()?;
    runtime.block_on(oversee(threads, admin, sources, drain, shutdown))
}

/// Everything bound and built, nothing running.
struct Parts {
    config: Config,
    publisher: Publisher,
    ring: Arc<Ring>,
    catalogue: Arc<Catalogue>,
    ingest: Ingest,
    ingest_stats: Arc<ingest::Stats>,
    front: Front,
    front_stats: Arc<front::Stats>,
    admin: Admin,
}

impl Parts {
    fn bind(config: Config) -> Result<Self, Error> {
        let (ingest_stats, front_stats) = (Arc::default(), Arc::default());
        let front = Front::bind(config.front.clone(), Arc::clone(&front_stats));
        let front = front.map_err(|error| Error::Listen("--listen", error))?;
        let ingest = Ingest::bind(config.ingest.clone(), Arc::clone(&ingest_stats));
        let ingest = ingest.map_err(|error| Error::Listen("--ingest-listen or --ingest-unix", error))?;
        let admin = Admin::bind(config.admin_listen);
        let admin = admin.map_err(|error| Error::Listen("--admin-listen", error))?;
        // The ring is touched as it is built: last, so that a port that is taken is told at once.
        let (publisher, ring) = ring::new(&config.ring).map_err(Error::Ring)?;
        let catalogue = Arc::new(Catalogue::new(config.delivery.clone()));
        Ok(Self { config, publisher, ring, catalogue, ingest, ingest_stats, front, front_stats, admin })
    }

    fn announce(&self, on_listening: impl Fn(&str, SocketAddr)) {
        on_listening("subscribers", self.front.address());
        if let Some(address) = self.ingest.address() {
            on_listening("ingest", address);
        }
        on_listening("admin", self.admin.address());
    }

    fn start(self) -> Result<(Threads, Admin, Sources), Error> {
        let mut threads = Threads::new();
        let epoch = new_epoch();
        let (mut bells, mut stats) = (Vec::new(), Vec::new());
        for number in 0..self.config.shards {
            let (mailbox, seat) = Seat::new(&self.config.shard);
            bells.push(seat.bell());
            stats.push(seat.stats());
            threads.mailboxes.push(mailbox);
            let (options, epoch) = (self.config.shard.clone(), Arc::clone(&epoch));
            // Its cursor stands at the tail as it is now: made before there is a feed, it sees the first record.
            let (reader, catalogue) = (self.ring.reader(number), Arc::clone(&self.catalogue));
            threads.spawn(format!("shard-{number}"), Stage::Shards, async move || {
                Shard::new(options, seat, reader, catalogue, epoch).run().await;
            })?;
        }
        let (ingest, publisher, stop) = (self.ingest, self.publisher, threads.stop_ingest.subscribe());
        let catalogue = Arc::clone(&self.catalogue);
        threads.spawn("ingest".to_owned(), Stage::Ingest, async move || {
            ingest.run(publisher, catalogue, move |number| bells[number].notify_one(), stop).await;
        })?;
        let market = Market::new(Arc::clone(&self.ring), Arc::clone(&self.catalogue), epoch);
        let (front, mailboxes, stop) =
            (self.front, threads.mailboxes.clone(), threads.stop_front.subscribe());
        let is_shut = threads.front_is_shut();
        threads.spawn("front".to_owned(), Stage::Front, async move || {
            let streams = front.run(market, mailboxes, stop).await;
            drop(is_shut);
            streams.end().await;
        })?;
        let sources = Sources {
            shards: stats,
            ingest: self.ingest_stats,
            front: self.front_stats,
            ring: self.ring,
            ring_bytes: self.config.ring.bytes,
            catalogue: self.catalogue,
            ready: Arc::new(AtomicBool::new(true)),
        };
        Ok((threads, self.admin, sources))
    }
}

/// Serves the admin listener until the end; drains in order: first nobody new comes in and everyone is seen off while feeds go on, then no
/// record comes in, then what came goes out.
async fn oversee(
    mut threads: Threads,
    admin: Admin,
    sources: Sources,
    drain: Duration,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), Error> {
    let ready = Arc::clone(&sources.ready);
    let (stop_admin, admin_stops) = watch::channel(false);
    let admin = tokio::spawn(admin.run(sources, threads.mailboxes.clone(), admin_stops));
    let ended = tokio::select! {
        // A sender that is gone says as much as one that says true.
        _ = shutdown.wait_for(|&down| down) => None,
        name = threads.obituaries.recv() => name,
    };
    if let Some(name) = ended {
        return Err(Error::Died(name));
    }
    // ORDERING: Relaxed: the flag guards no other memory.
    ready.store(false, Ordering::Relaxed);
    threads.stop_front.send_replace(true);
    if !drain.is_zero() {
        threads.see_everyone_off(drain).await?;
    }
    threads.stop_ingest.send_replace(true);
    threads.join(Stage::Ingest).await?;
    threads.wait_for_front().await;
    threads.mailboxes.iter().for_each(Mailbox::shut_down);
    threads.join(Stage::Shards).await?;
    threads.join(Stage::Front).await?;
    stop_admin.send_replace(true);
    admin.await.unwrap_or_else(|error| Err(io::Error::other(error)))?;
    Ok(())
}

/// Which threads end together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Lets records in.
    Ingest,
    /// Let things out.
    Shards,
    /// What lets subscribers in, and speaks for the shards with some of them. It ends when nobody is left there.
    Front,
}

/// The threads, and how they are told to end and tell that they have.
struct Threads {
    running: Vec<(String, Stage, JoinHandle<()>)>,
    mailboxes: Vec<Mailbox>,
    stop_front: watch::Sender<bool>,
    stop_ingest: watch::Sender<bool>,
    /// Ends when the front hands nothing over any more.
    front_is_shut: Option<oneshot::Receiver<Infallible>>,
    obituaries: mpsc::Receiver<String>,
    obituary: mpsc::Sender<String>,
}

/// Threads at most: one obituary each always fits.
const THREADS_MAX: usize = 1026;

/// Tells that a thread has ended, also when it panicked.
struct Obituary {
    name: String,
    to: mpsc::Sender<String>,
}

impl Drop for Obituary {
    fn drop(&mut self) {
        // It always fits; and nobody listens only when everything ends anyway.
        let _ = self.to.try_send(std::mem::take(&mut self.name));
    }
}

impl Threads {
    fn new() -> Self {
        let (obituary, obituaries) = mpsc::channel(THREADS_MAX);
        Self {
            running: Vec::new(),
            mailboxes: Vec::new(),
            stop_front: watch::Sender::new(false),
            stop_ingest: watch::Sender::new(false),
            front_is_shut: None,
            obituaries,
            obituary,
        }
    }

    /// Starts a thread with a runtime of its own. What `work` makes stays on that thread.
    fn spawn<W: AsyncFnOnce() + Send + 'static>(
        &mut self,
        name: String,
        stage: Stage,
        work: W,
    ) -> io::Result<()> {
        let runtime = current_thread()?;
        let obituary = Obituary { name: name.clone(), to: self.obituary.clone() };
        let body = move || {
            let _tells_the_end = obituary;
            runtime.block_on(work());
        };
        let handle = std::thread::Builder::new().name(name.clone()).spawn(body)?;
        self.running.push((name, stage, handle));
        Ok(())
    }

    /// To be dropped when the front hands nothing over any more.
    fn front_is_shut(&mut self) -> oneshot::Sender<Infallible> {
        let (sender, receiver) = oneshot::channel();
        self.front_is_shut = Some(receiver);
        sender
    }

    /// Waits until no shard gets another subscriber.
    async fn wait_for_front(&mut self) {
        if let Some(is_shut) = self.front_is_shut.take() {
            // Nothing is ever sent: the end is the message.
            let _ = is_shut.await;
        }
    }

    /// Has the shards tell everyone that the server ends and close each within this time; waits until nobody is left, or for this time.
    async fn see_everyone_off(&mut self, drain: Duration) -> Result<(), Error> {
        let mut window = pin!(tokio::time::sleep(drain));
        let window_ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
        let (presence, mut everyone) = mpsc::channel(1);
        self.mailboxes.iter().for_each(|mailbox| mailbox.notice(window_ms, presence.clone()));
        drop(presence);
        // Whose handshake it is at comes before nobody is left.
        self.wait_for_front().await;
        loop {
            tokio::select! {
                _ = everyone.recv() => return Ok(()),
                () = &mut window => return Ok(()),
                Some(name) = self.obituaries.recv() => self.lay_to_rest(&name, Stage::Front)?,
            }
        }
    }

    /// Waits for the threads of a stage; any other thread that ends meanwhile, or dies of a panic, ends the waiting.
    async fn join(&mut self, stage: Stage) -> Result<(), Error> {
        while self.running.iter().any(|(_, of, _)| *of == stage) {
            let Some(name) = self.obituaries.recv().await else { return Ok(()) };
            self.lay_to_rest(&name, stage)?;
        }
        Ok(())
    }

    /// A thread has ended. Only one of this stage may by now, or the front, which is told first.
    fn lay_to_rest(&mut self, name: &str, stage: Stage) -> Result<(), Error> {
        let Some(place) = self.running.iter().position(|(running, ..)| running == name) else {
            return Ok(());
        };
        let (name, of, handle) = self.running.swap_remove(place);
        if handle.join().is_err() || (of != stage && of != Stage::Front) {
            return Err(Error::Died(name));
        }
        Ok(())
    }
}

fn current_thread() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Names the numbering of sequences: another one after each start, since sequences begin anew.
fn new_epoch() -> Arc<str> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}", since.as_micros()).into()
}
