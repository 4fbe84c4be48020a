//! Many subscribers at once, read as fast as they can be: a few threads, each with the sockets of its share.
//!
//! Own threads, a current-thread runtime each. It judges no payload: a listener does. Invariant: whoever is done has shown by a
//! ping and its pong that nothing came behind what was due.

use std::cell::RefCell;
use std::net::TcpStream;
use std::rc::Rc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::task::LocalSet;

use crate::client::{CLOSE, Head, PING, PONG, Subscriber, TEXT, masked};
use crate::harness::Server;

/// Threads that read. The server has cores to itself while they wait.
const THREADS: usize = 2;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// Room for what comes while others of the crowd are being read: they share a thread, which subscribers do not.
const RECEIVE_BYTES: usize = 4 << 20;

/// What the last ping of a subscriber carries.
const LAST: &[u8] = b"is that all?";

/// Judges what one subscriber gets. It panics at the first message that is not right.
pub(crate) trait Listener: Send + 'static {
    fn hear(&mut self, message: &[u8]);

    /// Everything that is due has come.
    fn is_done(&self) -> bool;

    /// How far it is, for the message of a test that failed.
    fn state(&self) -> String;
}

/// A subscriber that was done, its connection still open.
pub(crate) struct Done<L> {
    pub(crate) listener: L,
    _stream: TcpStream,
}

/// Subscribers that are being read.
pub(crate) struct Crowd<L> {
    threads: Vec<JoinHandle<Vec<Done<L>>>>,
}

impl<L: Listener> Crowd<L> {
    /// Connects each listener to its path and begins to read. Each has `patience` until it is done.
    pub(crate) fn gather(server: &Server, listeners: Vec<(String, L)>, patience: Duration) -> Self {
        let mut shares: Vec<Vec<_>> = (0..THREADS).map(|_| Vec::new()).collect();
        for (number, (path, listener)) in listeners.into_iter().enumerate() {
            let subscriber = Subscriber::connect_with_room(server, &path, RECEIVE_BYTES);
            shares[number % THREADS].push((subscriber, listener));
        }
        let read = |share| std::thread::spawn(move || read_all(share, patience));
        Self { threads: shares.into_iter().map(read).collect() }
    }

    /// Waits until everybody is done; in no particular order.
    pub(crate) fn finish(self) -> Vec<Done<L>> {
        let ended: Vec<_> = self.threads.into_iter().map(JoinHandle::join).collect();
        ended
            .into_iter()
            .flat_map(|done| done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    }
}

fn read_all<L: Listener>(share: Vec<(Subscriber, L)>, patience: Duration) -> Vec<Done<L>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let buffer = Rc::new(RefCell::new(vec![0; READ_BYTES]));
    LocalSet::new().block_on(&runtime, async {
        let read = |(subscriber, listener)| {
            tokio::task::spawn_local(read_one(subscriber, listener, Rc::clone(&buffer), patience))
        };
        let tasks: Vec<_> = share.into_iter().map(read).collect();
        let mut done = Vec::new();
        for task in tasks {
            done.push(task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())));
        }
        done
    })
}

async fn read_one<L: Listener>(
    subscriber: Subscriber,
    listener: L,
    buffer: Rc<RefCell<Vec<u8>>>,
    patience: Duration,
) -> Done<L> {
    let (stream, rest) = subscriber.into_stream();
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    let mut reading = Reading { stream, rest, listener, asked: false, answered: false };
    if tokio::time::timeout(patience, reading.run(&buffer)).await.is_err() {
        panic!("a subscriber is not done: {}", reading.listener.state());
    }
    Done { listener: reading.listener, _stream: reading.stream.into_std().unwrap() }
}

/// One subscriber being read.
struct Reading<L> {
    stream: tokio::net::TcpStream,
    /// The beginning of a frame whose end has not come.
    rest: Vec<u8>,
    listener: L,
    /// The last ping was sent.
    asked: bool,
    /// Its pong has come.
    answered: bool,
}

impl<L: Listener> Reading<L> {
    async fn run(&mut self, buffer: &RefCell<Vec<u8>>) {
        self.ask_when_done();
        while !self.answered {
            self.stream.readable().await.unwrap();
            self.read(&mut buffer.borrow_mut());
        }
    }

    fn read(&mut self, buffer: &mut Vec<u8>) {
        let held = self.rest.len();
        buffer.resize(buffer.len().max(2 * held), 0);
        buffer[..held].copy_from_slice(&self.rest);
        match self.stream.try_read(&mut buffer[held..]) {
            Ok(0) => panic!("the connection ended: {}", self.listener.state()),
            Ok(read) => self.take_frames(&buffer[..held + read]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}: {}", self.listener.state()),
        }
    }

    fn take_frames(&mut self, mut bytes: &[u8]) {
        while let Some(head) = Head::read(bytes)
            && let Some((frame, behind)) = bytes.split_at_checked(head.bytes + head.payload_bytes)
        {
            self.take_frame(head.opcode, &frame[head.bytes..]);
            bytes = behind;
        }
        self.rest.clear();
        self.rest.extend_from_slice(bytes);
    }

    fn take_frame(&mut self, opcode: u8, payload: &[u8]) {
        match opcode {
            TEXT => {
                self.listener.hear(payload);
                self.ask_when_done();
            }
            PING => self.send(&masked(PONG, payload)),
            PONG => self.answered = payload == LAST,
            CLOSE => {
                let text = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                panic!("closed: {text}: {}", self.listener.state());
            }
            _ => panic!("opcode {opcode}"),
        }
    }

    fn ask_when_done(&mut self) {
        if !self.asked && self.listener.is_done() {
            self.asked = true;
            self.send(&masked(PING, LAST));
        }
    }

    /// Small frames, seldom: what the kernel does not take at once is a fault.
    fn send(&self, frame: &[u8]) {
        assert_eq!(self.stream.try_write(frame).unwrap(), frame.len());
    }
}
