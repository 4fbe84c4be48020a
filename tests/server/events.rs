//! A client of event streams, and of plain HTTP: strict readers of their own.
//!
//! Blocking, on the test's thread. Invariant: a body that is not whole chunks, or a stream that is not whole events, fails the test.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{PATIENCE, Server, now};

/// An event as a browser would see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// Empty: `message`.
    pub(crate) name: String,
    pub(crate) data: String,
    pub(crate) id: Option<String>,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {:?}", self.data))
    }

    /// The feed-wide ordinal of its id.
    pub(crate) fn ordinal(&self) -> Option<u64> {
        self.id.as_ref().map(|id| id.rsplit_once(':').unwrap().1.parse().unwrap())
    }
}

/// A client of `/v1/sse` that reads when it is told to.
pub(crate) struct Events {
    stream: TcpStream,
    /// Bytes of the body's chunks, and of the events in them, not yet taken.
    raw: Vec<u8>,
    text: Vec<u8>,
    /// The body's last chunk has come.
    pub(crate) ended: bool,
    /// Comments so far.
    pub(crate) comments: u64,
}

impl Events {
    /// Connects, and takes the greeting.
    pub(crate) fn connect(server: &Server, query: &str, last_event_id: Option<&str>) -> Self {
        Self::over(TcpStream::connect(server.address("subscribers")).unwrap(), query, last_event_id)
    }

    pub(crate) fn over(mut stream: TcpStream, query: &str, last_event_id: Option<&str>) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let id = last_event_id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        write!(stream, "GET /v1/sse?{query} HTTP/1.1\r\nHost: test\r\n{id}\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
        let mut events = Self { stream, raw: Vec::new(), text: Vec::new(), ended: false, comments: 0 };
        let hello = events.next().unwrap();
        assert_eq!((hello.name.as_str(), hello.json()["op"].as_str()), ("hello", Some("hello")));
        events
    }

    /// The next event; `None`: the stream has ended behind a whole one. A heartbeat is none, however many come.
    pub(crate) fn next(&mut self) -> Option<Event> {
        let deadline = now() + PATIENCE;
        loop {
            assert!(now() < deadline, "no event, but {} comments", self.comments);
            if let Some(end) = self.text.windows(2).position(|end| end == b"\n\n") {
                let lines = String::from_utf8(self.text.drain(..end + 2).collect()).unwrap();
                match self.event(&lines) {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            if self.ended || !self.fill() {
                assert!(self.text.is_empty(), "the stream ended within an event");
                return None;
            }
        }
    }

    /// The next record or message of the native protocol.
    pub(crate) fn message(&mut self) -> Event {
        let event = self.next().expect("a message, not the end");
        assert_eq!(event.name, "", "{event:?}");
        event
    }

    fn event(&mut self, lines: &str) -> Option<Event> {
        let (mut event, mut data) = (Event::default(), Vec::new());
        for line in lines.trim_end_matches('\n').split('\n') {
            match line.split_once(':').unwrap_or_else(|| panic!("{line:?} in {lines:?}")) {
                ("", _) => self.comments += 1,
                ("data", value) => data.push(value.strip_prefix(' ').unwrap()),
                ("event", value) => event.name = value.trim_start().to_owned(),
                ("id", value) => event.id = Some(value.trim_start().to_owned()),
                ("retry", value) => assert_eq!(value, " 2000"),
                other => panic!("{other:?} in {lines:?}"),
            }
        }
        event.data = data.join("\n");
        (!data.is_empty()).then_some(event)
    }

    /// Reads from the socket; false at its end.
    fn fill(&mut self) -> bool {
        let mut bytes = vec![0; 64 * 1024];
        let read = match self.stream.read(&mut bytes) {
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("a stream's read: {error}"),
        };
        self.raw.extend_from_slice(&bytes[..read]);
        while self.take_chunk() {}
        read > 0
    }

    fn take_chunk(&mut self) -> bool {
        let Some(line) = self.raw.windows(2).position(|end| end == b"\r\n") else { return false };
        let length = std::str::from_utf8(&self.raw[..line]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        let end = line + 2 + length + 2;
        if self.raw.len() < end {
            return false;
        }
        assert!(self.raw[..end].ends_with(b"\r\n"), "a chunk that is longer than it says");
        self.text.extend_from_slice(&self.raw[line + 2..end - 2]);
        self.raw.drain(..end);
        self.ended |= length == 0;
        true
    }
}

/// Asks the subscribers' port for a path over plain HTTP; status and body.
pub(crate) fn get(server: &Server, target: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(server.address("subscribers")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // An older HTTP has no chunks: the body is what comes until the end.
    write!(stream, "GET {target} HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")))
}
