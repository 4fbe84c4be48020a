//! One connection to `/v1/ws`: upgrade, frames, pongs.
//!
//! A reader's thread. Must not wait: a socket that has nothing is left. Must not know channels. Invariant: what is handed out is
//! whole messages in the order in which they came, and nothing after the end was told.

use super::record::{self, Record, Said};
use crate::frame::{self, Frame};
use crate::subscription::Dialect;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

/// Largest segment of a reader with a small window, as over Ethernet.
const SEGMENT_BYTES: u32 = 1448;

/// What came.
pub(crate) enum Heard<'a> {
    Record(Record<'a>),
    Word(Value),
    /// The connection is over, or said what nobody understands.
    Wrong(String),
}

/// What one read brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) bytes: usize,
    /// The kernel holds no more.
    pub(crate) is_all: bool,
}

/// A subscriber's connection.
pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    is_upgraded: bool,
    /// A frame (or the upgrade's answer) that is not whole yet.
    carry: Vec<u8>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
}

impl Connection {
    /// Connects and asks for the upgrade. `kernel_bytes` bounds what the kernel receives ahead of the reader, where given.
    pub(crate) fn open(to: SocketAddr, kernel_bytes: Option<usize>) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
        if let Some(bytes) = kernel_bytes {
            // Before connecting: the window that is offered follows from it.
            socket.set_recv_buffer_size(bytes)?;
            // A window smaller than loopback's segments of 64 KiB stays shut until the sender's kernel asks, for seconds.
            socket.set_tcp_mss(SEGMENT_BYTES)?;
        }
        socket.connect(&to.into())?;
        let socket = TcpStream::from(socket);
        socket.set_nodelay(true)?;
        socket.set_nonblocking(true)?;
        let unsent = Dialect::Native.request(&to.to_string(), None).into_bytes();
        let mut connection = Self { socket, is_upgraded: false, carry: Vec::new(), unsent };
        connection.flush()?;
        Ok(connection)
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, text: &str) -> io::Result<()> {
        frame::append_client(&mut self.unsent, frame::TEXT, text.as_bytes());
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.socket.write(&self.unsent) {
            Ok(bytes) => {
                self.unsent.drain(..bytes);
                Ok(())
            }
            Err(error) if is_for_later(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Reads once, at most as much as fits `scratch`, and hands out each whole message.
    pub(crate) fn read(&mut self, scratch: &mut [u8], mut hear: impl FnMut(Heard<'_>)) -> Taken {
        let bytes = match self.socket.read(scratch) {
            Ok(0) => {
                hear(Heard::Wrong("the server ended the connection".to_owned()));
                return Taken { bytes: 0, is_all: true };
            }
            Ok(bytes) => bytes,
            Err(error) if is_for_later(&error) => return Taken { bytes: 0, is_all: true },
            Err(error) => {
                hear(Heard::Wrong(format!("the connection broke: {error}")));
                return Taken { bytes: 0, is_all: true };
            }
        };
        self.carry.extend_from_slice(&scratch[..bytes]);
        self.take(&mut hear);
        Taken { bytes, is_all: bytes < scratch.len() }
    }

    fn take(&mut self, hear: &mut impl FnMut(Heard<'_>)) {
        let carry = std::mem::take(&mut self.carry);
        let upgraded = if self.is_upgraded { 0 } else { self.upgrade(&carry, hear) };
        let mut pongs = Vec::new();
        let frames = if self.is_upgraded { &carry[upgraded..] } else { &[] };
        let walked = frame::walk(frames, |frame| hear_frame(frame, &mut pongs, hear));
        let taken = walked.unwrap_or_else(|error| {
            hear(Heard::Wrong(format!("a bad frame: {error:?}")));
            frames.len()
        });
        self.carry = carry;
        self.carry.drain(..upgraded + taken);
        self.unsent.extend_from_slice(&pongs);
        // A socket that takes no pong tells its end when it is read.
        let _ = self.flush();
    }

    /// Takes the answer to the upgrade, if it is whole. Returns its bytes.
    fn upgrade(&mut self, bytes: &[u8], hear: &mut impl FnMut(Heard<'_>)) -> usize {
        const END: &[u8] = b"\r\n\r\n";
        let Some(at) = memchr::memmem::find(bytes, END) else { return 0 };
        self.is_upgraded = bytes.starts_with(b"HTTP/1.1 101");
        if !self.is_upgraded {
            let text = String::from_utf8_lossy(&bytes[..at]);
            hear(Heard::Wrong(format!("refused: {}", text.lines().next().unwrap_or_default())));
        }
        at + END.len()
    }
}

fn hear_frame(frame: Frame<'_>, pongs: &mut Vec<u8>, hear: &mut impl FnMut(Heard<'_>)) {
    match frame.opcode {
        frame::TEXT => hear(match record::read(frame.payload) {
            Said::Record(record) => Heard::Record(record),
            Said::Word(word) => Heard::Word(word),
            Said::Unknown => {
                Heard::Wrong(format!("not understood: {}", String::from_utf8_lossy(frame.payload)))
            }
        }),
        frame::PING => frame::append_client(pongs, frame::PONG, frame.payload),
        frame::CLOSE => hear(Heard::Wrong(closing(frame.payload))),
        opcode => hear(Heard::Wrong(format!("a frame of opcode {opcode}"))),
    }
}

fn closing(payload: &[u8]) -> String {
    match payload {
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            format!("the server closed: {code} {}", String::from_utf8_lossy(reason))
        }
        _ => "the server closed without a code".to_owned(),
    }
}

fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
