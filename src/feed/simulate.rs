//! `tapecast simulate`, and the demo's feed: the simulated market goes to a feed listener as its events fall due.
//!
//! Owns the run: market, clock, connection, progress. One task on a current-thread runtime, until it is told to stop.
//! Must not queue: where the server is slow, time passes without the messages that were due, and these are counted.
//! Invariant: whatever was skipped or lost with a connection, what is published afterwards begins with how the market stands.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::sleep;

use super::client::{self, BATCH_BYTES, Client};
use super::driver::{now, tell};
use super::market::{self, Market};
use super::progress::{self, Progress};
use super::report::per_second;

/// Behind by more than this, the market goes on from now.
const LAG_US_MAX: u64 = 1_000_000;

/// What falls due within this time goes out together: timers are no finer.
const TURN_US: u64 = 1000;

const BACK_OFF_MIN: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// What to simulate, and where to.
#[derive(Clone, Debug)]
pub struct Options {
    /// Host and port of a feed listener.
    pub to: String,
    /// What the feed listener wants to see first.
    pub token: Option<String>,
    /// The market.
    pub market: market::Options,
    /// Progress to stderr; else only what goes wrong, to the log.
    pub shows_progress: bool,
}

/// What a simulation did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records sent.
    pub sent: u64,
    /// Records that the server says it accepted; none where a connection ended before it could.
    pub accepted: Option<u64>,
    /// Records that the server refused.
    pub refused: u64,
    /// Messages that were not made, since the server was too slow or away.
    pub skipped: u64,
    /// How long it took, the server's last answer included.
    pub time: Duration,
}

/// Why a simulation failed.
#[derive(Debug)]
pub enum Error {
    /// No connection, or the server would not have this feed.
    Connection(client::Error),
    /// The server refused every record; with the first refusal.
    AllRefused(u64, String),
}

/// Publishes the market until `stop`. A connection that breaks later is tried again.
///
/// # Errors
/// The first connection failed, or everything was refused.
pub async fn run(options: Options, stop: impl Future<Output = ()>) -> Result<Summary, Error> {
    let client = Client::connect(&options.to, options.token.as_deref()).await.map_err(Error::Connection)?;
    let mut simulation = Simulation::new(options, client);
    tokio::select! {
        () = stop => {}
        error = simulation.publish_for_ever() => return Err(error),
    }
    simulation.settle().await;
    simulation.verdict()
}

struct Simulation {
    options: Options,
    market: Market,
    client: Client,
    start_us: u64,
    started: Instant,
    /// None where there is no progress to show.
    progress: Option<Progress>,
    summary: Summary,
    /// Whether a server has ever taken records, and whether a connection was lost since.
    greeted: bool,
    reconnected: bool,
    /// How long to wait before the next connection; grows until a server takes records.
    back_off: Duration,
    refused_before: u64,
    first_refusal: Option<String>,
    /// Sent, and when: at the last line of progress.
    shown: (u64, Duration),
}

impl Simulation {
    fn new(options: Options, client: Client) -> Self {
        let start_us = wall_us();
        Self {
            market: Market::new(&options.market, start_us),
            progress: options.shows_progress.then(|| Progress::new(io::stderr().is_terminal())),
            options,
            client,
            start_us,
            started: now(),
            summary: Summary::default(),
            greeted: false,
            reconnected: false,
            back_off: BACK_OFF_MIN,
            refused_before: 0,
            first_refusal: None,
            shown: (0, Duration::ZERO),
        }
    }

    /// Ends only where no server has ever taken a record.
    async fn publish_for_ever(&mut self) -> Error {
        loop {
            let Err(error) = self.publish().await;
            self.report();
            if !self.greeted {
                return Error::Connection(error);
            }
            self.note(&format!("{error}; trying again"));
            self.reconnect().await;
        }
    }

    /// How the market stands, and what happens from then on.
    async fn publish(&mut self) -> Result<Infallible, client::Error> {
        self.summary.skipped += self.market.skip(self.now_us());
        self.market.introduce(self.now_us());
        self.send_due().await?;
        // The first answer: from here on it is known that the server takes this feed.
        self.client.settle().await?;
        self.greeted = true;
        self.back_off = BACK_OFF_MIN;
        loop {
            if self.lag_us() > LAG_US_MAX {
                self.summary.skipped += self.market.skip(self.now_us());
            }
            self.send_due().await?;
            self.report();
            let ahead =
                Duration::from_micros(self.market.due_us().saturating_sub(self.now_us()).max(TURN_US));
            self.client.wait(ahead.min(progress::EVERY)).await?;
        }
    }

    async fn send_due(&mut self) -> Result<(), client::Error> {
        let now_us = self.now_us();
        while let Some(event) = self.market.next(now_us) {
            self.client.push(&event.channel, &event.payload);
            self.summary.sent += 1;
            if self.client.gathered_bytes() >= BATCH_BYTES {
                self.client.flush().await?;
                self.report();
            }
        }
        self.client.flush().await
    }

    async fn reconnect(&mut self) {
        self.reconnected = true;
        self.refused_before += self.client.refused();
        self.client = loop {
            sleep(self.back_off).await;
            self.back_off = (self.back_off * 2).min(BACK_OFF_MAX);
            match Client::connect(&self.options.to, self.options.token.as_deref()).await {
                Ok(client) => break client,
                Err(_) => self.report(),
            }
        };
    }

    /// Asks the server what it accepted, where the connection stands, and completes the summary.
    async fn settle(&mut self) {
        let accepted = self.client.settle().await.ok();
        self.report();
        self.summary.accepted = accepted.filter(|_| !self.reconnected);
        self.summary.refused = self.refused();
        self.summary.time = self.started.elapsed();
        if let Some(progress) = &mut self.progress {
            tell(progress.finish());
        }
    }

    fn verdict(mut self) -> Result<Summary, Error> {
        match (self.summary.accepted, self.first_refusal.take()) {
            (Some(0), Some(first)) => Err(Error::AllRefused(self.summary.refused, first)),
            _ => Ok(self.summary),
        }
    }

    fn now_us(&self) -> u64 {
        self.start_us + self.started.elapsed().as_micros() as u64
    }

    /// How far the market is behind its own clock.
    fn lag_us(&self) -> u64 {
        self.now_us().saturating_sub(self.market.due_us())
    }

    fn refused(&self) -> u64 {
        self.refused_before + self.client.refused()
    }

    fn note(&mut self, text: &str) {
        match &mut self.progress {
            Some(progress) => tell(&progress.note(text)),
            None => tracing::warn!("the built-in feed: {text}"),
        }
    }

    fn report(&mut self) {
        for refusal in self.client.take_refusals() {
            self.note(&format!("refused: {refusal}"));
            self.first_refusal.get_or_insert(refusal);
        }
        let (now, lag_us, refused) = (self.started.elapsed(), self.lag_us(), self.refused());
        let Summary { sent, skipped, .. } = self.summary;
        let (shown, then) = self.shown;
        let Some(progress) = &mut self.progress else { return };
        let line = || {
            let rate = per_second(sent - shown, now - then);
            let lag_ms = lag_us / 1000;
            format!("sent {sent} ({rate}/s), refused {refused}, lag {lag_ms} ms, skipped {skipped}")
        };
        if let Some(text) = progress.update(now, line) {
            self.shown = (sent, now);
            tell(&text);
        }
    }
}

fn wall_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, refused, skipped, time, .. } = self;
        write!(f, "sent {sent}, accepted ")?;
        match self.accepted {
            Some(accepted) => write!(f, "{accepted}")?,
            None => f.write_str("unknown")?,
        }
        let (seconds, rate) = (time.as_secs_f64(), per_second(*sent, *time));
        write!(f, ", refused {refused}, skipped {skipped}, in {seconds:.3} s ({rate}/s)")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(f),
            Self::AllRefused(refused, first) => {
                write!(f, "the server refused all {refused} records; the first refusal: {first}")
            }
        }
    }
}

impl std::error::Error for Error {}
