//! One subscriber of the swarm: upgrade, subscription, then records, parsed or counted.
//!
//! Runs on the swarm's thread. Must not decode JSON, and must not copy what it only counts.
//! Invariant: a connection begins to be counted at a known offset within a frame, so bytes divided by
//! the size of a frame are frames.
//!
//! A counted connection can't see pings. It lives because the swarm sends it pongs unasked, and its
//! count stays right because control frames (a ping of 2 to 10 bytes every 20 s) add up to less than one
//! record's frame in a run; the parsed connections see the same pings and say if that ever fails.

use super::context::Context;
use super::inner::{Inner, Said};
use crate::frame::{self, Frame};
use crate::order::OrderCheck;
use crate::payload;
use crate::subscription::{Answer, Dialect, upgraded};
use rustix::net::{RecvFlags, recv};
use std::io::{self, ErrorKind, Write};
use std::net::TcpStream;

/// A subscriber.
pub(super) struct Connection {
    pub(super) socket: TcpStream,
    stage: Stage,
    /// The frame to send once upgraded and greeted; empty where the URL said it.
    subscribe: Vec<u8>,
    /// Whether records are parsed rather than counted.
    parse: bool,
    /// A frame (or the upgrade's answer) that is not whole yet.
    carry: Vec<u8>,
    /// Records parsed so far.
    parsed: u64,
    order: OrderCheck,
    /// Reads what frames carry, where that is a protocol of its own.
    inner: Option<Inner>,
    /// Bytes of control frames and answers since it was live.
    control_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Upgrading,
    Subscribing,
    Parsed,
    /// Bytes since a frame began.
    Counted(u64),
    Closed,
}

impl Connection {
    /// A connection whose upgrade was asked for on `socket`.
    pub(super) fn new(
        socket: TcpStream,
        dialect: Dialect,
        subscribe: Vec<u8>,
        parse: bool,
        channels: u32,
    ) -> Self {
        Self {
            socket,
            stage: Stage::Upgrading,
            subscribe,
            parse,
            carry: Vec::new(),
            parsed: 0,
            order: OrderCheck::new(channels),
            inner: Inner::of(dialect),
            control_bytes: 0,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        matches!(self.stage, Stage::Parsed | Stage::Counted(_))
    }

    pub(super) fn is_counted(&self) -> bool {
        matches!(self.stage, Stage::Counted(_))
    }

    pub(super) fn is_closed(&self) -> bool {
        self.stage == Stage::Closed
    }

    pub(super) fn order(&self) -> &OrderCheck {
        &self.order
    }

    pub(super) fn control_bytes(&self) -> usize {
        self.control_bytes
    }

    /// Records that arrived.
    pub(super) fn arrived(&self, record_wire_bytes: Option<usize>) -> u64 {
        match (self.stage, record_wire_bytes) {
            (Stage::Counted(bytes), Some(size)) => self.parsed + bytes / size as u64,
            _ => self.parsed,
        }
    }

    /// Reads once. An error is one that ends the whole run: the server refused to upgrade or subscribe.
    pub(super) fn read(&mut self, context: &mut Context) -> io::Result<()> {
        let received = match self.stage {
            Stage::Counted(_) => recv(&self.socket, &mut context.scratch[..], RecvFlags::TRUNC),
            _ => {
                context.scratch[..self.carry.len()].copy_from_slice(&self.carry);
                recv(&self.socket, &mut context.scratch[self.carry.len()..], RecvFlags::empty())
            }
        };
        match received.map_err(io::Error::from) {
            Ok((_, 0)) => self.close(context),
            Ok((_, bytes)) => self.take(bytes, context),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(()),
            Err(_) => self.close(context),
        }
    }

    /// Tells the server that somebody is here.
    pub(super) fn pong(&self, payload: &[u8]) {
        self.send(frame::PONG, payload);
    }

    fn send(&self, opcode: u8, payload: &[u8]) {
        let mut pong = Vec::with_capacity(6 + payload.len());
        frame::append_client(&mut pong, opcode, payload);
        // A socket too full for a pong is about to be closed by the server, which is what then counts.
        let _ = (&self.socket).write(&pong);
    }

    fn close(&mut self, context: &Context) -> io::Result<()> {
        let counted = self.arrived(context.record_wire_bytes);
        let was_live = self.is_live();
        self.parsed = counted;
        self.stage = Stage::Closed;
        if was_live {
            Ok(())
        } else {
            Err(io::Error::other("the server closed a connection before it was live"))
        }
    }

    fn take(&mut self, bytes: usize, context: &mut Context) -> io::Result<()> {
        context.bytes += bytes as u64;
        if let Stage::Counted(total) = &mut self.stage {
            *total += bytes as u64;
            return Ok(());
        }
        let filled = self.carry.len() + bytes;
        let buffer = std::mem::take(&mut context.scratch);
        let taken = self.take_parsed(&buffer[..filled], context);
        context.scratch = buffer;
        taken
    }

    fn take_parsed(&mut self, bytes: &[u8], context: &mut Context) -> io::Result<()> {
        let upgraded = if self.stage == Stage::Upgrading { self.upgrade(bytes, context.dialect)? } else { 0 };
        if self.stage == Stage::Upgrading {
            self.keep(bytes, context);
            return Ok(());
        }
        context.reads_parsed += 1;
        let taken = match self.inner.take() {
            None => self.take_frames(&bytes[upgraded..], context)?,
            Some(mut inner) => {
                let taken = inner.take(&bytes[upgraded..], |said| self.said(said, context))?;
                self.inner = Some(inner);
                taken
            }
        };
        self.keep(&bytes[upgraded + taken..], context);
        Ok(())
    }

    fn take_frames(&mut self, bytes: &[u8], context: &mut Context) -> io::Result<usize> {
        let mut refused = None;
        let walked = frame::walk(bytes, |frame| {
            context.frames_parsed += 1;
            if let Err(error) = self.frame(frame, context) {
                refused.get_or_insert(error);
            }
        });
        match refused {
            Some(error) => Err(error),
            None => walked.map_err(|error| bad_frame(&error)),
        }
    }

    /// Keeps a cut frame; a live connection that is to be counted is counted from here on.
    fn keep(&mut self, cut: &[u8], context: &Context) {
        self.carry.clear();
        let is_between = self.inner.as_ref().is_none_or(Inner::is_between_frames);
        if self.stage == Stage::Parsed && !self.parse && is_between && context.record_wire_bytes.is_some() {
            self.carry.shrink_to_fit();
            self.stage = Stage::Counted(cut.len() as u64);
        } else {
            self.carry.extend_from_slice(cut);
        }
    }

    /// Takes the answer to the upgrade, if it is whole, and greets or subscribes. Returns its bytes.
    fn upgrade(&mut self, bytes: &[u8], dialect: Dialect) -> io::Result<usize> {
        let Some(taken) = upgraded(bytes)? else { return Ok(0) };
        self.stage = if self.subscribe.is_empty() { Stage::Parsed } else { Stage::Subscribing };
        match dialect.greeting() {
            Some(greeting) => self.say(greeting)?,
            None => self.subscribe()?,
        }
        Ok(taken)
    }

    /// Says what is wanted, unless the URL did.
    fn subscribe(&mut self) -> io::Result<()> {
        self.socket.write_all(&std::mem::take(&mut self.subscribe))
    }

    fn say(&mut self, text: &str) -> io::Result<()> {
        let mut message = Vec::new();
        frame::append_client(&mut message, frame::TEXT, text.as_bytes());
        self.socket.write_all(&message)
    }

    fn frame(&mut self, frame: Frame<'_>, context: &mut Context) -> io::Result<()> {
        match frame.opcode {
            frame::TEXT | frame::BINARY => return self.message(frame, context),
            frame::PING => self.pong(frame.payload),
            frame::CLOSE => context.note_close(frame.payload),
            _ => {}
        }
        self.control_bytes += frame.wire_bytes;
        Ok(())
    }

    fn message(&mut self, frame: Frame<'_>, context: &mut Context) -> io::Result<()> {
        if self.record(frame.payload, context) {
            return Ok(());
        }
        if self.stage == Stage::Parsed {
            self.control_bytes += frame.wire_bytes;
            return Ok(());
        }
        match context.dialect.answer(frame.payload) {
            Answer::Welcome => self.subscribe()?,
            Answer::Subscribed => self.stage = Stage::Parsed,
            Answer::Other => {}
            Answer::Refused => return Err(refused(frame.payload)),
        }
        Ok(())
    }

    /// Takes a record, if it is one.
    fn record(&mut self, message: &[u8], context: &mut Context) -> bool {
        let Some(stamped) = context.payload_of(message).and_then(payload::read) else { return false };
        self.parsed += 1;
        let known = self.order.see(stamped.channel, stamped.sequence);
        context.record(stamped, known);
        true
    }

    /// Takes what a protocol within the frames said. Each of its messages counts as a frame of other servers.
    fn said(&mut self, said: Said<'_>, context: &mut Context) -> io::Result<()> {
        match said {
            Said::Control(frame) => return self.frame(frame, context),
            Said::Record(payload) => {
                if !self.record(payload, context) {
                    context.strangers += 1;
                }
            }
            Said::Ping => self.send(frame::BINARY, b"PONG\r\n"),
            Said::Subscribed if self.stage == Stage::Subscribing => self.stage = Stage::Parsed,
            Said::Refused(why) if self.stage == Stage::Parsed => context.note_said(why),
            Said::Refused(why) => return Err(refused(why)),
            Said::Subscribed | Said::Other => {}
        }
        context.frames_parsed += 1;
        Ok(())
    }
}

fn refused(why: &[u8]) -> io::Error {
    io::Error::other(format!("the server refused the subscription: {}", String::from_utf8_lossy(why)))
}

pub(super) fn bad_frame(error: &frame::FrameError) -> io::Error {
    io::Error::other(format!("the server sent a bad frame: {error:?}"))
}
