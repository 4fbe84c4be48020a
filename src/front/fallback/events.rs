//! `/v1/sse`: a shard's event stream, copied from a pipe into the answer.
//!
//! Thread: front; hyper asks for more when the client took what there was. So what a client does not take stays in the pipe, then in
//! its outbox, where it is conflated or becomes a gap. Invariant: of one stream no more waits here than a chunk and hyper's buffer.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame};
use hyper::header::{CONNECTION, HeaderValue};
use tokio::net::UnixStream;

use super::super::answer::{Answer, Refused, streamed};
use super::super::limits::{DESCRIPTORS_RESERVED, is_near_the_last};
use super::super::routes::reserve;
use super::super::{Options, count};
use super::{Asked, Call, check_room};
use crate::channel::Catalogue;
use crate::dialect::{Fault, FaultCode, Subscribe, sse};
use crate::shard::mailbox::Newborn;
use crate::subscriber::socket::Connection;

/// Bytes taken out of the pipe at once.
const CHUNK_BYTES: usize = 32 * 1024;

/// Hands one end of a pipe to a shard; the other one becomes the answer's body.
pub(super) fn answer(call: &Call, asked: &Asked) -> Result<Answer, Refused> {
    let shared = &call.shared;
    let opening = sse::open(&asked.query, asked.last_event_id.as_deref())?;
    check(&opening.subscribe, &shared.options, &shared.market.catalogue)?;
    if *call.shutdown.borrow() {
        return Err(Refused::busy("the server is shutting down"));
    }
    let reservation = reserve(&shared.shards)?;
    let no_pipe = |_| Refused::busy("too few file descriptors");
    let (pipe, far_end) = pair().map_err(no_pipe)?;
    count(&shared.stats.upgraded);
    let occupied = call.occupation.begin(|stats| &stats.streams);
    reservation.post(Newborn {
        socket: Connection::Pipe(far_end),
        peer: call.peer,
        agent: asked.agent.clone(),
        read_ahead: Vec::new(),
        opening,
        // The limit's permit stays with the connection, which may outlive its subscriber by what is on the way.
        permit: Box::new(occupied),
    });
    let mut answer = streamed("text/event-stream", Events { pipe });
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    // nginx would gather events otherwise.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(answer)
}

/// What can be known of a subscription before a shard has it.
fn check(subscribe: &Subscribe, options: &Options, catalogue: &Catalogue) -> Result<(), Fault> {
    check_room((subscribe.channels.len(), subscribe.patterns.len()), options)?;
    if subscribe.every_ms == 0 {
        return Ok(());
    }
    let conflates = |name| catalogue.rule(name).delivery.is_conflatable();
    match subscribe.channels.iter().find(|wanted| !conflates(&wanted.name)) {
        None => Ok(()),
        Some(wanted) => {
            let text = format!("every_ms: each record of {:?} counts", wanted.name);
            Err(Fault::new(FaultCode::NotConflatable, text))
        }
    }
}

/// Both ends non-blocking; ours on this runtime, the other one on none.
fn pair() -> io::Result<(UnixStream, net::UnixStream)> {
    let (near, far) = net::UnixStream::pair()?;
    // Both are counted: what is left of descriptors is for feeds and the operator.
    if is_near_the_last(if near.as_raw_fd() > far.as_raw_fd() { &near } else { &far }, DESCRIPTORS_RESERVED) {
        return Err(io::ErrorKind::QuotaExceeded.into());
    }
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    Ok((UnixStream::from_std(near)?, far))
}

/// The near end of the pipe.
struct Events {
    pipe: UnixStream,
}

impl Body for Events {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        loop {
            ready!(self.pipe.poll_read_ready(context))?;
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
            match self.pipe.try_read_buf(&mut chunk) {
                Ok(0) => return Poll::Ready(None),
                Ok(_) => return Poll::Ready(Some(Ok(Frame::data(fitted(chunk))))),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

/// A chunk in memory of its own size: hyper counts bytes, and holds sixteen chunks for a client that does not read. As they came, each of
/// an event or two would hold on to the room of a whole one.
fn fitted(chunk: BytesMut) -> Bytes {
    if chunk.len() < chunk.capacity() / 2 { Bytes::copy_from_slice(&chunk) } else { chunk.freeze() }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_chunk_that_waits_holds_little_more_than_its_bytes() {
        let (near, mut far) = net::UnixStream::pair().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut events = Events { pipe: UnixStream::from_std(near).unwrap() };
        for bytes in [1, 100, CHUNK_BYTES / 2, CHUNK_BYTES] {
            far.write_all(&vec![b'x'; bytes]).unwrap();
            let chunk = events.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(chunk.len(), bytes);
            let held = chunk.try_into_mut().unwrap().capacity();
            assert!(held <= 2 * bytes, "{bytes} bytes hold {held}");
        }
    }
}
