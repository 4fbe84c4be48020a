//! A stream of WebSocket frames that knows whether it ended inside one: what reads the frames does not say.
//!
//! Ingest thread. Bytes pass unchanged; only heads of frames are looked at. Invariant: whether the stream stands inside a
//! frame depends on the bytes that came alone, and not on how they were cut.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Longest head of a frame: two bytes, a length of eight, a mask of four.
const HEAD_BYTES_MAX: usize = 14;

/// A stream whose inbound frames are followed.
#[derive(Debug)]
pub(super) struct Frames<S> {
    stream: S,
    place: Place,
    is_inside: Rc<Cell<bool>>,
}

/// Where in a row of frames a stream stands.
#[derive(Debug, Default)]
struct Place {
    head: [u8; HEAD_BYTES_MAX],
    /// Bytes of the head that came; none between two frames.
    head_bytes: usize,
    /// Bytes of the payload still to come.
    rest_bytes: u64,
}

impl<S> Frames<S> {
    /// Also returns whether what was read so far ends inside a frame, for as long as the stream is read.
    pub(super) fn new(stream: S) -> (Self, Rc<Cell<bool>>) {
        let is_inside = Rc::<Cell<bool>>::default();
        (Self { stream, place: Place::default(), is_inside: Rc::clone(&is_inside) }, is_inside)
    }
}

impl Place {
    fn pass(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let payload_bytes = bytes.len().min(usize::try_from(self.rest_bytes).unwrap_or(usize::MAX));
            bytes = &bytes[payload_bytes..];
            self.rest_bytes -= payload_bytes as u64;
            if let Some((byte, rest)) = bytes.split_first() {
                bytes = rest;
                self.pass_head(*byte);
            }
        }
    }

    fn pass_head(&mut self, byte: u8) {
        self.head[self.head_bytes] = byte;
        self.head_bytes += 1;
        if self.head_bytes < 2 {
            return;
        }
        let length_bytes = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask_bytes = usize::from(self.head[1] >> 7) * 4;
        if self.head_bytes == 2 + length_bytes + mask_bytes {
            let long = self.head[2..2 + length_bytes].iter();
            let length = long.fold(0, |length, byte| length << 8 | u64::from(*byte));
            self.rest_bytes = if length_bytes > 0 { length } else { u64::from(self.head[1] & 0x7f) };
            self.head_bytes = 0;
        }
    }

    fn is_inside(&self) -> bool {
        self.head_bytes > 0 || self.rest_bytes > 0
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Frames<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, room))?;
        self.place.pass(&room.filled()[before..]);
        self.is_inside.set(self.place.is_inside());
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of a client with payloads of so many bytes, and behind which bytes each of them ends.
    fn frames(payloads: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        for payload in payloads {
            let frame = fastwebsockets::Frame::text(vec![b'x'; *payload].into());
            let mut head = [0; 16];
            let mut frame = frame;
            let head_bytes = frame.fmt_head(&mut head);
            bytes.extend_from_slice(&head[..head_bytes]);
            bytes.extend_from_slice(&frame.payload);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn a_stream_is_inside_a_frame_everywhere_but_between_two() {
        let (mut bytes, mut ends) = frames(&[0, 1, 125, 126, 300, 70_000, 0]);
        // And one with a mask.
        bytes.extend_from_slice(&[0x81, 0x83, 1, 2, 3, 4, b'a', b'b', b'c']);
        ends.push(bytes.len());
        for step in [1, 2, 7, 1_000, bytes.len()] {
            let (mut place, mut passed) = (Place::default(), 0);
            for part in bytes.chunks(step) {
                place.pass(part);
                passed += part.len();
                assert_eq!(place.is_inside(), !ends.contains(&passed), "{passed} in steps of {step}");
            }
        }
    }
}
