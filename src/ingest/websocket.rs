//! A feed that sends envelopes over a WebSocket: messages in, one answer each, in order.
//!
//! Ingest thread, a task a feed. Each answer is written before the next message is read, so a feed that does not
//! read is not read. Invariant: a message's bytes and fragments are bounded before they are kept.

use std::cell::Cell;
use std::rc::Rc;

use fastwebsockets::{CloseCode, Frame, OpCode, Payload, Role, WebSocket, WebSocketError};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;

use super::TURN_BYTES;
use super::clock::Now;
use super::frames::Frames;
use super::intake::{Answer, EnvelopeFeed};
use super::refusal::{Refusal, RefusalCode};

/// Fragments that one message may come in; empty ones count.
const FRAGMENTS_MAX: usize = 1_024;

type Socket = WebSocket<Frames<TokioIo<Upgraded>>>;

/// Serves one feed until it closes or breaks the protocol. Nothing was read off the socket yet.
pub(super) async fn serve(socket: WebSocket<TokioIo<Upgraded>>, mut feed: EnvelopeFeed) {
    let (frames, is_inside) = Frames::new(socket.into_inner());
    let mut socket = WebSocket::after_handshake(frames, Role::Server);
    let bytes_max = feed.seat.intake.message_bytes_max();
    // The library refuses a frame of just this size.
    socket.set_max_message_size(bytes_max + 1);
    let mut message = Partial { is_inside, bytes: Vec::new(), fragments: 0 };
    let mut turn_bytes = 0;
    loop {
        let frame = match socket.read_frame().await {
            Ok(frame) => frame,
            Err(why) => return fail(&mut socket, &feed, &why, &message).await,
        };
        turn_bytes += frame.payload.len();
        match message.add(&frame, bytes_max) {
            Step::Whole => {
                if answer(&mut socket, &mut feed, &message.bytes).await.is_err() {
                    return;
                }
                message.clear();
            }
            Step::NeedsMore => {}
            Step::Closed => return,
            Step::Broken(code, why) => return close(&mut socket, &feed, code, why).await,
        }
        if turn_bytes >= TURN_BYTES {
            turn_bytes = 0;
            tokio::task::yield_now().await;
        }
    }
}

async fn answer(socket: &mut Socket, feed: &mut EnvelopeFeed, message: &[u8]) -> Result<(), WebSocketError> {
    let mut answer = Answer::default();
    match str::from_utf8(message) {
        Ok(text) => feed.message(text, &mut answer).await,
        Err(_) => {
            let refusal = Refusal::invalid_utf8();
            feed.seat.faults.refused(&refusal, message, Now::read());
            answer.reject(0, &refusal);
        }
    }
    socket.write_frame(Frame::text(Payload::Owned(answer.to_json()))).await
}

/// A message that is still coming.
struct Partial {
    /// Whether the socket stands inside a frame.
    is_inside: Rc<Cell<bool>>,
    bytes: Vec<u8>,
    fragments: usize,
}

enum Step {
    Whole,
    NeedsMore,
    Closed,
    Broken(CloseCode, &'static str),
}

impl Partial {
    fn add(&mut self, frame: &Frame<'_>, bytes_max: usize) -> Step {
        match (frame.opcode, self.fragments) {
            (OpCode::Close, _) => return Step::Closed,
            (OpCode::Ping | OpCode::Pong, _) => return Step::NeedsMore,
            (OpCode::Binary, _) => {
                return Step::Broken(CloseCode::Unsupported, "binary messages are not understood");
            }
            (OpCode::Text, 0) | (OpCode::Continuation, 1..) => {}
            _ => return Step::Broken(CloseCode::Protocol, "fragments out of order"),
        }
        self.fragments += 1;
        if self.bytes.len() + frame.payload.len() > bytes_max {
            return Step::Broken(CloseCode::Size, "message over the limit");
        }
        if self.fragments > FRAGMENTS_MAX {
            return Step::Broken(CloseCode::Policy, "too many fragments");
        }
        self.bytes.extend_from_slice(&frame.payload);
        if frame.fin { Step::Whole } else { Step::NeedsMore }
    }

    // One large message should not hold its memory for as long as the feed stays.
    fn clear(&mut self) {
        self.fragments = 0;
        self.bytes.clear();
        self.bytes.shrink_to(TURN_BYTES);
    }

    fn is_begun(&self) -> bool {
        self.fragments > 0 || self.is_inside.get()
    }
}

async fn fail(socket: &mut Socket, feed: &EnvelopeFeed, why: &WebSocketError, message: &Partial) {
    let code = match why {
        // Gone without a close frame.
        WebSocketError::UnexpectedEOF | WebSocketError::IoError(_) | WebSocketError::ConnectionClosed => {
            if message.is_begun() {
                feed.seat.faults.cut_off();
            }
            return;
        }
        WebSocketError::FrameTooLarge => CloseCode::Size,
        WebSocketError::InvalidUTF8 => CloseCode::Invalid,
        _ => CloseCode::Protocol,
    };
    close(socket, feed, code, &why.to_string()).await;
}

async fn close(socket: &mut Socket, feed: &EnvelopeFeed, code: CloseCode, why: &str) {
    let refused = match code {
        CloseCode::Size => Some(RefusalCode::TooLarge),
        CloseCode::Invalid => Some(RefusalCode::InvalidUtf8),
        CloseCode::Unsupported => Some(RefusalCode::Malformed),
        _ => None,
    };
    match refused {
        Some(code) => feed.seat.faults.refused(&Refusal::new(code, why.to_owned()), b"", Now::read()),
        None => feed.seat.faults.broken(why),
    }
    // A feed that is gone already needs no close frame.
    let _ = socket.write_frame(Frame::close(code.into(), why.as_bytes())).await;
}
