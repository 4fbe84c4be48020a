//! A feed that speaks lines, over TCP or a Unix socket: its conversation, and the socket around it.
//!
//! Ingest thread, a task a feed. A feed that does not read its answers is not read either; nobody else waits for it.
//! Invariant: answers come in the order of the lines they answer, and all of what one read gave is in the ring, its
//! readers woken, before the socket is looked at again.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, timeout, timeout_at};

use super::clock::Now;
use super::line::{self, Answers, Line, Parsed, Record, Splitter};
use super::listener::Seat;
use super::presence::Presence;
use super::refusal::{Refusal, RefusalCode};
use super::sequencer::{Sequencer, Taken};
use super::{AUTH_TIMEOUT, TURN_BYTES, session};

/// A feed that is shown out has so long to read why.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);

/// Serves one feed until it ends, breaks, or is shown out. `first_bytes`, a few, were read before.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    first_bytes: Vec<u8>,
    seat: Rc<Seat>,
) {
    let mut splitter = Splitter::new(seat.intake.line_bytes_max());
    splitter.room()[..first_bytes.len()].copy_from_slice(&first_bytes);
    splitter.filled(first_bytes.len());
    LineFeed { stream, splitter, talk: Conversation::new(seat) }.serve().await;
}

struct LineFeed<S> {
    stream: S,
    splitter: Splitter,
    talk: Conversation,
}

/// What a turn over the buffered lines ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// No whole line is left.
    NeedsMore,
    /// Lines are left, but no answers may be added.
    AnswersFull,
    /// The feed is to be shown out.
    Over,
}

impl<S: AsyncRead + AsyncWrite + Unpin> LineFeed<S> {
    async fn serve(mut self) {
        let deadline = Instant::now() + AUTH_TIMEOUT;
        let mut turn_bytes = 0;
        loop {
            let step = match self.take_lines() {
                Turn::Over => return self.show_out().await,
                Turn::AnswersFull => self.flush().await.map(|()| None),
                Turn::NeedsMore if self.talk.authorized => self.exchange().await.map(Some),
                Turn::NeedsMore => match timeout_at(deadline, self.exchange()).await {
                    Ok(read) => read.map(Some),
                    Err(_) => return self.unauthorized().await,
                },
            };
            match step {
                Ok(None) => {}
                Ok(Some(bytes)) if bytes > 0 => turn_bytes += bytes,
                // Its end, or a socket that broke: either way nothing more comes.
                Ok(Some(_)) | Err(_) => return self.ended().await,
            }
            if turn_bytes >= TURN_BYTES {
                turn_bytes = 0;
                tokio::task::yield_now().await;
            }
        }
    }

    fn take_lines(&mut self) -> Turn {
        let intake = Rc::clone(&self.talk.seat.intake);
        let mut sequencer = intake.sequencer.borrow_mut();
        let now = Now::read();
        let turn = loop {
            if self.talk.answers.is_full() {
                break Turn::AnswersFull;
            }
            let Some(line) = self.splitter.next_line() else { break Turn::NeedsMore };
            if !self.talk.hear(&line, &mut sequencer, now) {
                break Turn::Over;
            }
        };
        sequencer.announce(now.age_ns());
        turn
    }

    /// Reads something, and writes what waits as far as the feed takes it. 0: the feed has ended.
    async fn exchange(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            self.poll_flush(cx);
            if self.talk.answers.is_full() {
                return Poll::Pending;
            }
            let room = self.splitter.room();
            let bytes_max = room.len().min(TURN_BYTES);
            let mut room = ReadBuf::new(&mut room[..bytes_max]);
            std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut room))?;
            let bytes = room.filled().len();
            self.splitter.filled(bytes);
            Poll::Ready(Ok(bytes))
        })
        .await
    }

    /// Waits until answers may be added again.
    async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            self.poll_flush(cx);
            if self.talk.answers.is_full() { Poll::Pending } else { Poll::Ready(Ok(())) }
        })
        .await
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) {
        while !self.talk.answers.unsent().is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, self.talk.answers.unsent()) {
                Poll::Ready(Ok(bytes)) if bytes > 0 => self.talk.answers.sent(bytes),
                // It takes no answers any more; what it said before it went is taken all the same.
                Poll::Ready(_) => self.talk.answers.clear(),
                Poll::Pending => return,
            }
        }
    }

    async fn ended(mut self) {
        if self.splitter.is_inside_line() {
            self.talk.seat.faults.cut_off();
        }
        self.farewell().await;
    }

    async fn unauthorized(mut self) {
        self.talk.refuse_entry();
        self.show_out().await;
    }

    // A socket closed with bytes unread is reset, and the answer on its way lost with it: read on for a while.
    async fn show_out(mut self) {
        self.farewell().await;
        let mut rest = tokio::io::sink();
        let _ = timeout(FAREWELL_TIMEOUT, tokio::io::copy(&mut self.stream, &mut rest)).await;
    }

    async fn farewell(&mut self) {
        let unsent = self.talk.answers.unsent();
        // Whoever does not take it in time goes without.
        let _ = timeout(FAREWELL_TIMEOUT, async {
            self.stream.write_all(unsent).await?;
            self.stream.shutdown().await
        })
        .await;
    }
}

/// What has been said between one feed and us.
struct Conversation {
    seat: Rc<Seat>,
    presence: Presence,
    session: session::Shared,
    answers: Answers,
    authorized: bool,
    /// Lines so far, `AUTH` and bad ones too.
    lines: u64,
    /// Records published for this feed.
    accepted: u64,
    /// Whether a record came: then it is too late to choose a session.
    has_records: bool,
}

impl Conversation {
    fn new(seat: Rc<Seat>) -> Self {
        Self {
            presence: seat.arrive(),
            session: session::Shared::default(),
            answers: Answers::default(),
            authorized: seat.intake.admits(None),
            lines: 0,
            accepted: 0,
            has_records: false,
            seat,
        }
    }

    /// Takes one line; false: the feed is to be shown out.
    fn hear(&mut self, line: &Line<'_>, sequencer: &mut Sequencer, now: Now) -> bool {
        self.lines += 1;
        let (parsed, text) = match *line {
            Line::Whole(text) => (line::parse(text), text),
            Line::TooLong => (Err(too_long()), &b""[..]),
        };
        if !self.authorized {
            return self.authorize(&parsed);
        }
        let heard = match parsed {
            Ok(Parsed::Record(record)) => self.record(&record, sequencer, now),
            Ok(Parsed::Ping) => {
                self.answers.pong(self.accepted);
                Ok(())
            }
            Ok(Parsed::Session(name)) => self.open_session(name),
            Ok(Parsed::Auth(_)) if self.lines == 1 => Ok(()),
            Ok(Parsed::Auth(_)) => Err(misplaced("'AUTH' is a first line")),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = heard {
            self.answers.error(self.lines, refusal.code.as_str(), &refusal.message);
            self.seat.faults.refused(&refusal, text, now);
        }
        true
    }

    fn record(&mut self, record: &Record<'_>, sequencer: &mut Sequencer, now: Now) -> Result<(), Refusal> {
        self.has_records = true;
        let taken = sequencer.publish(record, &mut self.session.borrow_mut(), self.presence.id(), now)?;
        self.accepted += u64::from(taken == Taken::Published);
        Ok(())
    }

    fn open_session(&mut self, name: &str) -> Result<(), Refusal> {
        if self.has_records {
            return Err(misplaced("'SESSION' stands before the first record"));
        }
        self.session = self.seat.intake.sessions.borrow_mut().open(name)?;
        Ok(())
    }

    fn authorize(&mut self, first: &Result<Parsed<'_>, Refusal>) -> bool {
        if let Ok(Parsed::Auth(token)) = first {
            self.authorized = self.seat.intake.admits(Some(token.as_bytes()));
        }
        if !self.authorized {
            self.refuse_entry();
        }
        self.authorized
    }

    fn refuse_entry(&mut self) {
        self.answers.error(1, "unauthorized", "the first line must be 'AUTH <token>' with the right token");
        self.seat.faults.unauthorized(Now::read());
    }
}

fn too_long() -> Refusal {
    Refusal::new(RefusalCode::LineTooLong, "the line is over the limit and was passed over up to its end")
}

fn misplaced(message: &'static str) -> Refusal {
    Refusal::new(RefusalCode::Malformed, message)
}
