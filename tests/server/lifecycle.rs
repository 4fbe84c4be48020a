//! Start and end of the process: what it says when it cannot start, and what everyone gets when it is told to end.
//!
//! The tests look at exit codes, stderr and the sockets. Nothing here waits for a time.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::process::{Command, Output};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::client::{CLOSE, Feed, Subscriber};
use crate::harness::{PATIENCE, Server, now};
use crate::scene::{SMALL, everything};

/// Runs `serve` where it must fail.
fn serve(arguments: &[&str]) -> Output {
    let small = SMALL.map(|setting| ["--set", setting]).concat();
    let every_port =
        ["--listen", "127.0.0.1:0", "--ingest-listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    // What is given later weighs more only between layers, so a flag that the test gives replaces ours.
    let ours = every_port.chunks(2).filter(|flag| !arguments.contains(&flag[0])).flatten().copied();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tapecast"));
    // The tests' own variable; the server would say that it is none of its.
    command.env_remove("TAPECAST_DATA");
    command.arg("serve").args(small).args(ours).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_configuration_with_wrong_keys_is_refused_line_by_line() {
    let file = [env!("CARGO_TARGET_TMPDIR"), "wrong_keys.toml"].iter().collect::<std::path::PathBuf>();
    std::fs::write(&file, "shards = 1\n[ring]\nbites = 4096\n[limits]\nchannels = \"many\"\n").unwrap();
    let path = file.to_str().unwrap();
    let output = serve(&["--config", path, "--set", "outbox.size=1"]);
    std::fs::remove_file(&file).unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    for (line, parts) in lines.iter().zip([
        [&format!("{path}:3: "), "ring.bites"],
        [&format!("{path}:5: "), "limits.channels"],
        ["--set: ", "outbox.size"],
    ]) {
        assert!(parts.iter().all(|part| line.contains(part)), "{line:?} lacks one of {parts:?}");
    }
}

#[test]
fn a_signal_delivers_what_was_published_and_closes_everyone_with_1001() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = Server::start(2, &SMALL);
        let mut feed = Feed::connect(&server);
        let mut native: Vec<_> = (0..5).map(|_| Subscriber::native(&server)).collect();
        for subscriber in &mut native {
            subscriber.subscribe(1, &["a@trade"]);
        }
        let mut binance: Vec<_> = (0..5).map(|_| Subscriber::connect(&server, "/ws/a@trade")).collect();
        server.wait_until("all to subscribe", |metrics| metrics.shard("subscriptions") == 10);
        for number in 1..=500 {
            feed.publish("a@trade", &number.to_string());
        }
        assert_eq!(feed.ping(), 500);
        server.signal(signal);
        for subscriber in native.iter_mut().chain(&mut binance) {
            for number in 1..=500 {
                let text = subscriber.text();
                assert!(
                    text == number.to_string() || text.ends_with(&format!(r#""data":{number}}}"#)),
                    "{text}"
                );
            }
            let frame = subscriber.next().unwrap();
            assert_eq!(frame.close(), (1001, "server is shutting down"));
            subscriber.send(CLOSE, &frame.payload[..2]);
            assert_eq!(subscriber.next(), None);
        }
        assert_eq!(feed.answer(), "", "the feed's connection ends");
        assert_eq!(server.wait_for_end().code(), Some(0));
        assert!(TcpStream::connect(server.address("subscribers")).is_err(), "nobody listens");
        let name = if signal == Signal::TERM { "SIGTERM" } else { "SIGINT" };
        let log = server.log();
        assert!(log.lines().count() == 1 && log.contains(name), "{log}");
    }
}

#[test]
fn a_slow_reader_has_time_to_take_what_waits_for_it() {
    let mut server = Server::start(1, &SMALL);
    let mut slow = Subscriber::connect_with_room(&server, "/ws/a@trade", 4096);
    server.wait_until("it to subscribe", |metrics| metrics.shard("subscriptions") == 1);
    let mut feed = Feed::connect(&server);
    let payload = "x".repeat(1000);
    let mut published = 0;
    while server.metrics().shard("queued_bytes") < 50_000 {
        published += 1;
        feed.publish("a@trade", &format!(r#""{published} {payload}""#));
        feed.ping();
    }
    server.signal(Signal::TERM);
    server.wait_until("it to drain", |_| server.admin("/readyz").starts_with("HTTP/1.1 503 "));
    for number in 1..=published {
        assert!(slow.text().starts_with(&format!(r#""{number} "#)));
    }
    let frame = slow.next().unwrap();
    assert_eq!(frame.close().0, 1001);
    slow.send(CLOSE, &frame.payload);
    assert_eq!(server.wait_for_end().code(), Some(0));
}

#[test]
fn who_does_not_answer_holds_up_nobody_for_long() {
    let mut server = Server::start(1, &[&SMALL[..], &["limits.close_timeout=500ms"]].concat());
    let mut deaf = Subscriber::connect_with_room(&server, "/v1/ws", 4096);
    deaf.subscribe(1, &["a@ticker"]);
    let mut feed = Feed::connect(&server);
    let payload = format!("\"{}\"", "x".repeat(10_000));
    while server.metrics().shard("slow_subscribers") == 0 {
        feed.publish("a@ticker", &payload);
        feed.ping();
    }
    let halfway = TcpStream::connect(server.address("subscribers")).unwrap();
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end().code(), Some(0));
    assert_eq!(everything(halfway), "");
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut server = Server::start(1, &[&SMALL[..], &["limits.close_timeout=1h"]].concat());
    // It never answers the close frame, so the first signal alone would take an hour.
    let mut stubborn = Subscriber::native(&server);
    server.signal(Signal::TERM);
    assert_eq!(stubborn.next().unwrap().close().0, 1001);
    let deadline = now() + PATIENCE;
    while !server.log().contains("a second signal ends at once") {
        assert!(now() < deadline, "{}", server.log());
    }
    server.signal(Signal::INT);
    assert_eq!(server.wait_for_end().code(), Some(1));
    assert!(server.log().contains("ended at once by a second signal"));
}

/// What one subscriber saw of the server's end.
struct Seen {
    /// The notice, where its dialect has one.
    notice: Option<String>,
    /// Records that came after the signal.
    records: u64,
    close: (u16, String),
    closed_at: Instant,
}

/// Reads until the close frame, and answers it.
fn watch_the_end(mut subscriber: Subscriber) -> Seen {
    let (mut notice, mut records) = (None, 0);
    loop {
        let frame = subscriber.next().expect("a close frame");
        if frame.opcode == CLOSE {
            let (code, text) = frame.close();
            let close = (code, text.to_owned());
            subscriber.send(CLOSE, &frame.payload);
            return Seen { notice, records, close, closed_at: now() };
        }
        if frame.text().starts_with(r#"{"op":"shutdown""#) {
            assert!(notice.replace(frame.text().to_owned()).is_none(), "told twice");
        } else {
            records += 1;
        }
    }
}

/// Publishes one record after the other, each when the one before was taken, until ingest ends.
fn publish_until_the_end(server: &Server) {
    let mut feed = TcpStream::connect(server.address("ingest")).unwrap();
    let mut answers = BufReader::new(feed.try_clone().unwrap()).lines();
    while feed.write_all(b"a@trade 1\nPING\n").is_ok() && matches!(answers.next(), Some(Ok(_))) {}
}

#[test]
fn everyone_is_told_and_leaves_at_a_time_of_its_own_while_records_flow() {
    const WINDOW: Duration = Duration::from_secs(3);
    let mut server = Server::start(2, &[&SMALL[..], &["shutdown.drain=3s"]].concat());
    let mut native: Vec<_> = (0..20).map(|_| Subscriber::native(&server)).collect();
    native.iter_mut().for_each(|subscriber| drop(subscriber.subscribe(1, &["a@trade"])));
    let binance: Vec<_> = (0..10).map(|_| Subscriber::connect(&server, "/ws/a@trade")).collect();
    server.wait_until("all to subscribe", |metrics| metrics.shard("subscriptions") == 30);
    server.signal(Signal::TERM);
    let signalled = now();
    server.wait_until("it to drain", |_| server.admin("/readyz").starts_with("HTTP/1.1 503 "));
    let (native, binance) = std::thread::scope(|scope| {
        let watch = |subscriber| scope.spawn(|| watch_the_end(subscriber));
        let native: Vec<_> = native.into_iter().map(watch).collect();
        let binance: Vec<_> = binance.into_iter().map(watch).collect();
        scope.spawn(|| publish_until_the_end(&server));
        let join = |threads: Vec<ScopedJoinHandle<'_, Seen>>| {
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        };
        (join(native), join(binance))
    });
    assert_eq!(server.wait_for_end().code(), Some(0));
    assert!(now() - signalled < WINDOW + Duration::from_secs(10));
    for seen in &native {
        let notice: serde_json::Value = serde_json::from_str(seen.notice.as_deref().unwrap()).unwrap();
        assert!((1..=3000).contains(&notice["in_ms"].as_u64().unwrap()), "{notice}");
        assert_eq!(notice["reconnect_ms"], serde_json::json!([1000, 9000]));
    }
    assert!(binance.iter().all(|seen| seen.notice.is_none()), "its dialect has no word for it");
    let all: Vec<_> = native.iter().chain(&binance).collect();
    assert!(all.iter().all(|seen| seen.close == (1001, "server is shutting down".to_owned())));
    let mut times: Vec<_> = all.iter().map(|seen| seen.closed_at - signalled).collect();
    times.sort_unstable();
    let (first, last) = (times[0], times[times.len() - 1]);
    assert!(last - first > WINDOW / 3, "closed from {first:?} to {last:?}");
    let at_once = times.windows(all.len() / 2).any(|half| half[half.len() - 1] - half[0] < WINDOW / 30);
    assert!(!at_once, "half of them within a tenth of a second: {times:?}");
    let later: Vec<_> = all.iter().filter(|seen| seen.closed_at - signalled > WINDOW / 2).collect();
    assert!(later.iter().all(|seen| seen.records > 0), "records flow to who is still there");
    let log = server.log();
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn when_nobody_is_left_the_window_is_over() {
    let mut server = Server::start(2, &[&SMALL[..], &["shutdown.drain=1h"]].concat());
    let mut subscribers: Vec<_> = (0..4).map(|_| Subscriber::native(&server)).collect();
    server.signal(Signal::TERM);
    for subscriber in &mut subscribers {
        assert!(subscriber.text().starts_with(r#"{"op":"shutdown","in_ms":3"#));
    }
    let deadline = now() + PATIENCE;
    while TcpStream::connect(server.address("subscribers")).is_ok() {
        assert!(now() < deadline, "still somebody new is let in");
    }
    assert!(TcpStream::connect(server.address("ingest")).is_ok(), "feeds are");
    drop(subscribers);
    assert_eq!(server.wait_for_end().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_window_at_once() {
    let mut server = Server::start(1, &[&SMALL[..], &["shutdown.drain=1h"]].concat());
    let mut subscriber = Subscriber::native(&server);
    server.signal(Signal::INT);
    assert!(subscriber.text().starts_with(r#"{"op":"shutdown""#));
    server.signal(Signal::TERM);
    assert_eq!(server.wait_for_end().code(), Some(1));
    assert!(server.log().contains("ended at once by a second signal"));
}
