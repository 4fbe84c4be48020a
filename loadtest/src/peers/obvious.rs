//! What one would write first: a task and a queue a connection, on the libraries one would take first.
//!
//! One thread, tokio's current-thread runtime (faster than its multi-thread one on the single core that
//! every server here is given). Must not batch: one record, one `write_frame`. Invariant: a connection
//! whose queue is full is disconnected, so nobody is served with holes.

use super::line::{Line, Lines};
use super::{PeerArguments, SUBSCRIBED, announce, channels_of};
use bytes::Bytes;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, WebSocketWrite, upgrade,
};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local, yield_now};

/// Records that may wait for one connection.
const QUEUE_RECORDS_MAX: usize = 4096;
const FEED_BYTES_A_READ: usize = 64 * 1024;

type Socket = TokioIo<Upgraded>;
type Queues = HashMap<Vec<u8>, Vec<Rc<Queue>>, foldhash::fast::FixedState>;
type Registry = Rc<RefCell<Queues>>;

/// One connection's queue, shared by its channels.
struct Queue {
    sender: mpsc::Sender<Outgoing>,
    /// It was full once: its connection ends.
    overrun: Cell<bool>,
}

#[derive(Clone)]
enum Outgoing {
    Text(Bytes),
    Pong(Bytes),
}

/// The `obvious` peer.
pub(crate) fn main(arguments: &PeerArguments) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, serve(arguments))
}

async fn serve(arguments: &PeerArguments) -> io::Result<()> {
    let subscribers = TcpListener::bind(arguments.listen).await?;
    let ingest = TcpListener::bind(arguments.ingest_listen).await?;
    announce(subscribers.local_addr()?, ingest.local_addr()?)?;
    let registry = Registry::default();
    loop {
        tokio::select! {
            accepted = subscribers.accept() => {
                spawn_local(serve_http(accepted?.0, registry.clone()));
            }
            accepted = ingest.accept() => {
                spawn_local(read_feed(accepted?.0, registry.clone()));
            }
        }
    }
}

/// A feed that ends, in whatever way, ends alone.
async fn read_feed(mut socket: TcpStream, registry: Registry) -> io::Result<()> {
    let mut lines = Lines::default();
    let mut buffer = vec![0; FEED_BYTES_A_READ];
    loop {
        let bytes = socket.read(&mut buffer).await?;
        if bytes == 0 {
            return Ok(());
        }
        let mut answers = Vec::new();
        lines.take(&buffer[..bytes], |line| match line {
            Line::Record { channel, payload } => publish(&mut registry.borrow_mut(), channel, payload),
            Line::Ping(answer) => answers.extend_from_slice(answer.as_bytes()),
        });
        socket.write_all(&answers).await?;
        yield_now().await;
    }
}

fn publish(queues: &mut Queues, channel: &[u8], payload: &[u8]) {
    if let Some(queues) = queues.get_mut(channel) {
        let record = Bytes::copy_from_slice(payload);
        queues.retain(|queue| queue.offer(Outgoing::Text(record.clone())));
    }
}

impl Queue {
    /// False once the queue has been full or its connection has ended.
    fn offer(&self, outgoing: Outgoing) -> bool {
        if self.overrun.get() || self.sender.try_send(outgoing).is_err() {
            self.overrun.set(true);
        }
        !self.overrun.get()
    }
}

async fn serve_http(socket: TcpStream, registry: Registry) -> Result<(), hyper::Error> {
    // A socket without it is slower, not wrong.
    let _ = socket.set_nodelay(true);
    let service = hyper::service::service_fn(move |request| answer(request, registry.clone()));
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service)
        .with_upgrades()
        .await
}

async fn answer(
    mut request: Request<Incoming>,
    registry: Registry,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let (response, upgraded) = upgrade::upgrade(&mut request)?;
    spawn_local(async move {
        let (read, write) = upgraded.await?.split(tokio::io::split);
        let (sender, outgoing) = mpsc::channel(QUEUE_RECORDS_MAX);
        let queue = Rc::new(Queue { sender, overrun: Cell::new(false) });
        // Whichever ends first ends the connection; neither is resumed, so nothing need be cancel-safe.
        tokio::select! {
            done = write_records(write, outgoing, &queue) => done,
            done = read_messages(FragmentCollectorRead::new(read), &queue, &registry) => done,
        }
    });
    Ok(response)
}

async fn read_messages(
    mut socket: FragmentCollectorRead<ReadHalf<Socket>>,
    queue: &Rc<Queue>,
    registry: &Registry,
) -> Result<(), WebSocketError> {
    let mut no_reply = |_| std::future::ready(Ok::<(), WebSocketError>(()));
    loop {
        let message = socket.read_frame(&mut no_reply).await?;
        let reply = match message.opcode {
            OpCode::Text => {
                subscribe(queue, &message.payload, registry);
                Outgoing::Text(Bytes::from_static(SUBSCRIBED))
            }
            OpCode::Ping => Outgoing::Pong(Bytes::copy_from_slice(&message.payload)),
            OpCode::Close => return Ok(()),
            _ => continue,
        };
        if !queue.offer(reply) {
            return Ok(());
        }
    }
}

fn subscribe(queue: &Rc<Queue>, message: &[u8], registry: &Registry) {
    for channel in channels_of(message) {
        registry.borrow_mut().entry(channel.into_bytes()).or_default().push(queue.clone());
    }
}

async fn write_records(
    mut socket: WebSocketWrite<WriteHalf<Socket>>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    queue: &Queue,
) -> Result<(), WebSocketError> {
    while let Some(outgoing) = outgoing.recv().await {
        if queue.overrun.get() {
            return socket.write_frame(Frame::close(1008, b"slow")).await;
        }
        let frame = match &outgoing {
            Outgoing::Text(bytes) => Frame::text(Payload::Borrowed(bytes)),
            Outgoing::Pong(bytes) => Frame::pong(Payload::Borrowed(bytes)),
        };
        socket.write_frame(frame).await?;
    }
    Ok(())
}
