//! The feed side over real sockets: replay and tail against small servers of the test's own.

use std::fs;
use std::future::pending;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tapecast::feed::{client, recording, replay, tail};
use tungstenite::protocol::CloseFrame;
use tungstenite::{Message, WebSocket};

/// After this a test gives up on what should come at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// A feed listener that keeps each record, and refuses those of channels that begin with `bad`.
struct FeedListener {
    address: SocketAddr,
    connection: JoinHandle<Vec<String>>,
}

impl FeedListener {
    /// Serves one connection, and hangs up after `records_max` records.
    fn start(token: Option<&'static str>, records_max: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connection =
            std::thread::spawn(move || serve_lines(listener.accept().unwrap().0, token, records_max));
        Self { address, connection }
    }

    fn records(self) -> Vec<String> {
        self.connection.join().unwrap()
    }
}

fn serve_lines(stream: TcpStream, token: Option<&str>, records_max: usize) -> Vec<String> {
    let mut answers = stream.try_clone().unwrap();
    let mut records = Vec::new();
    for (line, number) in BufReader::new(stream).lines().map_while(Result::ok).zip(1..) {
        if let (Some(token), 1) = (token, number) {
            if line != format!("AUTH {token}") {
                answers.write_all(b"-ERR 1 unauthorized wrong token\n").unwrap();
                break;
            }
        } else if line == "PING" {
            answers.write_all(format!("+PONG {}\n", records.len()).as_bytes()).unwrap();
        } else if line.starts_with("bad") {
            let answer = format!("-ERR {number} invalid_channel \u{1b}[1m{}\n", "no".repeat(500));
            answers.write_all(answer.as_bytes()).unwrap();
        } else {
            records.push(line);
        }
        if records.len() >= records_max {
            break;
        }
    }
    records
}

/// A recording in a file that goes with the test.
struct RecordingFile(PathBuf);

impl RecordingFile {
    fn new(name: &str, content: &[u8]) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{name}", std::process::id()));
        fs::write(&path, content).unwrap();
        Self(path)
    }

    fn gzip(name: &str, text: &str) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        Self::new(name, &encoder.finish().unwrap())
    }

    fn options(&self, to: SocketAddr) -> replay::Options {
        replay::Options {
            file: self.0.clone(),
            to: to.to_string(),
            speed: "max".parse().unwrap(),
            ..replay::Options::default()
        }
    }
}

impl Drop for RecordingFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn line(t: u64, venue: &str, channel: &str, raw: &str) -> String {
    format!("{{\"t\":{t},\"venue\":\"{venue}\",\"channel\":\"{channel}\",\"raw\":{raw}}}\n")
}

#[tokio::test]
async fn each_record_arrives_once_in_order_and_verbatim() {
    let text: String = (0..5000)
        .map(|i| match i % 4 {
            0 => line(i, "x", "a@trade", &format!(r#"{{"i": {i}, "p":"1.10"}}"#)),
            1 => line(i, "x", "b@depth", &format!(r#"{{"stream":"b@depth@100ms","data":[ {i}.50 ]}}"#)),
            2 => format!("{{\"t\":{i},\"venue\":\"x\",\"channel\":null,\"raw\":{{\"id\":1}}}}\n"),
            _ => "broken\n".to_owned(),
        })
        .collect();
    let file = RecordingFile::gzip("verbatim.jsonl.gz", &text);
    let server = FeedListener::start(None, usize::MAX);
    let summary = replay::run(file.options(server.address), pending()).await.unwrap();
    assert_eq!((summary.sent, summary.accepted, summary.refused), (2500, Some(2500), 0));
    assert_eq!((summary.passed_over, summary.bad_lines), (1250, 1250));
    let expected = (0..5000).filter_map(|i| match i % 4 {
        0 => Some(format!(r#"a@trade {{"i": {i}, "p":"1.10"}}"#)),
        1 => Some(format!("b@depth [ {i}.50 ]")),
        _ => None,
    });
    assert!(server.records().into_iter().eq(expected));
}

#[tokio::test]
async fn one_venue_and_its_prefix() {
    let text = [line(1, "x", "a@trade", "1"), line(2, "y", "a@trade", "2"), line(3, "x", "b@trade", "3")];
    let file = RecordingFile::new("venues.jsonl", text.concat().as_bytes());
    let server = FeedListener::start(Some("secret"), usize::MAX);
    let options = replay::Options {
        venue: Some("x".into()),
        venue_prefix: true,
        token: Some("secret".into()),
        ..file.options(server.address)
    };
    let summary = replay::run(options.clone(), pending()).await.unwrap();
    assert_eq!((summary.sent, summary.accepted, summary.passed_over), (2, Some(2), 1));
    assert_eq!(server.records(), ["x:a@trade 1", "x:b@trade 3"]);

    let server = FeedListener::start(None, usize::MAX);
    let options =
        replay::Options { venue: Some("z".into()), token: None, to: server.address.to_string(), ..options };
    let error = replay::run(options, pending()).await.unwrap_err();
    assert!(matches!(&error, replay::Error::NothingToSend(summary) if summary.passed_over == 3), "{error}");
}

#[tokio::test]
async fn refusals_are_counted_and_end_nothing() {
    // More of records and of answers than the sockets' buffers hold: who does not read meanwhile gets stuck.
    let payload = format!("\"{}\"", "x".repeat(1000));
    let channel = |i| if i % 2 == 0 { "a@trade" } else { "bad@trade" };
    let text: String = (0..30_000).map(|i| line(i, "x", channel(i), &payload)).collect();
    let file = RecordingFile::gzip("refusals.jsonl.gz", &text);
    let server = FeedListener::start(None, usize::MAX);
    let replayed = tokio::time::timeout(PATIENCE, replay::run(file.options(server.address), pending())).await;
    let summary = replayed.expect("stuck").unwrap();
    assert_eq!((summary.sent, summary.accepted, summary.refused), (30_000, Some(15_000), 15_000));
}

#[tokio::test]
async fn everything_refused_is_an_error() {
    let file = RecordingFile::new("refused.jsonl", line(1, "x", "bad@trade", "1").repeat(3).as_bytes());
    let server = FeedListener::start(None, usize::MAX);
    let error = replay::run(file.options(server.address), pending()).await.unwrap_err();
    assert!(matches!(error, replay::Error::AllRefused(3, _)), "{error}");
    assert!(!error.to_string().contains('\u{1b}'), "a server's text goes to a terminal");
}

#[tokio::test]
async fn a_wrong_token_is_told_in_the_servers_words() {
    let file = RecordingFile::new("token.jsonl", line(1, "x", "a@trade", "1").as_bytes());
    let server = FeedListener::start(Some("secret"), usize::MAX);
    let options = replay::Options { token: Some("guess".into()), ..file.options(server.address) };
    let error = replay::run(options, pending()).await.unwrap_err();
    assert!(error.to_string().contains("unauthorized"), "{error}");
}

#[tokio::test]
async fn a_loop_keeps_its_timing_and_goes_on_until_the_connection_breaks() {
    // So long that each is written as it is due, and not gathered with others.
    let payload = format!("\"{}\"", "x".repeat(client::BATCH_BYTES));
    let text = [0, 150, 300].map(|ms| line(ms * 1_000_000, "x", "a@trade", &payload));
    let file = RecordingFile::new("loop.jsonl", text.concat().as_bytes());
    let server = FeedListener::start(None, 10);
    let options =
        replay::Options { repeat: true, speed: "1".parse().unwrap(), ..file.options(server.address) };
    let begun = tokio::time::Instant::now();
    let error = replay::run(options, pending()).await.unwrap_err();
    assert!(matches!(error, replay::Error::Connection(client::Error::Lost { .. })), "{error}");
    assert_eq!(server.records().len(), 10);
    assert!(begun.elapsed() >= Duration::from_millis(900), "three passes of 300 ms");
}

#[tokio::test]
async fn what_came_before_a_damage_is_sent() {
    let whole = RecordingFile::gzip("whole.jsonl.gz", &line(1, "x", "a@trade", "1").repeat(10_000));
    let mut bytes = fs::read(&whole.0).unwrap();
    bytes.truncate(bytes.len() - 9);
    let file = RecordingFile::new("cut.jsonl.gz", &bytes);
    let server = FeedListener::start(None, usize::MAX);
    let error = replay::run(file.options(server.address), pending()).await.unwrap_err();
    let replay::Error::Recording(_, recording::Error::Gzip(lines, _)) = error else { panic!("{error}") };
    assert_eq!(server.records().len() as u64, lines);
}

#[tokio::test]
async fn the_recordings_timing_is_kept() {
    let minutes =
        [0, 1, 2].map(|m| line(1_723_161_254_000_000_000 + m * 60_000_000_000, "x", "a@trade", "1"));
    let file = RecordingFile::new("timing.jsonl", minutes.concat().as_bytes());
    let server = FeedListener::start(None, usize::MAX);
    let options = replay::Options { speed: "1200".parse().unwrap(), ..file.options(server.address) };
    let replayed = tokio::time::timeout(PATIENCE, replay::run(options, pending())).await;
    let summary = replayed.expect("not a tenth of a second, but two minutes").unwrap();
    assert!(summary.time >= Duration::from_millis(100), "{summary}");
}

#[tokio::test]
async fn a_web_server_is_not_a_feed_listener() {
    let file = RecordingFile::new("web.jsonl", line(1, "x", "a@trade", "1").as_bytes());
    let (address, server) = answer_once(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    let error = replay::run(file.options(address), pending()).await.unwrap_err();
    assert!(error.to_string().contains("not a feed listener"), "{error}");
    server.join().unwrap();
}

/// Answers whatever is asked first with this, and hangs up.
fn answer_once(answer: &'static [u8]) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _asked = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(answer).unwrap();
    });
    (address, server)
}

/// The real recordings, where they are at hand; they are no part of the repository.
fn real_recordings() -> Vec<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = std::env::var_os("TAPECAST_DATA").map_or(beside, PathBuf::from);
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let small = files.filter(|file| file.metadata().is_ok_and(|about| about.len() < 1 << 20));
    small.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "gz")).collect()
}

/// What a line's record must be, found by cutting text and not by parsing JSON; none for control messages, and for
/// names that exchanges use and that are no channels here (`!bookTicker`).
fn cut(line: &str) -> Option<String> {
    let (head, raw) = line.split_once(",\"raw\":").unwrap();
    let raw = raw.strip_suffix('}').unwrap();
    let (_, channel) = head.split_once("\"channel\":\"")?;
    let combined = raw.strip_prefix("{\"stream\":\"").and_then(|rest| rest.split_once("\",\"data\":"));
    let payload = combined.map_or(raw, |(_, data)| data.strip_suffix('}').unwrap());
    let (channel, _) = channel.split_once('"').unwrap();
    tapecast::channel::validate(channel).is_ok().then(|| format!("{channel} {payload}"))
}

#[tokio::test]
async fn real_recordings_arrive_verbatim() {
    for path in real_recordings() {
        let mut text = String::new();
        GzDecoder::new(fs::File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
        let expected: Vec<String> = text.lines().filter_map(cut).collect();
        if expected.is_empty() {
            continue;
        }
        let server = FeedListener::start(None, usize::MAX);
        let options = replay::Options {
            file: path.clone(),
            to: server.address.to_string(),
            speed: "max".parse().unwrap(),
            ..replay::Options::default()
        };
        let summary = replay::run(options, pending()).await.unwrap();
        assert_eq!(summary.accepted, Some(expected.len() as u64), "{}", path.display());
        assert!(server.records() == expected, "{}: a payload differs", path.display());
    }
}

/// An output that passes on what was written, each time it was written through.
struct Through(SyncSender<String>);

impl Write for Through {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(String::from_utf8(bytes.to_vec()).unwrap()).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn through() -> (Through, Receiver<String>) {
    let (sender, receiver) = sync_channel(16);
    (Through(sender), receiver)
}

/// A native server for one subscriber: takes the handshake and the subscription, then does what the test says.
fn native_server<T: Send + 'static>(
    then: impl FnOnce(WebSocket<TcpStream>) -> T + Send + 'static,
) -> (tail::Options, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let mut socket = tungstenite::accept(listener.accept().unwrap().0).unwrap();
        let asked: serde_json::Value =
            serde_json::from_str(socket.read().unwrap().to_text().unwrap()).unwrap();
        assert_eq!(
            asked,
            serde_json::json!({"op": "subscribe", "id": 1, "channels": ["a@trade", "*@ticker"]})
        );
        then(socket)
    });
    (tail::Options { address, channels: vec!["a@trade".into(), "*@ticker".into()] }, server)
}

const HELLO: &str = r#"{"op":"hello","epoch":"e1"}"#;
const RECORD: &str = r#"{"ch":"a@trade","seq":1,"ts":1,"data":{"op": "not a control message", "p":1.10}}"#;

#[tokio::test]
async fn tail_prints_records_at_once_and_the_rest_beside_them() {
    let (records, printed) = through();
    let (options, server) = native_server(move |mut socket| {
        socket.send(HELLO.into()).unwrap();
        socket.send(RECORD.into()).unwrap();
        let first = printed.recv_timeout(PATIENCE).unwrap();
        socket.send(Message::Ping("beat".into())).unwrap();
        assert_eq!(socket.read().unwrap(), Message::Pong("beat".into()));
        socket.send(RECORD.into()).unwrap();
        socket.close(Some(CloseFrame { code: 1008.into(), reason: "too slow".into() })).unwrap();
        while socket.read().is_ok() {}
        [first].into_iter().chain(printed).collect::<String>()
    });
    let mut notes = Vec::new();
    let error = tail::follow(&options, records, &mut notes, pending()).await.unwrap_err();
    assert_eq!(error.to_string(), "the server closed: 1008 too slow");
    assert_eq!(String::from_utf8(notes).unwrap(), format!("{HELLO}\n"));
    assert_eq!(server.join().unwrap(), format!("{RECORD}\n{RECORD}\n"));
}

#[tokio::test]
async fn tail_ends_when_the_subscription_is_refused() {
    let refusal = r#"{"op":"error","id":1,"code":"invalid_channel","message":"no"}"#;
    let (options, server) = native_server(move |mut socket| {
        socket.send(refusal.into()).unwrap();
        socket
    });
    let error = tail::follow(&options, io::sink(), io::sink(), pending()).await.unwrap_err();
    assert!(matches!(&error, tail::Error::Refused(message) if message == refusal), "{error}");
    server.join().unwrap();
}

#[tokio::test]
async fn tail_says_goodbye_when_it_is_stopped() {
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let (options, server) = native_server(move |mut socket| {
        stop.send(()).unwrap();
        socket.read().unwrap()
    });
    let stopped = async { stopped.await.unwrap() };
    tail::follow(&options, io::sink(), io::sink(), stopped).await.unwrap();
    let Message::Close(Some(goodbye)) = server.join().unwrap() else { panic!("no close frame") };
    assert_eq!(u16::from(goodbye.code), 1000);
}

#[tokio::test]
async fn tail_ends_quietly_when_nobody_reads_its_output() {
    let (records, printed) = through();
    drop(printed);
    let (options, server) = native_server(|mut socket| {
        socket.send(RECORD.into()).unwrap();
        socket
    });
    tail::follow(&options, records, io::sink(), pending::<()>()).await.unwrap();
    server.join().unwrap();
}

#[tokio::test]
async fn tail_says_why_a_handshake_failed() {
    let (address, server) = answer_once(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let options = tail::Options { address: address.to_string(), channels: vec!["a@trade".into()] };
    let stop = pending();
    let error = tail::follow(&options, io::sink(), io::sink(), stop).await.unwrap_err();
    assert!(error.to_string().contains("takes no more connections"), "{error}");
    server.join().unwrap();
}
