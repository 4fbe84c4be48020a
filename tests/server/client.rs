//! Clients of the server: a feed that writes lines, and a subscriber with a strict reader of frames of its own.
//!
//! Blocking, on the test's thread. Nothing here forgives the server anything. Invariant: a stream of frames that is not whole
//! frames in order, each as RFC 6455 wants it from a server, fails the test.

use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use crate::harness::{PATIENCE, Server};

/// A feed that speaks lines.
pub(crate) struct Feed {
    out: BufWriter<TcpStream>,
    answers: BufReader<TcpStream>,
}

impl Feed {
    pub(crate) fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.address("ingest")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let answers = BufReader::new(stream.try_clone().unwrap());
        Self { out: BufWriter::with_capacity(256 * 1024, stream), answers }
    }

    /// Publishes a record; it may stay in the feed's own buffer until `flush` or `ping`.
    pub(crate) fn publish(&mut self, channel: &str, payload: &str) {
        writeln!(self.out, "{channel} {payload}").unwrap();
    }

    /// Writes these bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.out.write_all(bytes).unwrap();
    }

    pub(crate) fn flush(&mut self) {
        self.out.flush().unwrap();
    }

    /// Waits until everything so far was taken; how many records that was on this connection.
    pub(crate) fn ping(&mut self) -> u64 {
        self.write(b"PING\n");
        self.flush();
        let answer = self.answer();
        let count = answer.strip_prefix("+PONG ").unwrap_or_else(|| panic!("{answer:?} is no pong"));
        count.parse().unwrap()
    }

    /// The next line that the server says; empty at the end of the connection.
    pub(crate) fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end_matches('\n').to_owned()
    }
}

/// Opcodes of RFC 6455, 5.2.
pub(crate) const TEXT: u8 = 1;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) opcode: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    /// Code and text of a close frame.
    pub(crate) fn close(&self) -> (u16, &str) {
        assert_eq!(self.opcode, CLOSE, "{self:?} is no close frame");
        let (code, text) = self.payload.split_first_chunk().expect("a code");
        (u16::from_be_bytes(*code), std::str::from_utf8(text).unwrap())
    }
}

/// A subscriber that reads when it is told to.
pub(crate) struct Subscriber {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// What of the buffer was read from the socket and not yet taken.
    start: usize,
    end: usize,
    /// Whether pings are answered as they are met.
    pub(crate) answers_pings: bool,
}

/// What a subscriber got until its request was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Messages that came before it.
    pub(crate) before: Vec<String>,
    pub(crate) text: String,
}

impl Subscriber {
    /// Connects and shakes hands.
    pub(crate) fn connect(server: &Server, path: &str) -> Self {
        Self::over(TcpStream::connect(server.address("subscribers")).unwrap(), path)
    }

    /// As `connect`, with a receive buffer of this size, or the largest that the system gives.
    pub(crate) fn connect_with_room(server: &Server, path: &str, receive_bytes: usize) -> Self {
        let domain = socket2::Domain::IPV4;
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
        socket.set_recv_buffer_size(receive_bytes).unwrap();
        socket.connect(&server.address("subscribers").into()).unwrap();
        Self::over(socket.into(), path)
    }

    fn over(stream: TcpStream, path: &str) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        let buffer = vec![0; 64 * 1024];
        let mut subscriber = Self { stream, buffer, start: 0, end: 0, answers_pings: true };
        subscriber.shake_hands(path);
        subscriber
    }

    // Key and answer of RFC 6455, 1.3.
    fn shake_hands(&mut self, path: &str) {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             User-Agent: a test's client\r\n\r\n"
        );
        self.stream.write_all(request.as_bytes()).unwrap();
        let head = loop {
            let head = self.waiting().windows(4).position(|end| end == b"\r\n\r\n");
            if let Some(end) = head {
                break String::from_utf8(self.waiting()[..end + 4].to_vec()).unwrap();
            }
            assert!(self.fill(), "{path}: the connection ended within the handshake");
        };
        assert!(head.starts_with("HTTP/1.1 101 "), "{path}: {head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{path}: {head}");
        self.start += head.len();
    }

    fn waiting(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads more from the socket; false at its end.
    fn fill(&mut self) -> bool {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.end, 0);
        }
        let read = match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("a subscriber's read: {error}"),
        };
        self.end += read;
        read > 0
    }

    /// The next frame, pings included; `None` when the connection ended between two frames.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(head) = Head::read(self.waiting()) {
                let whole = head.bytes + head.payload_bytes;
                if self.waiting().len() >= whole {
                    let payload = self.waiting()[head.bytes..whole].to_vec();
                    self.start += whole;
                    return Some(Frame { opcode: head.opcode, payload });
                }
            }
            if !self.fill() {
                assert!(self.waiting().is_empty(), "the connection ended within a frame");
                return None;
            }
        }
    }

    /// The next frame that is no ping, pings answered if they are to be.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            if frame.opcode != PING {
                return Some(frame);
            }
            if self.answers_pings {
                self.send(PONG, &frame.payload);
            }
        }
    }

    /// The next message.
    pub(crate) fn text(&mut self) -> String {
        let frame = self.next().expect("a message, not the end of the connection");
        assert_eq!(frame.opcode, TEXT, "{frame:?} is no message");
        String::from_utf8(frame.payload).unwrap()
    }

    /// Sends a frame, masked as RFC 6455 wants it from a client.
    pub(crate) fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.stream.write_all(&masked(opcode, payload)).unwrap();
    }

    /// Writes these bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.send(TEXT, text.as_bytes());
    }

    /// Makes a request, and reads until it is answered: what carries its id and is no record.
    pub(crate) fn ask(&mut self, id: u64, request: &str) -> Answer {
        self.say(request);
        let id = format!(r#""id":{id}"#);
        let mut before = Vec::new();
        loop {
            let text = self.text();
            if is_answer(&text) && text.contains(&id) {
                return Answer { before, text };
            }
            before.push(text);
        }
    }

    /// Subscribes on a native connection and waits for the acknowledgement.
    pub(crate) fn subscribe(&mut self, id: u64, channels: &[&str]) -> Answer {
        let channels = channels.join(r#"",""#);
        let answer = self.ask(id, &format!(r#"{{"op":"subscribe","id":{id},"channels":["{channels}"]}}"#));
        assert!(answer.text.starts_with(r#"{"op":"ack""#), "{}", answer.text);
        answer
    }

    /// Unsubscribes on a native connection and waits for the acknowledgement.
    pub(crate) fn unsubscribe(&mut self, id: u64, channels: &[&str]) -> Answer {
        let channels = channels.join(r#"",""#);
        let answer = self.ask(id, &format!(r#"{{"op":"unsubscribe","id":{id},"channels":["{channels}"]}}"#));
        assert!(answer.text.starts_with(r#"{"op":"ack""#), "{}", answer.text);
        answer
    }

    /// Takes the `hello` that opens a native connection.
    pub(crate) fn native(server: &Server) -> Self {
        let mut subscriber = Self::connect(server, "/v1/ws");
        let hello = subscriber.text();
        assert!(hello.starts_with(r#"{"op":"hello""#), "{hello}");
        subscriber
    }

    /// Its own address, as the server sees it.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.stream.local_addr().unwrap()
    }

    /// The socket, for who reads by other means; nothing may have been read ahead.
    pub(crate) fn into_stream(self) -> (TcpStream, Vec<u8>) {
        let ahead = self.waiting().to_vec();
        (self.stream, ahead)
    }
}

/// Records name their channel first, in both dialects that name it; raw payloads are asked about on no connection.
fn is_answer(text: &str) -> bool {
    text.starts_with(r#"{"op":"#) || text.starts_with(r#"{"result":"#) || text.starts_with(r#"{"error":"#)
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) opcode: u8,
    /// Bytes of the head itself.
    pub(crate) bytes: usize,
    pub(crate) payload_bytes: usize,
}

impl Head {
    /// Reads a head as a server must write it: whole frames, no extensions, unmasked, the shortest length.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let [first, second, rest @ ..] = bytes else { return None };
        assert_eq!(first & 0xf0, 0x80, "not a whole frame without extensions: {first:#x}");
        let opcode = first & 0x0f;
        assert!([TEXT, 2, CLOSE, PING, PONG].contains(&opcode), "opcode {opcode}");
        assert!(second & 0x80 == 0, "a server masks nothing");
        let (head, payload) = match second {
            127 => (10, usize::try_from(u64::from_be_bytes(*rest.first_chunk()?)).unwrap()),
            126 => (4, usize::from(u16::from_be_bytes(*rest.first_chunk()?))),
            short => (2, usize::from(*short)),
        };
        let shortest = if payload < 126 {
            2
        } else if payload <= 0xffff {
            4
        } else {
            10
        };
        assert_eq!(head, shortest, "a length not in its shortest form: {payload}");
        assert!(opcode < CLOSE || payload < 126, "a control frame of {payload} bytes");
        Some(Self { opcode, bytes: head, payload_bytes: payload })
    }
}

/// A client's frame. Its mask is fixed: the server cannot tell.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        medium @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}
