//! `tapecast tail`: a native subscriber that prints what it is sent.
//!
//! Owns one WebSocket connection; one task on a current-thread runtime. Must not change a frame: what is printed is
//! what came. Its output may block it, and then the server treats it as any slow subscriber.
//! Invariant: stdout holds record frames only, one a line; everything else goes to stderr.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind, Write};
use std::pin::{Pin, pin};
use std::time::Duration;

use fastwebsockets::{CloseCode, FragmentCollector, Frame, OpCode, Payload, WebSocketError, handshake};
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest message that is taken from a server, in bytes.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Whom to ask for what.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Host and port of a server's subscribers' listener.
    pub address: String,
    /// Channels and patterns.
    pub channels: Vec<String>,
}

/// Why a tail ended without being asked to.
#[derive(Debug)]
pub enum Error {
    /// Nothing could be reached at this address.
    Connect(String, io::Error),
    /// The handshake failed.
    Handshake(String, WebSocketError),
    /// The server refused the subscription; its error message, as it came.
    Refused(String),
    /// The server closed, with this code and reason; no code where it sent none.
    Closed(Option<u16>, String),
    /// The connection broke, or the server broke the protocol.
    Lost(WebSocketError),
    /// The output could not be written.
    Output(io::Error),
}

type Socket = FragmentCollector<TokioIo<Upgraded>>;

/// What of a control message decides what follows.
#[derive(Deserialize)]
struct Control<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    /// Absent where it answers nothing that was asked.
    id: Option<u64>,
}

/// The id of the one request that is made.
const SUBSCRIBE_ID: u64 = 1;

/// Prints the channels' records on stdout until Ctrl-C, or until nobody reads stdout any more.
///
/// # Errors
/// No connection, a refused subscription, or an end by the server.
pub async fn run(options: Options) -> Result<(), Error> {
    let stop = async {
        // Where the signal cannot be had, its default still ends the program.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    follow(&options, io::stdout(), io::stderr(), stop).await
}

/// Writes record frames to `records` and everything else to `notes`, one a line, until `stop` is ready or `records`
/// is closed by its reader.
///
/// # Errors
/// As [`run`].
pub async fn follow(
    options: &Options,
    records: impl Write,
    mut notes: impl Write,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let mut stop = pin!(stop);
    let mut socket = connect(&options.address).await?;
    subscribe(&mut socket, &options.channels).await?;
    let mut records = io::BufWriter::new(records);
    let ended = loop {
        match next_message(&mut socket, &mut records, stop.as_mut()).await {
            Ok(Some(message)) => {
                if let Err(error) = print(&message, &mut records, &mut notes) {
                    break Err(error);
                }
            }
            Ok(None) => {
                leave(&mut socket).await;
                break Ok(());
            }
            Err(error) => break Err(error),
        }
    };
    let flushed = records.flush().map_err(Error::Output);
    match ended.and(flushed) {
        Err(Error::Output(cause)) if cause.kind() == ErrorKind::BrokenPipe => Ok(()),
        ended => ended,
    }
}

async fn connect(address: &str) -> Result<Socket, Error> {
    let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
    let stream = connecting.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
    let stream = stream.map_err(|cause| Error::Connect(address.to_owned(), cause))?;
    let refused = |cause| Error::Handshake(address.to_owned(), cause);
    let request = Request::get("/v1/ws")
        .header("Host", address)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", handshake::generate_key())
        .body(Empty::<Bytes>::new())
        .map_err(|cause| Error::Connect(address.to_owned(), io::Error::other(cause)))?;
    let shaking = timeout(CONNECT_TIMEOUT, handshake::client(&TokioExecutor::new(), request, stream)).await;
    let shaken = shaking.unwrap_or_else(|_| Err(io::Error::from(ErrorKind::TimedOut).into()));
    let (mut socket, _response) = shaken.map_err(refused)?;
    socket.set_max_message_size(MESSAGE_BYTES_MAX);
    Ok(FragmentCollector::new(socket))
}

async fn subscribe(socket: &mut Socket, channels: &[String]) -> Result<(), Error> {
    let message =
        serde_json::json!({"op": "subscribe", "id": SUBSCRIBE_ID, "channels": channels}).to_string();
    let frame = Frame::text(Payload::Owned(message.into_bytes()));
    socket.write_frame(frame).await.map_err(Error::Lost)
}

/// The next text message, or nothing once `stop` is ready. While none is there, nothing printed waits in a buffer.
async fn next_message(
    socket: &mut Socket,
    records: &mut impl Write,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> Result<Option<Payload<'static>>, Error> {
    loop {
        let mut reading = pin!(socket.read_frame());
        let frame = tokio::select! {
            biased;
            () = stop.as_mut() => return Ok(None),
            frame = reading.as_mut() => frame,
            () = std::future::ready(()) => {
                records.flush().map_err(Error::Output)?;
                tokio::select! {
                    () = stop.as_mut() => return Ok(None),
                    frame = reading => frame,
                }
            }
        };
        let frame = frame.map_err(Error::Lost)?;
        match frame.opcode {
            OpCode::Text => return Ok(Some(frame.payload)),
            OpCode::Close => return Err(closed(&frame.payload)),
            _ => {}
        }
    }
}

fn print(message: &[u8], records: &mut impl Write, notes: &mut impl Write) -> Result<(), Error> {
    let Ok(control) = serde_json::from_slice::<Control<'_>>(message) else {
        return write_line(records, message).map_err(Error::Output);
    };
    if control.op == "error" && control.id == Some(SUBSCRIBE_ID) {
        return Err(Error::Refused(String::from_utf8_lossy(message).into_owned()));
    }
    // Notes are a courtesy: nobody reading them must not end the records.
    let _ = write_line(notes, message);
    Ok(())
}

fn write_line(out: &mut impl Write, line: &[u8]) -> io::Result<()> {
    out.write_all(line)?;
    out.write_all(b"\n")
}

/// Says goodbye, so that the server does not count a client that vanished. A server that is gone already is no error.
async fn leave(socket: &mut Socket) {
    let _ = socket.write_frame(Frame::close(CloseCode::Normal.into(), b"")).await;
}

/// RFC 6455, 5.5.1: a close frame is empty, or holds a code and then a reason.
fn closed(payload: &[u8]) -> Error {
    match payload.split_first_chunk() {
        Some((code, reason)) => {
            Error::Closed(Some(u16::from_be_bytes(*code)), String::from_utf8_lossy(reason).into_owned())
        }
        None => Error::Closed(None, String::new()),
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(address, cause) => {
                write!(f, "cannot connect to {address}: {cause}; is a server running there (tapecast serve)?")
            }
            Self::Handshake(address, WebSocketError::InvalidStatusCode(503)) => {
                write!(f, "{address} takes no more connections now (503); try again later")
            }
            Self::Handshake(address, cause) => write!(
                f,
                "{address} does not serve subscribers ({cause}); give the address that serve prints as \
                 \"listening subscribers\""
            ),
            Self::Refused(message) => write!(f, "the server refused: {message}"),
            Self::Closed(Some(code), reason) => write!(f, "the server closed: {code} {reason}"),
            Self::Closed(None, _) => f.write_str("the server closed and gave no reason"),
            Self::Lost(cause) => write!(f, "lost the connection: {cause}"),
            Self::Output(cause) => write!(f, "cannot write the output: {cause}"),
        }
    }
}

impl std::error::Error for Error {}
