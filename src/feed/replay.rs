//! `tapecast replay`: a recording goes to a feed listener, in its own timing or as fast as the server takes it.
//!
//! Owns the run: recording, pace, connection, progress. One task on a current-thread runtime.
//! Must not wait for an answer before the end: refusals are read beside the writing, and counted.
//! Invariant: each line of the recording is counted once, as sent, passed over or bad.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::client::{self, BATCH_BYTES, Client};
use super::driver::{now, tell};
use super::pace::{Pace, Speed};
use super::progress::{self, Progress};
use super::recording::{self, BadLine, Line, Message, Recording};
use super::report::{Report, in_seconds, per_second, time_left};

/// Bad lines that are told one by one; later ones are counted only.
const BAD_LINES_TOLD: u64 = 10;

/// A wait that is longer is told: a recording with a hole in its times is not a replay that hangs.
const WAIT_TOLD: Duration = Duration::from_secs(60);

/// Lines after which Ctrl-C and progress have their turn, where nothing is sent: a venue may be a small part of its recording.
const LINES_A_TURN: u64 = 1024;

/// What to replay, where to, and how.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The recording: newline-delimited JSON, plain or gzip.
    pub file: PathBuf,
    /// Host and port of a feed listener.
    pub to: String,
    /// How fast.
    pub speed: Speed,
    /// Begin again at the end, until Ctrl-C.
    pub repeat: bool,
    /// Only messages of this venue.
    pub venue: Option<String>,
    /// Name the channels `<venue>:<symbol>@<kind>`.
    pub venue_prefix: bool,
    /// What the feed listener wants to see first.
    pub token: Option<String>,
}

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records sent.
    pub sent: u64,
    /// Records that the server says it accepted; none where the connection ended before it could.
    pub accepted: Option<u64>,
    /// Records that the server refused.
    pub refused: u64,
    /// Control messages, and messages of other venues than the one asked for.
    pub passed_over: u64,
    /// Lines that could not be read or sent.
    pub bad_lines: u64,
    /// How long it took, the server's last answer included.
    pub time: Duration,
}

/// Why a replay failed.
#[derive(Debug)]
pub enum Error {
    /// The recording cannot be read, or not to its end.
    Recording(PathBuf, recording::Error),
    /// No connection, or it broke.
    Connection(client::Error),
    /// No line of the recording was one to send.
    NothingToSend(Summary),
    /// The server refused every record; with the first refusal.
    AllRefused(u64, String),
}

/// Replays a recording; `stop` ends it early, and in order. Progress goes to stderr, the summary to stdout.
///
/// # Errors
/// The recording or the connection failed, nothing was sent, or everything was refused.
pub async fn run(options: Options, stop: impl Future<Output = ()>) -> Result<Summary, Error> {
    let recording = open(&options)?;
    let client = Client::connect(&options.to, options.token.as_deref()).await.map_err(Error::Connection)?;
    let mut replay = Replay::new(options, client);
    let played = tokio::select! {
        played = replay.play(recording) => played,
        () = stop => Ok(()),
    };
    let settled = replay.settle(&played).await;
    // A closed stdout changes nothing about what was replayed.
    let _ = writeln!(io::stdout(), "{}", replay.summary);
    played.and(settled).and_then(|()| replay.verdict())
}

fn open(options: &Options) -> Result<Recording, Error> {
    Recording::open(&options.file).map_err(|error| Error::Recording(options.file.clone(), error))
}

struct Replay {
    options: Options,
    client: Client,
    pace: Pace,
    started: Instant,
    progress: Progress,
    summary: Summary,
    pass: u64,
    pass_started: Duration,
    share_read: Option<f64>,
    /// Records sent, and when, as the last line of progress said it.
    shown: (u64, Duration),
    first_refusal: Option<String>,
    channel: String,
}

impl Replay {
    fn new(options: Options, client: Client) -> Self {
        Self {
            pace: Pace::new(options.speed),
            options,
            client,
            started: now(),
            progress: Progress::new(io::stderr().is_terminal()),
            summary: Summary::default(),
            pass: 1,
            pass_started: Duration::ZERO,
            share_read: None,
            shown: (0, Duration::ZERO),
            first_refusal: None,
            channel: String::new(),
        }
    }

    async fn play(&mut self, mut recording: Recording) -> Result<(), Error> {
        loop {
            let sent_before = self.summary.sent;
            self.pass(&mut recording).await?;
            if !self.options.repeat || self.summary.sent == sent_before {
                return Ok(());
            }
            // A pass may be too short for a turn within it.
            self.report();
            tokio::task::yield_now().await;
            recording = open(&self.options)?;
            self.pass += 1;
            self.pass_started = self.started.elapsed();
            self.pace.restart(self.pass_started);
        }
    }

    /// Sends the recording once.
    async fn pass(&mut self, recording: &mut Recording) -> Result<(), Error> {
        loop {
            self.share_read = recording.share_read();
            let line = recording.next_line();
            let line = line.map_err(|error| Error::Recording(self.options.file.clone(), error))?;
            let Some(line) = line else { return Ok(()) };
            let (Line::Bad(BadLine { number, .. }) | Line::Message(Message { number, .. })) = &line;
            if number.is_multiple_of(LINES_A_TURN) {
                self.report();
                tokio::task::yield_now().await;
            }
            match line {
                Line::Bad(bad) => self.tell_bad(&bad),
                Line::Message(message) => self.send(&message).await.map_err(Error::Connection)?,
            }
        }
    }

    async fn send(&mut self, message: &Message<'_>) -> Result<(), client::Error> {
        if !self.name_channel(message) {
            self.summary.passed_over += 1;
            return Ok(());
        }
        let due = self.pace.due(message.time_ns);
        self.keep_pace(due, message.number).await?;
        self.client.push(&self.channel, message.payload);
        self.summary.sent += 1;
        Ok(())
    }

    /// Sets the channel that a message goes to; false where it goes nowhere.
    fn name_channel(&mut self, message: &Message<'_>) -> bool {
        let Some(channel) = message.channel.as_deref() else { return false };
        let venue = message.venue.as_deref();
        if self.options.venue.is_some() && self.options.venue.as_deref() != venue {
            return false;
        }
        self.channel.clear();
        if let (true, Some(venue)) = (self.options.venue_prefix, venue) {
            self.channel.extend([venue, ":"]);
        }
        self.channel.push_str(channel);
        true
    }

    /// Waits until `due`, where that is still to come; what was gathered before goes out first.
    async fn keep_pace(&mut self, due: Duration, line_number: u64) -> Result<(), client::Error> {
        let mut ahead = due.saturating_sub(self.started.elapsed());
        if !ahead.is_zero() || self.client.gathered_bytes() >= BATCH_BYTES {
            self.flush().await?;
        }
        if ahead >= WAIT_TOLD {
            self.tell_wait(ahead, line_number);
        }
        while !ahead.is_zero() {
            self.client.wait(ahead.min(progress::EVERY)).await?;
            self.report();
            ahead = due.saturating_sub(self.started.elapsed());
        }
        Ok(())
    }

    /// Writes what is gathered. A server that takes nothing for a while is seen by the lag.
    async fn flush(&mut self) -> Result<(), client::Error> {
        while self.client.gathered_bytes() > 0 {
            let flushed = tokio::time::timeout(progress::EVERY, self.client.flush()).await;
            self.report();
            flushed.unwrap_or(Ok(()))?;
        }
        Ok(())
    }

    /// Asks the server what it accepted, unless the connection is gone, and completes the summary.
    async fn settle(&mut self, played: &Result<(), Error>) -> Result<(), Error> {
        let settled = match played {
            Err(Error::Connection(_)) => Ok(()),
            _ => self.client.settle().await.map(|accepted| self.summary.accepted = Some(accepted)),
        };
        self.report();
        self.summary.refused = self.client.refused();
        self.summary.time = self.started.elapsed();
        tell(self.progress.finish());
        settled.map_err(Error::Connection)
    }

    fn verdict(mut self) -> Result<Summary, Error> {
        if self.summary.sent == 0 {
            return Err(Error::NothingToSend(self.summary));
        }
        match (self.summary.accepted, self.first_refusal.take()) {
            (Some(0), Some(first)) => Err(Error::AllRefused(self.summary.refused, first)),
            _ => Ok(self.summary),
        }
    }

    fn tell_bad(&mut self, bad: &BadLine) {
        self.summary.bad_lines += 1;
        if self.summary.bad_lines <= BAD_LINES_TOLD {
            tell(&self.progress.note(&format!("skipped {bad}")));
        }
        if self.summary.bad_lines == BAD_LINES_TOLD {
            tell(&self.progress.note("further bad lines are only counted"));
        }
    }

    fn tell_wait(&mut self, ahead: Duration, line_number: u64) {
        let ahead = in_seconds(ahead);
        let text =
            format!("line {line_number} is due in {ahead}: the recording pauses (--speed max does not)");
        tell(&self.progress.note(&text));
    }

    fn report(&mut self) {
        for refusal in self.client.take_refusals() {
            tell(&self.progress.note(&format!("refused: {refusal}")));
            self.first_refusal.get_or_insert(refusal);
        }
        let elapsed = self.started.elapsed();
        let line = || {
            let (sent_before, before) = std::mem::replace(&mut self.shown, (self.summary.sent, elapsed));
            let report = Report {
                sent: self.summary.sent,
                rate: per_second(self.summary.sent - sent_before, elapsed - before),
                lag: self.pace.lag(elapsed),
                pass: self.options.repeat.then_some(self.pass),
                // The share that is read knows nothing of a pause; what is due next is not sent before its time.
                left: self
                    .share_read
                    .and_then(|share| time_left(share, elapsed - self.pass_started))
                    .map(|left| left.max(self.pace.ahead(elapsed))),
                refused: self.client.refused(),
                bad_lines: self.summary.bad_lines,
            };
            report.to_string()
        };
        if let Some(text) = self.progress.update(elapsed, line) {
            tell(&text);
        }
    }
}

impl Summary {
    /// Records sent a second.
    #[must_use]
    pub fn rate(&self) -> u64 {
        per_second(self.sent, self.time)
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, refused, passed_over, bad_lines, time, .. } = self;
        write!(f, "sent {sent}, accepted ")?;
        match self.accepted {
            Some(accepted) => write!(f, "{accepted}")?,
            None => f.write_str("unknown")?,
        }
        write!(f, ", refused {refused}, passed over {passed_over}, bad lines {bad_lines}, ")?;
        write!(f, "in {:.3} s ({}/s)", time.as_secs_f64(), self.rate())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recording(file, error) => write!(f, "{}: {error}", file.display()),
            Self::Connection(error) => error.fmt(f),
            Self::NothingToSend(Summary { passed_over, bad_lines, .. }) => write!(
                f,
                "nothing to send: {passed_over} lines passed over (control messages, or another venue than \
                 --venue names), {bad_lines} bad"
            ),
            Self::AllRefused(refused, first) => {
                write!(f, "the server refused all {refused} records; the first refusal: {first}")
            }
        }
    }
}

impl std::error::Error for Error {}
